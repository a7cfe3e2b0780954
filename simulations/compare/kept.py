"""Verdicts that are done, kept beside the comparison: judging takes longer than training, and may be stopped too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simulations.summary import FlowQuality, Quality, write_atomically

VERDICTS = "verdicts.json"
_SERIES = ("frechet", "finding_accuracy")
"""One value per sampling seed: tuples here, lists in JSON."""


class KeptVerdicts:
    """Figures by the digest of the generator folder, all under the same terms; those of other terms are forgotten."""

    def __init__(self, path: Path, terms: Mapping[str, Any]) -> None:
        """terms: all that a verdict depends on besides the generator, as JSON keeps it."""
        self.path, self.terms = path, json.loads(json.dumps(terms))
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        same = found.get("terms") == self.terms
        self.ceiling: dict[str, float] = found["held_out_accuracy"] if same else {}
        self._flows: dict[str, dict[str, Any]] = found["generators"] if same else {}

    def __contains__(self, digest: str) -> bool:
        return digest in self._flows

    def quality(self, digest: str) -> Quality:
        """Of a generator that was judged."""
        found = self._flows[digest]
        return Quality(
            {flow: FlowQuality(**own | {name: tuple(own[name]) for name in _SERIES}) for flow, own in found.items()}
        )

    def keep(self, digest: str, quality: Quality) -> None:
        """One more generator's."""
        self._flows[digest] = {flow: asdict(found) for flow, found in quality.flows.items()}
        self._write()

    def keep_ceiling(self, ceiling: Mapping[str, float]) -> None:
        """The referee's accuracy on the records themselves."""
        self.ceiling = dict(ceiling)
        self._write()

    def _write(self) -> None:
        kept = {"terms": self.terms, "held_out_accuracy": self.ceiling, "generators": self._flows}
        write_atomically(self.path, json.dumps(kept) + "\n")
