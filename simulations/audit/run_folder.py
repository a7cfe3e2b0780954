"""A finished run as an auditor finds it: the study as it ran, what its summary states, the sites' folders, the
generator."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.study import Study
from protocol.version import VERSION
from simulations.errors import InputInvalid
from simulations.simulate import WORK

AUDIT = "audit"
"""Below the run folder: one JSON for each audit that was made."""


@dataclass(frozen=True)
class RunFolder:
    """One run."""

    folder: Path
    study: Study
    digest: str
    """As the summary states it; the ledgers name the study by it."""
    stated: dict[str, dict[str, Any]]
    """Site to what the summary says of it."""
    invented: bool
    """Every patient is a phantom."""
    sites: dict[str, Path]
    """Site to its folder."""

    @classmethod
    def open(cls, folder: Path, site_dirs: Sequence[Path]) -> RunFolder:
        """The run in `folder`; its sites lie in `work/sites` unless their folders are given. Raises InputInvalid."""
        study = Study.read(folder / "study.toml")
        summary = _summary(folder / "summary.json")
        found = {spec.name: folder / WORK / "sites" / spec.name for spec in study.sites}
        given = {_name(path): path for path in site_dirs}
        if unknown := sorted(set(given) - set(found)):
            raise InputInvalid(f"The study has no site called {unknown[0]}: give folders of its own sites.")
        return cls(
            folder=folder,
            study=study,
            digest=str(summary["digest"]),
            stated=summary["sites"],
            invented=summary.get("physics") is not None,
            sites=given or {name: path for name, path in found.items() if path.is_dir()},
        )

    @property
    def generator(self) -> Path:
        """The unified generator."""
        return self.folder / "generator"

    @property
    def same_version(self) -> bool:
        """The study, read by this version, has the digest under which it ran."""
        return self.study.digest(version=VERSION) == self.digest

    def result(self, kind: str) -> dict[str, Any] | None:
        """What an earlier audit of that kind left here. Raises InputInvalid for a file that is none."""
        path = self.folder / AUDIT / f"{kind}.json"
        if not path.is_file():
            return None
        found = _json(path)
        if found.get("kind") != kind:
            raise InputInvalid(f"{path.name} is not the result of an audit of that kind: delete it.")
        return found


def _summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputInvalid(f"There is no finished run in {path.parent}: it has no summary.json.")
    summary = _json(path)
    if not {"digest", "sites"} <= set(summary):
        raise InputInvalid("summary.json does not state the study's digest and its sites: it is of another version.")
    return summary


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputInvalid(f"{path.name} is not a JSON object: make it again.")
    return found


def _name(folder: Path) -> str:
    try:
        return str(tomllib.loads((folder / "site.toml").read_text(encoding="utf-8"))["name"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise InputInvalid(f"{folder.name} is not a site's folder: it has no readable site.toml.") from None
