"""The bearer token: 256 random bits, shown once or kept in a file that only its owner can read, compared in constant
time. It never stands in a URL, a log line, a `repr` or an error."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from server.service.errors import StartRefused, TokenMissing

MIN_CHARACTERS = 32
_MAX_CHARACTERS = 1024
_SCHEME = "bearer "


class Bearer:
    """Knows the token by its SHA-256 only, so that what is compared has one length whatever was sent."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def check(self, authorization: str | bytes | None) -> None:
        """Raises TokenMissing unless the value of an Authorization header is `Bearer <token>`."""
        said = authorization.encode(errors="replace") if isinstance(authorization, str) else authorization or b""
        scheme, given = said[: len(_SCHEME)], said[len(_SCHEME) :]
        same = hmac.compare_digest(hashlib.sha256(given).digest(), self._digest)
        if scheme.lower() != _SCHEME.encode() or not same:
            raise TokenMissing("This needs the service's token: send it as `Authorization: Bearer <token>`.")


def new_token() -> str:
    """256 bits from the operating system, as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def token_of_file(path: Path) -> str:
    """The token in the file; where there is no file yet, a new token is written to it with mode 0600.

    Raises StartRefused for a file that others may read, that is somebody else's, or that holds no decent token.
    """
    try:
        return _made(path)
    except FileExistsError:
        return _read(path)
    except OSError:
        raise StartRefused(
            "The token file cannot be made there: give --token-file a path in your own folder."
        ) from None


def _made(path: Path) -> str:
    token = new_token()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise StartRefused("The token file cannot be read: give --token-file a plain file of your own.") from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.geteuid(), 0):
            raise StartRefused("The token file is not a plain file of yours: give --token-file another one.")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise StartRefused("Others may read the token file: run `chmod 600` on it and make a new token.")
        content = file.read(_MAX_CHARACTERS + 1)
    token = content.decode("ascii", errors="replace").strip()
    if not MIN_CHARACTERS <= len(token) <= _MAX_CHARACTERS or not token.isascii() or not token.isprintable():
        raise StartRefused(f"The token file must hold one token of {MIN_CHARACTERS} or more characters, and no more.")
    if " " in token:
        raise StartRefused("The token file holds more than one word: leave one token in it.")
    return token
