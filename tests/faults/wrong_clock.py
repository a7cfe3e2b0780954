"""A SuperNode whose clock is an hour fast: `wrong_clock.py --relay-dir DIR`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from flwr.supernode import node_auth_http_interceptor as signing

from client import supernode

now = signing.now


def an_hour_later() -> datetime:
    return now() + timedelta(hours=1)  # type: ignore[no-any-return]


signing.now = an_hour_later

if __name__ == "__main__":
    sys.exit(supernode.main(sys.argv[1:]))
