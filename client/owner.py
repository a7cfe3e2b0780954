"""Which user of the operating system a command works as: the owner of the folder that it changes.

A file that root writes into the vault's folder would be one that the vault cannot read. So a command that root starts
goes on as the folder's owner, and anybody else is told whom to be.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from client.site_setup import SiteUnusable


def act_as_owner(folder: Path) -> None:
    """Become the owner of `folder`, if this is root; a folder that is not there yet changes nothing.

    Raises SiteUnusable for another user.
    """
    try:
        owner = Path(folder).stat().st_uid
    except FileNotFoundError:
        return
    except PermissionError:
        raise SiteUnusable(f"{folder} is closed to this user: run the command as the vault's user.") from None
    if owner == os.geteuid():
        return
    name = name_of(owner)
    if os.geteuid() != 0:
        raise SiteUnusable(f"{folder} belongs to {name}: run the command as that user, with sudo -u {name}.")
    become(owner)


def become(user: int) -> None:
    """Take a user's id, group and groups for good. Root only."""
    try:
        account = pwd.getpwuid(user)
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
    except KeyError:
        os.setgroups([])
        os.setgid(user)
    os.setuid(user)


def as_owner(folder: Path, job: Callable[[], Any], *, seconds: float) -> Any:
    """What `job` returns, through JSON, done as the folder's owner; for root, in a process of its own.

    For what root may look at without becoming somebody else for good: opening a ledger seals it, and a seal of root's
    would be one that the vault cannot read. Call it before there are other threads. Raises TimeoutError after so many
    seconds, and SiteUnusable with the job's own sentence, or the class of what it raised.
    """
    owner = folder.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return job()
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:  # forked: an interpreter in a home folder cannot be started by others
        _tell(writes, owner, job)
    os.close(writes)
    with os.fdopen(reads) as stream:
        in_time = bool(select.select([stream], [], [], seconds)[0])
        if not in_time:
            os.kill(child, signal.SIGKILL)
        answer = stream.read() if in_time else ""
    os.waitpid(child, 0)
    if not in_time:
        raise TimeoutError
    said = json.loads(answer or '{"failed": "the process died"}')
    if "failed" in said:
        raise SiteUnusable(said["failed"])
    return said["found"]


def _tell(writes: int, owner: int, job: Callable[[], Any]) -> NoReturn:
    """The child's part: one line of JSON, and an end without its parent's handlers."""
    try:
        become(owner)
        said = {"found": job()}
    except Exception as error:  # only a text of ours is known to name no patient
        said = {"failed": str(error) if getattr(error, "code", None) else type(error).__name__}
    with os.fdopen(writes, "w") as stream:
        json.dump(said, stream)
    os._exit(0)


def name_of(user: int) -> str:
    """The user's name, or the number where nobody has it."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def user_id(name: str) -> int:
    """Raises SiteUnusable for a user that does not exist."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise SiteUnusable(f"There is no user called {name} on this machine: make it first.") from None
