"""What a caller hears of one request, in the order in which it may come."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.service.errors import ServiceError


@dataclass(frozen=True)
class Queued:
    """Admitted; so many requests are sampled first."""

    ahead: int


@dataclass(frozen=True)
class Seen:
    """An uploaded image as the generator sees it, given back to who sent it."""

    flow: str
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class Progress:
    """Denoising steps."""

    done: int
    total: int


@dataclass(frozen=True)
class Sample:
    """One generated image or report."""

    flow: str
    index: int
    png: bytes | None = field(default=None, repr=False)
    dicom: bytes | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Finished:
    """The last word of a request that went well."""

    seed: int
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The last word of one that did not."""

    error: ServiceError


Event = Queued | Seen | Progress | Sample | Finished | Failed
