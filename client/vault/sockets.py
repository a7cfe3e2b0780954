"""Unix sockets that only the right people reach. gRPC cannot ask who connects, so the file system must answer.

The relay's socket lies in a folder of 0750 whose group is the one that vault and relay have in common, and is itself
0660 by the umask before it is bound; the operator's is 0600 in a folder of 0700. A folder that is wider is refused.
"""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import grpc

from client.vault.errors import DaemonRefused

RELAY_UMASK, OPERATOR_UMASK = 0o117, 0o177
LONGEST_PATH = 107
"""Bytes in `sockaddr_un`, without the final zero."""


def prepare_folder(folder: Path, *, group: str = "") -> None:
    """Make the relay's socket folder (2750, that group) or check the one that is there. Raises DaemonRefused."""
    made = not folder.exists()
    if made:
        try:
            folder.mkdir(mode=0o750, parents=True)
        except PermissionError:
            raise DaemonRefused(
                f"{folder} cannot be made by the vault's user: make it, with mode 2750, that user and the common group,"
                " or start the site as root."
            ) from None
    try:
        if group:
            os.chown(folder, -1, grp.getgrnam(group).gr_gid)
        if made:
            folder.chmod(0o2750)  # the socket takes the folder's group
    except KeyError:
        raise DaemonRefused(f"There is no group called {group}: make it, and put both users into it.") from None
    except PermissionError:
        raise DaemonRefused(
            f"{folder} cannot be given to the group {group}: run the vault as a member of that group."
        ) from None
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Whether nobody but this user and one group gets in, and the group cannot write. Raises DaemonRefused."""
    about = folder.stat()
    if about.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(about.st_mode) & 0o027:
        raise DaemonRefused(
            f"{folder} is open to others: it must be this user's own, with mode 0750 and the common group."
        )


def bind(server: grpc.Server, path: Path, *, umask: int) -> None:
    """Bind a server to a unix socket at `path`; what lay there before is replaced. Raises DaemonRefused."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise DaemonRefused(
            f"The socket's path is longer than {LONGEST_PATH} bytes: set a shorter `socket` in vault.toml."
        )
    path.unlink(missing_ok=True)
    before = os.umask(umask)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError:
        raise DaemonRefused(f"The socket {path} cannot be made: look at the rights of its folder.") from None
    finally:
        os.umask(before)
    folder = path.parent.stat()
    if umask == RELAY_UMASK and path.stat().st_gid != folder.st_gid:  # the operator's is its owner's alone
        os.chown(path, -1, folder.st_gid)
