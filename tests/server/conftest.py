"""A study of three small sites with real messages: fake hospitals that answer like a vault, and a tiny generator."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, MessageType, RecordDict
from safetensors.numpy import load_file, save_file

from protocol.codes import Code
from protocol.digests import digest_folder, digest_group
from protocol.records import (
    description_to_record,
    reply_to_record,
    train_request_from_record,
)
from protocol.requests import SiteDescription, TrainReply, TrainRequest
from protocol.study import Study
from protocol.version import VERSION
from server.app import StudyResult, run_study
from simulations.local_grid import LocalGrid

MakeStudy = Callable[..., Study]
MakeSites = Callable[..., dict[str, Any]]
MakeGrid = Callable[..., LocalGrid]

FLOWS = ("xray", "ct", "text")
SHAPES = {"weight": (6, 4), "bias": (4,), "gate": ()}
STUDY: dict[str, Any] = {
    "name": "three",
    "flows": [{"name": "xray"}, {"name": "ct"}, {"name": "text", "kind": "text"}],
    "sites": [
        {"name": "north", "flows": ["xray", "text"], "declared_patients": 100},
        {"name": "south", "flows": ["ct", "text"], "declared_patients": 100, "aggregation_weight": 2.0},
        {"name": "both", "flows": ["xray", "ct", "text"], "declared_patients": 100, "aggregation_weight": 0.5},
    ],
    "stages": [
        {"name": "align", "rounds": 2, "learning_rate": 0.01},
        {"name": "diffuse", "rounds": 3, "learning_rate": 0.01},
        {"name": "guide", "rounds": 2, "learning_rate": 0.01},
    ],
    "federation": {"quorum": 2, "deadline_seconds": 5.0, "max_reply_bytes": 100_000},
}


@pytest.fixture
def generator_folder(tmp_path: Path) -> Path:
    """Groups of every family and flow, a frozen trunk, a card."""
    folder, rng = tmp_path / "initial", np.random.default_rng(5)
    for family in ("alignment", "diffusion", "cross_guidance"):
        for flow in FLOWS:
            if (family, flow) == ("alignment", "text"):
                continue
            path = folder / "groups" / family / f"{flow}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            arrays = {
                f"{family}.{flow}.{name}": np.asarray(rng.standard_normal(shape), dtype=np.float16)
                for name, shape in SHAPES.items()
            }
            save_file(arrays, path)
    for flow in FLOWS:
        path = folder / "trunks" / flow / "model.safetensors"
        path.parent.mkdir(parents=True)
        save_file({f"diffusion.{flow}.trunk": rng.standard_normal(7).astype(np.float16)}, path)
    (folder / "codecs").mkdir()
    (folder / "codecs" / "xray.bin").write_bytes(b"frozen")
    (folder / "config.json").write_text(json.dumps({"diffusion_subset": "attention"}))
    (folder / "card.md").write_text("# Tiny\n")
    return folder


@pytest.fixture
def make_study(generator_folder: Path) -> Callable[..., Study]:
    """The study, bound to the folder; keywords replace whole sections."""

    def make(**changes: Any) -> Study:
        return Study.from_dict(STUDY | changes).with_generator(digest=digest_folder(generator_folder))

    return make


@dataclass
class FakeSite:
    """A hospital without patients: answers every request with an update that only its inputs decide.

    spoil: called with request and honest reply; what it returns is sent instead (a RecordDict, or a TrainReply).
    """

    name: str
    study_digest: str
    spoil: Callable[[TrainRequest, TrainReply], RecordDict | TrainReply] | None = None
    version: str = VERSION
    held: set[str] = field(default_factory=set)
    """Digests of groups that were sent here."""
    seen: list[TrainRequest] = field(default_factory=list)
    used: list[dict[str, str]] = field(default_factory=list)
    """Group digests each finished round depended on."""
    introductions: int = 0

    def __call__(self, message: Message, context: Context) -> Message:
        if message.metadata.message_type == MessageType.QUERY:
            self.introductions += 1
            return Message(description_to_record(self.description()), reply_to=message)
        request = train_request_from_record(message.content, max_bytes=10_000_000)
        self.seen.append(request)
        reply: RecordDict | TrainReply = self.answer(request)
        if self.spoil is not None:
            assert isinstance(reply, TrainReply)
            reply = self.spoil(request, reply)
        return Message(reply if isinstance(reply, RecordDict) else reply_to_record(reply), reply_to=message)

    def description(self) -> SiteDescription:
        return SiteDescription(site=self.name, versions={"fedm2g": self.version}, studies=(self.study_digest,))

    def answer(self, request: TrainRequest) -> TrainReply:
        facts: dict[str, Any] = {"site": self.name, "inputs_digest": request.inputs_digest}
        for name, arrays in request.groups.items():
            assert digest_group(arrays) == request.reads[name]
            self.held.add(request.reads[name])
        missing = tuple(name for name, digest in request.reads.items() if digest not in self.held)
        if missing:
            return TrainReply(code=Code.NEEDS_GROUPS, missing=missing, **facts)
        self.used.append(dict(request.reads))
        updates = {name: self.update(request, name) for name in request.trains}
        epsilon = float(len(self.used))
        return TrainReply(code=Code.OK, updates=updates, metrics={"epsilon_spent": epsilon}, **facts)

    def update(self, request: TrainRequest, group: str) -> dict[str, np.ndarray]:
        """Pulls the parameters towards a point that round, group and site decide."""
        rng = np.random.default_rng(zlib.crc32(f"{self.name}{request.inputs_digest}{group}".encode()))
        return {
            name: np.asarray(0.01 * rng.standard_normal(array.shape) - 0.01 * array, dtype=np.float32)
            for name, array in request.groups[group].items()
        }


@pytest.fixture
def fake_sites() -> Callable[..., dict[str, FakeSite]]:
    """Honest sites of a study; keywords give a site's `spoil`."""

    def make(study: Study, **spoils: Any) -> dict[str, FakeSite]:
        digest = study.digest(version=VERSION)
        return {site.name: FakeSite(site.name, digest, spoils.get(site.name)) for site in study.sites}

    return make


@pytest.fixture
def grid_of(task_identity: None) -> Callable[..., LocalGrid]:
    """A local grid over site apps."""
    return LocalGrid


@pytest.fixture
def play(
    tmp_path: Path, generator_folder: Path, make_study: MakeStudy, fake_sites: MakeSites, grid_of: MakeGrid
) -> Callable[..., StudyResult]:
    """Run the study of conftest in `tmp_path/<out>`; `sites` replaces the honest ones."""

    def run(out: str = "run", study: Study | None = None, sites: dict[str, Any] | None = None, **options: Any) -> Any:
        study = study or make_study()
        grid = grid_of(sites or fake_sites(study))
        return run_study(grid, study, generator_folder=generator_folder, out=tmp_path / out, **options)

    return run


def groups_in(result: StudyResult) -> dict[str, np.ndarray]:
    assert result.generator is not None
    return {
        f"{path.parent.name}/{name}": array
        for path in sorted((result.generator / "groups").rglob("*.safetensors"))
        for name, array in load_file(path).items()
    }


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


# --- the road ---------------------------------------------------------------------------------------------------------
