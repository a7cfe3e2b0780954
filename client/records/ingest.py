"""Ingest: a hospital's files in, de-identified records in the site's store.

List the source, read every file, put what was taken into the store in batches, note what was refused and why, and at
the end give each report to the patient whose images have its accession number. Nothing that names anybody is written:
patients, examinations, files and places are keyed hashes, reports are de-identified, arrays are encrypted. A second
ingest adds only what is new, and one that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client.records.index import RecordRow
from client.records.pool import outcomes
from client.records.reading_job import REPORT, JobReader, Outcome, report_row
from client.records.reasons import Reason
from client.records.rules import STRICT, ReadingRules
from client.records.sources import Filters, list_source
from client.records.store import RecordStore
from client.rights.opt_out import OptOuts
from client.site_config import SitePaths
from privacy.deidentify import Pseudonyms, known_words
from privacy.keys import SiteKeys
from privacy.report_text import deidentify

BATCH = 512
"""Files per transaction."""
Progress = Callable[[int, int], None]
"""Called with the files looked at so far and how many there are."""


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What an ingest did. True counts: for the site's own eyes."""

    ingested: int
    """Files that gave records now; a multi-frame file is one."""
    quarantined: int
    """Files refused, whether now for the first time or again."""
    records: int
    """Images and reports added to the store."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Files refused, by reason; sums to `quarantined`."""
    known: int = 0
    """Files whose content was in the store already."""
    unmatched_reports: int = 0
    """Reports left out, because no image, or the images of several patients, have their accession number."""

    def to_json(self) -> dict[str, Any]:
        """The four figures that the command prints for machines."""
        names = ("ingested", "quarantined", "records", "reasons")
        return {name: getattr(self, name) for name in names}


def ingest(
    site_dir: Path,
    source: Path,
    *,
    image_size: int = 64,
    filters: Filters | None = None,
    workers: int = 1,
    rules: ReadingRules = STRICT,
    progress: Progress | None = None,
) -> IngestReport:
    """Ingest a DICOM tree, NIfTI volumes, or an image folder with an index CSV, under the site's rules for readers.

    Raises SourceUnusable, StoreUnusable, PoolUnusable or KeysUnusable; never for one file.
    """
    listing = list_source(Path(source), filters=filters or Filters(), image_size=image_size)
    pseudonyms = Pseudonyms(SiteKeys.open(Path(site_dir)).pseudonym_key)
    store = RecordStore.open_or_create(Path(site_dir), image_size=image_size)
    try:
        known = frozenset(store.known_files())
        opted_out = OptOuts(SitePaths(Path(site_dir)), pseudonyms).now()
        reader = JobReader(pseudonyms, image_size, known, opted_out, with_reports=bool(listing.reports), rules=rules)
        intake = _Intake(store, opted_out)
        for done, outcome in enumerate(outcomes(reader, listing.jobs, workers=workers), start=1):
            intake.take(outcome)
            if progress is not None:
                progress(done, len(listing.jobs))
        intake.flush()
        unmatched = intake.take_reports(pseudonyms, listing.reports)
        return intake.report(unmatched)
    finally:
        store.close()


class _Intake:
    """Gathers outcomes into transactions, and counts."""

    def __init__(self, store: RecordStore, opted_out: frozenset[str]) -> None:
        self._store, self._opted_out = store, opted_out
        self._batch: list[Outcome] = []
        self._seen: set[str] = set()
        self._reasons: Counter[Reason] = Counter()
        self._ingested = self._records = self._known = 0
        self._words: dict[str, set[str]] = defaultdict(set)

    def take(self, outcome: Outcome) -> None:
        """Count one outcome and keep it for the next transaction."""
        if outcome.words:
            self._words[outcome.imaging_study].update(outcome.words)
        if outcome.reason is None and outcome.digest in self._seen:
            outcome = Outcome(outcome.place, Reason.DUPLICATE)
        self._seen.add(outcome.digest)
        if outcome.reason is not None:
            self._reasons[outcome.reason] += 1
        elif outcome.known:
            self._known += 1
        else:
            self._ingested += 1
        self._batch.append(outcome)
        if len(self._batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Store what was taken since the last time, all or nothing."""
        batch, self._batch = self._batch, []
        taken = [outcome for outcome in batch if outcome.reason is None]
        self._records += self._store.add_many(
            images=[image for outcome in taken for image in outcome.images],
            reports=[report for outcome in taken for report in outcome.reports],
            files=[(outcome.digest, outcome.pseudonym) for outcome in taken if not outcome.known],
            refused=[(outcome.place, outcome.reason.value) for outcome in batch if outcome.reason is not None],
            settled=[outcome.place for outcome in taken],
        )

    def take_reports(self, pseudonyms: Pseudonyms, reports: Iterable[tuple[str, str]]) -> int:
        """Store the reports whose accession number belongs to images of one patient; return how many did not.

        A report of which de-identification leaves nothing is no record.
        """
        matched, unmatched = [], 0
        for number, text in reports:
            study = pseudonyms.imaging_study(number)
            owners = self._store.patients_of_study(study)
            if len(owners) != 1 or owners[0] in self._opted_out:
                unmatched += 1
                continue
            clean = deidentify(text, known=[*self._words.get(study, ()), *known_words([number])])
            if not clean:
                continue
            like = RecordRow("", owners[0], study, "", self._store.body_part_of_study(study), "", "", "")
            matched.append((report_row(pseudonyms, like, clean, REPORT), clean))
        self._records += self._store.add_many(reports=matched)
        return unmatched

    def report(self, unmatched: int) -> IngestReport:
        """The figures."""
        reasons = {reason.value: count for reason, count in sorted(self._reasons.items())}
        return IngestReport(
            ingested=self._ingested,
            quarantined=sum(reasons.values()),
            records=self._records,
            reasons=reasons,
            known=self._known,
            unmatched_reports=unmatched,
        )
