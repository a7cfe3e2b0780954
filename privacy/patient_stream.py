"""Per-patient randomness: every draw that enters a patient's gradient is that patient's alone.

Records, timesteps, diffusion noise, views, dropped conditions: all come from a generator seeded by
(secret site key, study, stage, round, step, pseudonym). A stream that patients share would let one patient's absence
shift everybody else's draws, and the sum would then move by more than the clipping norm (measured: 3.9 times).
"""

from __future__ import annotations

import hashlib
import hmac
import json

from privacy.errors import ConfigInvalid

SEED_BITS = 63


class PatientStream:
    """Seeds by patient, secret from everyone without the site's stream key."""

    def __init__(self, site_key: bytes, *, study_digest: str, stage: str, round_number: int) -> None:
        """`site_key` is `SiteKeys.stream_key` (32 bytes); `round_number` counts from 1."""
        if len(site_key) < 32:
            raise ConfigInvalid("The stream key must have at least 32 bytes: take it from SiteKeys.")
        self.study_digest, self.stage, self.round_number = study_digest, stage, round_number
        self._key = hmac.digest(
            site_key, self._spell("fedm2g patient stream", study_digest, stage, round_number), hashlib.sha256
        )

    @staticmethod
    def _spell(*parts: str | int) -> bytes:
        """Unambiguous bytes for a list of parts, so that no two lists collide."""
        return json.dumps(parts).encode()

    def seed(self, *, step: int, pseudonym: str) -> int:
        """63-bit seed of the generator of one patient in one step; depends on no other patient."""
        digest = hmac.digest(self._key, self._spell(step, pseudonym), hashlib.sha256)
        return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stage={self.stage!r}, round_number={self.round_number})"


class SeededPatientStream(PatientStream):
    """The same, from a public seed: reproducible, so only `NonPrivateMechanism` takes it."""

    def __init__(self, seed: int, *, study_digest: str, stage: str, round_number: int) -> None:
        key = hashlib.sha256(f"fedm2g public seed {seed}".encode()).digest()
        super().__init__(key, study_digest=study_digest, stage=stage, round_number=round_number)
