"""Push, then pull reply by reply: one exchange with the sites, with a deadline and a name for every failure.

Flower's `send_and_receive` holds all replies in one list, and a dead node's error reply comes from the SuperLink, not
from the hospital; so replies are asked for one message id at a time, and the id says whose it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5
#: How often to look whether a silent site's node came back.
LOOK_SECONDS = 3.0
#: A message outlives its deadline by this much, so that the transport never expires it before we stop asking.
TTL_MARGIN_SECONDS = 60.0


class Exchange:
    """Messages on their way, by the name of the site that owes the reply."""

    def __init__(self, grid: Grid, *, message_type: str, group_id: str, deadline_seconds: float) -> None:
        self._grid = grid
        self._message_type = message_type
        self._group_id = group_id
        self._ttl = deadline_seconds + TTL_MARGIN_SECONDS
        self._deadline = time.monotonic() + deadline_seconds
        self._sites: dict[str, str] = {}
        self._waiting: set[str] = set()

    def message(self, node_id: int, content: RecordDict) -> Message:
        """A message to one node, valid a little longer than the deadline."""
        return Message(
            content,
            dst_node_id=node_id,
            message_type=self._message_type,
            ttl=self._ttl,
            group_id=self._group_id,
        )

    def send(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Push messages, each with the name of its site; one that the grid does not take over is not waited for.

        All in one push: what they share is then hashed and sent once.
        """
        taken = set(self._grid.push_messages([message for _, message in messages]))
        for site, message in messages:
            if (message_id := message.metadata.message_id) in taken:
                self._sites[message_id] = site
                self._waiting.add(message_id)

    def site_of(self, reply: Message) -> str | None:
        """The site that owed this reply; None for an answer to nothing we sent."""
        return self._sites.get(reply.metadata.reply_to_message_id)

    def awaited(self) -> tuple[str, ...]:
        """Sites that owe a reply."""
        return tuple(sorted({site for message_id, site in self._sites.items() if message_id in self._waiting}))

    def let_go(self, site: str) -> None:
        """Wait no longer for what this site owes: it has answered, or will be asked again."""
        self._waiting -= {message_id for message_id, owner in self._sites.items() if owner == site}

    def replies(self, look: Callable[[], bool] = lambda: False) -> Iterator[Message]:
        """Each reply as it comes; more may be sent meanwhile. Ends when all came or time is up.

        look: called when nothing is owed, and now and then while nothing comes; true keeps the exchange open.
        Whoever iterates drops a reply before taking the next: then one reply is alive at a time.
        """
        pause, looked = FIRST_PAUSE_SECONDS, time.monotonic()
        while time.monotonic() <= self._deadline:
            heard = False
            for message_id in [known for known in self._sites if known in self._waiting]:
                for reply in self._grid.pull_messages([message_id]):
                    if message_id not in self._waiting:  # a second answer to one question
                        continue
                    heard = True
                    self._waiting.discard(message_id)
                    yield reply
                    del reply
                if time.monotonic() > self._deadline:
                    return
            if not self._waiting and not look():
                return
            if time.monotonic() - looked > LOOK_SECONDS:
                look()
                looked = time.monotonic()
            pause = FIRST_PAUSE_SECONDS if heard else min(2 * pause, LONGEST_PAUSE_SECONDS)
            if not heard:
                time.sleep(min(pause, max(self._deadline - time.monotonic(), 0.0)))
