"""Which user of the operating system a command works as: the owner of the folder that it changes.

A file that root writes into the vault's folder would be one that the vault cannot read. So a command that root starts
goes on as the folder's owner, and anybody else is told whom to be.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

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
