"""What the ledger costs: one append, its head and its seal, and the audit of 10,000 entries. Prints a table.

    python benchmarks/ledger.py [ENTRIES]

Wall and CPU seconds of one run on the machine at hand; on a busy one only the CPU seconds mean anything.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from privacy import chain
from privacy.accounting import PLAN_GRID, epsilon
from privacy.anchor import HeadAnchor
from privacy.audit.ledger_checks import check_claims, check_ledger
from privacy.events import LedgerContext, SampledGaussian, StagePlan, StudyPlan, encode_event
from privacy.keys import SiteKeys
from privacy.ledger import Ledger
from privacy.policy import SitePolicy

STUDY = "6" * 64
APPENDS = 40


def main(entries: int) -> None:
    """Make a ledger of that many entries and time it."""
    with tempfile.TemporaryDirectory() as folder:
        ledger, keys = _opened(Path(folder), steps=entries)
        _appending(ledger, "an append to a small ledger")
        _grow(ledger, keys, entries)
        _appending(ledger, f"an append to {entries} entries")
        anchor = HeadAnchor.in_keys(Path(folder) / "keys").read()
        _timed("opening it", lambda: Ledger(ledger.path, keys.signing_key, ledger.policy))
        _timed("audit without claims", lambda: check_ledger(ledger.path, public_key=keys.public_key, anchor=anchor))
        _timed("recomputing epsilon", lambda: check_claims(ledger.path))


def _opened(folder: Path, *, steps: int) -> tuple[Ledger, SiteKeys]:
    keys = SiteKeys.create(folder)
    terms = {"name": "bench", "declared_patients": 100, "max_patients": 1000, "declared_flows": ["xray"]}
    limits = {"max_epsilon": 1e9, "max_epsilon_per_study": 1e9, "max_delta": 1e-3, "allowed_stages": ["align"]}
    ledger = Ledger(folder / "ledger.sqlite", keys.signing_key, SitePolicy.from_dict(terms | limits))
    event = SampledGaussian(sampling_probability=0.1, noise_multiplier=2.0, steps=steps)
    stage = StagePlan(stage="align", sampling_probability=0.1, steps=steps)
    cost = epsilon([event], delta=1e-3, grid=PLAN_GRID)
    ledger.approve(StudyPlan(study_digest=STUDY, noise_multiplier=2.0, stages=(stage,), delta=1e-3, epsilon=cost))
    return ledger, keys


def _grow(ledger: Ledger, keys: SiteKeys, entries: int) -> None:
    """Entries as rounds write them, in one transaction."""
    event = encode_event(SampledGaussian(sampling_probability=0.1, noise_multiplier=2.0, steps=1))
    common = {"at": "2026-01-01T00:00:00+00:00", "policy": ledger.policy.digest(), "stage": "align"}
    with chain.writing(ledger.path) as connection:
        for number in range((entries - len(ledger.entries())) // 2):
            place = common | {"reservation": f"{number:032d}", "round_number": number + 1}
            for kind, more in (("reserved", {"attempt": 1, "event": event}), ("committed", {})):
                chain.append(connection, keys.signing_key, kind=kind, study_digest=STUDY, body=place | more)
    ledger._settle()


def _appending(ledger: Ledger, what: str) -> None:
    """Medians of interleaved appends, with and without head and seal."""
    event = SampledGaussian(sampling_probability=0.1, noise_multiplier=2.0, steps=1)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(APPENDS):
        for settling in (True, False):
            context = LedgerContext(study_digest=STUDY, stage="align", round_number=number + 1)
            started = time.perf_counter()
            with mock.patch.object(Ledger, "_settle", Ledger._settle if settling else lambda self: None):
                ledger.reserve(event, context)
            seconds[settling].append(time.perf_counter() - started)
    both = {settling: statistics.median(values) * 1e3 for settling, values in seconds.items()}
    print(f"{what:<34} {both[True]:8.1f} ms, of which head and seal {both[True] - both[False]:.1f} ms")


def _timed(what: str, act: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    print(f"{what:<34} {time.perf_counter() - wall:8.2f} s wall, {time.process_time() - cpu:.2f} s CPU")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
