"""The site's account: what was approved, reserved and committed, over every study it ever joined.

*Reserve* is durable before the first noised step; *commit* comes after. What was reserved and never committed counts
as spent, because noised values may have left between the two. Nothing is ever taken back.

A study is approved once, as a plan with its whole cost (`privacy/budget.py`). A round then only draws on the plan's
steps, so reserving compares whole numbers inside one write transaction: no accounting in the round, and no step is
spent twice. Every write first checks that the ledger still holds the head that the key store remembers, and is
acknowledged only after the new head lies there (`privacy/anchor.py`): an old copy that was put back spends nothing.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privacy import chain
from privacy.anchor import HeadAnchor
from privacy.budget import check_lifetime, check_study
from privacy.chain import Head, LedgerEntry
from privacy.errors import BudgetExceeded, LedgerTampered, MechanismMisused, PolicyRefused, StudyNotApproved
from privacy.events import Event, LedgerContext, NonPrivate, SampledGaussian, StudyPlan, decode_event, encode_event
from privacy.keys import FOLDER as KEYS
from privacy.policy import SitePolicy
from privacy.seal import Seal, page_size_of, seal_path, structure_fault

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Reservation:
    """A right to run one event, already counted as spent."""

    identifier: str
    event: SampledGaussian
    context: LedgerContext
    attempt: int
    """1 for the first time that this round was reserved, more when it died before."""


class Ledger:
    """A site's ledger file. Safe to share between threads; other processes open their own."""

    def __init__(
        self, path: Path, signing_key: Ed25519PrivateKey, policy: SitePolicy, *, anchor: HeadAnchor | None = None
    ) -> None:
        """Open or begin the ledger at `path` and verify all of it. Raises LedgerTampered or KeysUnusable.

        anchor: where its head is remembered; by default in `keys` beside the file, as a site's folder is laid out.
        """
        self.path, self.policy = Path(path), policy
        self._signing_key = signing_key
        self._public_key = signing_key.public_key()
        self._anchor = anchor or HeadAnchor.in_keys(self.path.parent / KEYS)
        if self._anchor.read() is not None and not self.path.exists():
            raise LedgerTampered("The ledger is gone, and the key store remembers one: restore its newest copy.")
        chain.create_table(self.path)
        with chain.writing(self.path) as connection:
            if chain.last_entry(connection) is None:
                self._append(connection, "opened", "", self._opening())
        self.verify()
        self._settle()

    def approve(self, plan: StudyPlan) -> None:
        """Accept a study's whole plan. Approving the same plan again changes nothing.

        Raises BudgetExceeded where the plan exceeds what the policy allows a study or all studies together, or where
        the study was approved with another plan.
        """
        with self._writing() as connection:
            plans = self._plans(connection)
            if (known := plans.get(plan.study_digest)) is not None:
                if known != plan:
                    raise BudgetExceeded(
                        "This study was approved with another plan: a changed study needs a new digest."
                    )
                return
            check_study(plan, self.policy)
            check_lifetime([*plans.values(), plan], self.policy)
            self._append(connection, "approved", plan.study_digest, {"plan": plan.to_dict()})

    def check_lifetime(self) -> None:
        """Whether all approved plans are within the policy as it is now. Raises BudgetExceeded where it was lowered."""
        with chain.connected(self.path) as connection:
            self._check_anchor(connection)
            check_lifetime(list(self._plans(connection).values()), self.policy)

    def plan(self, study_digest: str) -> StudyPlan | None:
        """The approved plan of a study."""
        with chain.connected(self.path) as connection:
            return self._plans(connection).get(study_digest)

    def reserve(self, event: SampledGaussian, context: LedgerContext) -> Reservation:
        """Count `event` as spent, durably, before it runs.

        Raises StudyNotApproved without a plan, MechanismMisused for another mechanism than the planned one, and
        BudgetExceeded when the stage has fewer steps left.
        """
        with self._writing() as connection:
            planned = self._planned(connection, context)
            if not planned.same_mechanism(event):
                raise MechanismMisused("This is not the mechanism that was approved: build it from the study's plan.")
            earlier = self._reserved(connection, context.study_digest, context.stage)
            if sum(_steps(entry) for entry in earlier) + event.steps > planned.steps:
                raise BudgetExceeded(
                    f"Stage {context.stage} has no steps left in the approved plan, spare ones included."
                )
            attempt = 1 + sum(entry.body["round_number"] == context.round_number for entry in earlier)
            identifier = secrets.token_hex(16)
            body = {"reservation": identifier, "event": encode_event(event), "attempt": attempt} | _placed(context)
            self._append(connection, "reserved", context.study_digest, body)
        return Reservation(identifier, event, context, attempt)

    def commit(self, reservation: Reservation) -> None:
        """Note that a reserved event ran to its end; it was spent either way. Raises MechanismMisused if not open."""
        study = reservation.context.study_digest
        with self._writing() as connection:
            found = {kind: self._reservations(connection, kind, study) for kind in ("reserved", "committed")}
            if reservation.identifier not in found["reserved"] or reservation.identifier in found["committed"]:
                raise MechanismMisused("This reservation is not open: reserve before a step and commit once.")
            self._append(
                connection, "committed", study, {"reservation": reservation.identifier} | _placed(reservation.context)
            )

    def record_non_private(self, steps: int, context: LedgerContext) -> None:
        """Note releases without protection, before they happen: epsilon is infinite from here on.

        Raises PolicyRefused where the policy does not allow them.
        """
        if not self.policy.allow_non_private:
            raise PolicyRefused("This site's policy does not allow training without privacy: turn privacy on.")
        with self._writing() as connection:
            body = {"event": encode_event(NonPrivate(steps=steps))} | _placed(context)
            self._append(connection, "non-private", context.study_digest, body)

    def steps_left(self, study_digest: str, stage: str) -> int:
        """Steps that the approved plan still has for a stage, spare ones included. Raises StudyNotApproved."""
        with chain.connected(self.path) as connection:
            planned = self._planned(connection, LedgerContext(study_digest=study_digest, stage=stage, round_number=1))
            return planned.steps - sum(_steps(entry) for entry in self._reserved(connection, study_digest, stage))

    def events(self, study_digest: str | None = None) -> dict[str, list[Event]]:
        """What was spent, by study: everything reserved or recorded, committed or not."""
        spent: dict[str, list[Event]] = {}
        with chain.connected(self.path) as connection:
            for entry in chain.entries(connection, study_digest=study_digest):
                if entry.kind in ("reserved", "non-private"):
                    spent.setdefault(entry.study_digest, []).append(decode_event(entry.body["event"]))
        return spent

    def epsilon_spent(self, *, delta: float, study_digest: str | None = None) -> float:
        """Epsilon at `delta` that was spent so far: of one study by PLD, or of every study of this site.

        Over several studies, half of `delta` goes to their sum, in equal shares, and half to a Renyi account of
        everything; the smaller figure counts. Infinite once anything was released without protection.
        """
        from privacy.accounting import epsilon, epsilon_across_studies

        by_study = list(self.events(study_digest).values())
        if len(by_study) < 2:
            return float(sum(epsilon(events, delta=delta) for events in by_study))
        share = delta / (2 * len(by_study))
        return epsilon_across_studies(by_study, [epsilon(events, delta=share) for events in by_study], delta=delta / 2)

    def entries(self) -> list[LedgerEntry]:
        """Every entry, oldest first."""
        with chain.connected(self.path) as connection:
            return list(chain.entries(connection))

    def head(self) -> Head:
        """Where the ledger ends now; keep it elsewhere to notice that an old copy was put back."""
        with chain.connected(self.path) as connection:
            last = chain.last_entry(connection)
        if last is None:
            raise LedgerTampered("The ledger is empty: restore it from a copy that verifies.")
        return last.head

    def verify(self, *, anchored: Head | None = None) -> Head:
        """Recompute every digest and signature, decode every event, compare with the anchor and the seal.

        Raises LedgerTampered with the first entry or page at fault. `anchored` is a head that was seen elsewhere.
        """
        with chain.connected(self.path) as connection:
            connection.execute("BEGIN")  # one state of the file: writers wait
            head = chain.verified(connection, self._public_key, anchored=anchored)
            self._check_anchor(connection)
            self._check_file(connection, head)
            self._plans(connection)
            if (schema := next(chain.entries(connection)).body.get("schema")) != SCHEMA_VERSION:
                raise LedgerTampered(f"The ledger has schema {schema}: open it with the version that wrote it.")
        self.events()
        return head

    def _check_anchor(self, connection: sqlite3.Connection) -> None:
        """Refuse to spend on an old copy. Raises LedgerTampered, KeysUnusable."""
        anchored = self._anchor.read()
        last = chain.last_entry(connection)
        if anchored is None and last is not None and last.sequence > 1:  # it is written before a first entry is added
            raise LedgerTampered(f"The key store has lost {self._anchor.path.name}: restore the keys' newest backup.")
        chain.check_anchored(connection, anchored)

    def _check_file(self, connection: sqlite3.Connection, head: Head) -> None:
        """What the chain cannot see: schema, index and free space. Raises LedgerTampered."""
        if (fault := structure_fault(connection)) is not None:
            raise LedgerTampered(f"The ledger's file is damaged ({fault}): restore it from a copy that verifies.")
        seal = Seal.read(seal_path(self.path), self._public_key)
        chain.check_anchored(connection, seal.head if seal else None)
        if seal is not None and seal.head == head:  # an older one: a process died before it sealed
            content = connection.serialize()
            page = seal.first_changed_page(content)
            if page is None and self.path.stat().st_size != len(content):
                page = len(content) // seal.page_size + 1
            if page is not None:
                raise LedgerTampered(f"Page {page} of the ledger's file was changed: restore it from a sealed copy.")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, on the newest ledger; acknowledged when the new head is remembered."""
        with chain.writing(self.path) as connection:
            self._check_anchor(connection)
            yield connection
        self._settle()

    def _settle(self) -> None:
        """Remember the head in the key store and seal the file. Holds the write lock, so both only move forward."""
        with chain.writing(self.path) as connection:
            last = chain.last_entry(connection)
            assert last is not None
            self._anchor.advance(last.head)
            seal = Seal.of(last.head, connection.serialize(), page_size_of(connection))
            seal.write(seal_path(self.path), self._signing_key)

    def _append(self, connection: sqlite3.Connection, kind: str, study_digest: str, body: dict[str, object]) -> None:
        """One entry, which says when and under which policy; a policy that is new here is written out before it."""
        digest, last = self.policy.digest(), chain.last_entry(connection)
        written = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "policy": digest}
        if last is not None and last.body["policy"] != digest:
            terms = {"policy_terms": self.policy.model_dump(mode="json")}
            chain.append(connection, self._signing_key, kind="policy", study_digest="", body=written | terms)
        chain.append(connection, self._signing_key, kind=kind, study_digest=study_digest, body=written | body)

    def _opening(self) -> dict[str, object]:
        public_key = self._public_key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        terms = self.policy.model_dump(mode="json")
        return {"schema": SCHEMA_VERSION, "public_key": public_key, "policy_terms": terms}

    def _plans(self, connection: sqlite3.Connection) -> dict[str, StudyPlan]:
        approved = chain.entries(connection, kind="approved")
        return {entry.study_digest: StudyPlan.from_dict(entry.body["plan"]) for entry in approved}

    def _planned(self, connection: sqlite3.Connection, context: LedgerContext) -> SampledGaussian:
        plan = self._plans(connection).get(context.study_digest)
        if plan is None:
            raise StudyNotApproved("This study is not approved here: approve it by its digest first.")
        return plan.stage_event(context.stage)

    def _reserved(self, connection: sqlite3.Connection, study_digest: str, stage: str) -> list[LedgerEntry]:
        found = chain.entries(connection, kind="reserved", study_digest=study_digest)
        return [entry for entry in found if entry.body["stage"] == stage]

    def _reservations(self, connection: sqlite3.Connection, kind: str, study_digest: str) -> set[str]:
        return {entry.body["reservation"] for entry in chain.entries(connection, kind=kind, study_digest=study_digest)}


def _steps(entry: LedgerEntry) -> int:
    return decode_event(entry.body["event"]).steps


def _placed(context: LedgerContext) -> dict[str, object]:
    """A context beside the study digest, which has a column of its own."""
    values = asdict(context)
    del values["study_digest"]
    return values
