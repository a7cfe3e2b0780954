"""A small generator, a small export and doubles for the audits that need a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medm2g.config import FlowConfig, preset
from medm2g.generator import Generator
from simulations.phantoms.export import export_hospital

SMALL = {"unet_channels": (16, 32), "environment_width": 16, "adapter_width": 16}


@pytest.fixture(scope="session")
def small_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator folder of X-ray and text with few random parameters."""
    folder = tmp_path_factory.mktemp("audit-generator") / "small"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        flows = (FlowConfig("xray"), FlowConfig("text", "text"))
        Generator(preset("tiny", flows=flows, diffusion_subset="norms", **SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of twelve invented patients."""
    return _export(tmp_path_factory.mktemp("audit-members") / "export", seed=1)


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve more of the same population."""
    return _export(tmp_path_factory.mktemp("audit-others") / "export", seed=2)


def _export(folder: Path, *, seed: int) -> Path:
    export_hospital(folder, patients=12, seed=seed, population="hospital-xray")
    return folder


@pytest.fixture
def study_file(tmp_path: Path, small_generator: Path) -> Path:
    """A private study of one X-ray hospital over the small generator."""
    path = tmp_path / "study.toml"
    path.write_text(
        f"""
name = "small"
generator = "{small_generator}"
flows = [{{name = "xray", modalities = ["CR", "DX"]}}, {{name = "text", kind = "text"}}]
[[sites]]
name = "north"
flows = ["xray", "text"]
declared_patients = 50
population = "hospital-xray"
[[stages]]
name = "align"
rounds = 2
sampling_probability = 0.2
[[stages]]
name = "diffuse"
rounds = 4
sampling_probability = 0.2
clipping_norm = 0.4
[privacy]
max_epsilon = 3.0
[training]
diffusion_subset = "norms"
"""
    )
    return path
