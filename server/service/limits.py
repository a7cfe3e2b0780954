"""What one caller may ask for, and how much of the machine all of them together may take."""

from __future__ import annotations

from dataclasses import dataclass, fields

from server.service.errors import StartRefused


@dataclass(frozen=True)
class Limits:
    """Public: the page and `Describe` show them. Memory for uploads is at most `seats * max_body_bytes`."""

    max_body_bytes: int = 32 << 20
    """Of one request, base64 and all."""
    max_pixels: int = 25_000_000
    """Of one uploaded image, before it is made small."""
    max_text_characters: int = 4_000
    """Of a prompt or report."""
    max_count: int = 8
    """Samples of each target."""
    max_steps: int = 100
    """Denoising steps."""
    max_candidates: int = 8
    """Draws of each sample, of which one comes back."""
    concurrency: int = 1
    """Requests that sample at the same time."""
    queue: int = 8
    """Requests that may wait beside them; the next is refused."""
    timeout_seconds: float = 300.0
    """From a request's admission to its last byte, waiting included."""
    decode_seconds: float = 20.0
    """Of processor time for one uploaded image; three times as long by the clock."""

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name == "queue" else 1
            if getattr(self, field.name) < least:
                raise StartRefused(f"The limit `{field.name}` must be at least {least}.")

    @property
    def seats(self) -> int:
        """Requests that may be here at once, sampling or waiting."""
        return self.concurrency + self.queue
