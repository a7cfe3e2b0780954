"""Reads the study of a simulation and writes it back exactly as it ran, every default filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from protocol.study import Study
from simulations.summary import write_atomically


def read_study(path: Path, *, private: bool) -> Study:
    """The study; with `private` false the same study without differential privacy anywhere. Raises StudyInvalid."""
    study = Study.read(path)
    return study if private else without_privacy(study)


def without_privacy(study: Study) -> Study:
    """The same study, trained without differential privacy at every site: the reference."""
    return study.model_copy(
        update={
            "privacy": study.privacy.model_copy(update={"enabled": False}),
            "sites": tuple(site.model_copy(update={"private": False}) for site in study.sites),
        }
    )


def write_study(path: Path, study: Study) -> None:
    """Write `study.toml`; reading it gives an equal study."""
    write_atomically(path, tomli_w.dumps(_plain(study.model_dump(mode="json"))))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if part is not None}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
