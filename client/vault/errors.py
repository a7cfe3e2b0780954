"""What the vault refuses beside the policy's own refusals (privacy/errors.py). Each class has its wire code.

A message is for this site only: what crosses the wire is the code and an incident number.
"""

from __future__ import annotations

from client.errors import ClientError
from protocol.codes import Code


class VaultError(ClientError):
    """Base of the vault's refusals. `code` is all that crosses the wire, beside an incident number."""

    code = Code.SITE_FAILED


class NotApproved(VaultError):
    """The study's digest was never approved here."""

    code = Code.STUDY_UNKNOWN


class GeneratorMismatch(VaultError):
    """The generator folder installed here is not the one the study starts from."""

    code = Code.GENERATOR_MISMATCH


class RequestInvalid(VaultError):
    """A request that does not follow from the approved study."""

    code = Code.MALFORMED


class ReplayMismatch(VaultError):
    """The same round, but other inputs."""

    code = Code.REPLAY_MISMATCH


class RoundsSpent(VaultError):
    """A round that the approved plan does not have."""

    code = Code.BUDGET_EXCEEDED


class Cancelled(VaultError):
    """The site's own people stopped the round. What it had reserved stays spent."""

    code = Code.CANCELLED


class Withdrawn(VaultError):
    """The site took itself out of the study, for good."""

    code = Code.CANCELLED


class StateDamaged(VaultError):
    """A file of the vault's own state is missing or was changed by another hand."""


class VaultMissing(VaultError):
    """The relay does not know which site's folder is its own."""


class ImagesUnfit(VaultError):
    """The store's images do not have the size that the generator works at."""


class DaemonRefused(VaultError):
    """The daemon does not start: another one runs, or a folder is open to whom it should not be."""
