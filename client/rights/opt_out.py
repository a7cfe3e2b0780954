"""Who takes part in nothing: the hospital's opt-out list, and its memory of patients who were forgotten.

Both are asked before every draw, so a line that is added holds from the next step on, in a round that runs too; and at
every ingest, so that nobody who left comes back with a second one. Neither is in the policy's digest or the ledger: an
entry that depends on a patient would itself tell something about a patient.

A list that cannot be read stops training and ingest. One that is not there names nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from client.rights.naming import lines_of, names_in
from client.site_config import SitePaths
from privacy.deidentify import Pseudonyms

if TYPE_CHECKING:
    from privacy.engines import PatientLoss

_Stamp = tuple[int, int, int] | None


class OptOuts:
    """The two lists of one site, read again whenever a file has changed. Prints nothing of them."""

    def __init__(self, paths: SitePaths, pseudonyms: Pseudonyms) -> None:
        self._files = (paths.opt_out, paths.forgotten)
        self._pseudonyms = pseudonyms
        self._lock = threading.Lock()
        self._read: tuple[tuple[_Stamp, ...], frozenset[str]] | None = None

    def __repr__(self) -> str:
        return "OptOuts(hidden)"

    def now(self) -> frozenset[str]:
        """Keyed hashes of everybody who takes part in nothing, pseudonyms among them. Raises ListUnreadable."""
        with self._lock:
            stamps = tuple(_stamp(path) for path in self._files)
            if self._read is None or self._read[0] != stamps:
                present = [path for path, stamp in zip(self._files, stamps, strict=True) if stamp is not None]
                lines = [line for path in present for line in lines_of(path)]
                names = frozenset[str]().union(*(names_in(line, self._pseudonyms) for line in lines))
                self._read = (stamps, names)
            return self._read[1]

    def participating(self, pseudonyms: Collection[str]) -> list[str]:
        """Those who may be drawn, in the order given. Raises ListUnreadable."""
        out = self.now()
        return [pseudonym for pseudonym in pseudonyms if pseudonym not in out]


def honouring(loss: PatientLoss, opt_outs: OptOuts) -> PatientLoss:
    """The same loss, to which a patient who has opted out meanwhile contributes nothing, as if not drawn."""
    return _HonouringLoss(loss, opt_outs)


class _HonouringLoss:
    def __init__(self, loss: Any, opt_outs: OptOuts) -> None:
        self._loss, self._opt_outs = loss, opt_outs

    def draw(self, pseudonym: str, *, generator: Any) -> Any:
        return [] if pseudonym in self._opt_outs.now() else self._loss.draw(pseudonym, generator=generator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)  # `loss`, and `touched` where there is one


def _stamp(path: Any) -> _Stamp:
    """Changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
