"""The closed table of wire codes. A code and an incident number are all that is ever said about a failure at a site."""

from __future__ import annotations

from enum import StrEnum

from protocol.errors import MalformedMessage


class Code(StrEnum):
    """What a site may answer."""

    OK = "ok"
    NEEDS_GROUPS = "needs-groups"
    """The site lacks groups that the request names by digest; it gets them within the same round."""
    STUDY_UNKNOWN = "study-unknown"
    """The study was never approved at this site, or with another digest."""
    POLICY_REFUSED = "policy-refused"
    """The site's policy does not allow what was asked."""
    BUDGET_EXCEEDED = "budget-exceeded"
    """The round would spend more privacy than the site allows."""
    OUTSIDE_DECLARATION = "outside-declaration"
    """The site's store no longer fits what the site declared."""
    REPLAY_MISMATCH = "replay-mismatch"
    """The round was already run with other inputs."""
    GENERATOR_MISMATCH = "generator-mismatch"
    """The initial generator installed at the site is not the one the study names."""
    MALFORMED = "malformed"
    """The request does not follow the wire contract."""
    CANCELLED = "cancelled"
    """The site's own people stopped the round, or took the site out of the study."""
    SITE_FAILED = "site-failed"
    """Anything else; the site's own log knows it by the incident number."""

    @classmethod
    def read(cls, text: object) -> Code:
        """The code spelt `text`. Raises MalformedMessage for a word that is not in the table."""
        try:
            return cls(str(text))
        except ValueError:
            raise MalformedMessage(
                "The message carries a code that is not in the table: install the same version."
            ) from None


class Refusal(StrEnum):
    """Why the server dropped a reply, or had none. Never sent: it stands in `rounds.jsonl` beside the site's name."""

    NO_REPLY = "no-reply"
    """Nothing came before the deadline."""
    UNREACHABLE = "unreachable"
    """The transport answered for the site: its relay crashed or its node is gone."""
    MALFORMED = "malformed-reply"
    OVERSIZED = "oversized"
    WRONG_SITE = "wrong-site"
    """The reply names another site than the one that was asked."""
    REPLAYED = "replayed"
    """The reply answers another request than the one that was sent."""
    UNKNOWN_GROUP = "unknown-group"
    MISSING_GROUP = "missing-group"
    WRONG_SHAPE = "wrong-shape"
    WRONG_DTYPE = "wrong-dtype"
    NON_FINITE = "non-finite"
    NORM_EXCEEDED = "norm-exceeded"
    ASKED_TWICE = "asked-twice"
    """The site asked a second time for groups, or for groups that the round does not read."""
