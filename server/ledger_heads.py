"""Where each site's ledger stood: the coordinator's half of noticing that a site put an old ledger back.

Every release names the ledger entry under which it was reserved, by number and digest, and `rounds.jsonl` keeps it. A
site whose ledger shrinks between rounds has forgotten spending, so its reply is dropped. Whether a ledger still holds
what it once reported is for an audit to say: `fedm2g audit ledger SITE_DIR --rounds rounds.jsonl`.

The numbers tell how many rounds, approvals and retries a site has had over all its studies, and nothing of patients:
no entry depends on a record.
"""

from __future__ import annotations

from collections.abc import Iterable

from privacy.chain import Head
from protocol.codes import Refusal
from protocol.requests import TrainReply
from server.rounds import RoundRecord


class LedgerHeads:
    """The newest head of every site over the completed rounds of a run."""

    def __init__(self, records: Iterable[RoundRecord] = ()) -> None:
        self._newest: dict[str, int] = {}
        for record in records:
            self.note(record)

    def note(self, record: RoundRecord) -> None:
        """Remember a completed round. One that missed its quorum runs again, and its replies come as they were."""
        if record.completed:
            for name in record.accepted:
                self._newest[name] = max(self._newest.get(name, 0), record.sites[name].ledger_sequence)

    def refusal(self, site: str, reply: TrainReply) -> Refusal | None:
        """Whether this release was reserved on a ledger older than what the site reported before."""
        try:
            sequence = head_of(reply).sequence
        except ValueError:
            return Refusal.MALFORMED
        known = self._newest.get(site, 0)
        return Refusal.LEDGER_REWOUND if known and sequence <= known else None


def head_of(reply: TrainReply) -> Head:
    """The ledger's head that a release names; number 0 where it names none. Raises ValueError."""
    return Head.read(reply.event_digest) if reply.event_digest else Head(0, "")
