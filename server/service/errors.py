"""What a call may be refused with. The tree first; each class has its word, its HTTP status and its gRPC status.

Sentences say what to do. They repeat no prompt, no pixel and no header; what goes wrong unexpectedly is named by class
and place only, with an incident number that stands in the log too.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path
from typing import ClassVar

from server.errors import ServerError

LOG = logging.getLogger("fedm2g.serve")


class StartRefused(ServerError):
    """The service cannot start like this: nothing listens yet."""


class ServiceError(ServerError):
    """Base of what a caller is told."""

    word: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "INTERNAL"


class RequestRefused(ServiceError):
    """The request cannot be answered as it stands."""

    word, http_status, grpc_status = "bad-request", 400, "INVALID_ARGUMENT"


class TokenMissing(ServiceError):
    """No bearer token, or another one than this service's."""

    word, http_status, grpc_status = "unauthorised", 401, "UNAUTHENTICATED"


class HostUnknown(ServiceError):
    """The name in the Host header is none of this service's: perhaps a foreign page rebinding a name to us."""

    word, http_status, grpc_status = "unknown-host", 421, "FAILED_PRECONDITION"


class NoSuchCall(ServiceError):
    """No page and no call goes by that path."""

    word, http_status, grpc_status = "no-such-call", 404, "UNIMPLEMENTED"


class TooLarge(ServiceError):
    """More bytes, pixels, samples or steps than this service takes."""

    word, http_status, grpc_status = "too-large", 413, "OUT_OF_RANGE"


class Busy(ServiceError):
    """All seats are taken."""

    word, http_status, grpc_status = "busy", 503, "RESOURCE_EXHAUSTED"


class TimedOut(ServiceError):
    """Not done within the time that one request may take."""

    word, http_status, grpc_status = "timed-out", 504, "DEADLINE_EXCEEDED"


class Cancelled(ServiceError):
    """The caller went away, or the service stops."""

    word, http_status, grpc_status = "cancelled", 503, "CANCELLED"


def internal(error: BaseException) -> ServiceError:
    """The one sentence for an error that nobody foresaw; logs its class and place, never its text."""
    incident = secrets.token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    LOG.error("incident %s: %s at %s", incident, type(error).__name__, place)
    return ServiceError(f"The service failed inside: give incident {incident} to whoever runs it.")
