"""The same study on Flower's own engine: sites in other processes, known by their partition, to the same generator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("ray_program.py")


@pytest.mark.ray
def test_ray_and_the_local_grid_train_the_same_generator(tmp_path: Path) -> None:
    folder = tmp_path / "initial"
    for flow in ("ct", "xray"):
        path = folder / "groups" / "alignment" / f"{flow}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({f"alignment.{flow}.w": np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)}, path)
    (folder / "config.json").write_text('{"diffusion_subset": "attention"}')
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "completed": True,
        "rounds": [["align", 1, ["north", "south"]], ["align", 2, ["north", "south"]]],
        "in_other_processes": True,
        "environment_restored": True,
    }
    for flow in ("ct", "xray"):
        of_ray, of_local = (
            load_file(tmp_path / engine / "generator" / "groups" / "alignment" / f"{flow}.safetensors")
            for engine in ("ray", "local")
        )
        # Replies may be folded in another order; a sum of two is the same in fp32.
        np.testing.assert_array_equal(of_ray[f"alignment.{flow}.w"], of_local[f"alignment.{flow}.w"])
