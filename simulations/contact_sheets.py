"""Contact sheets: what a generator makes of prompts and of nothing, one PNG per task.

No image of a patient is drawn, and none that was made from one: a translation shows its patient's anatomy. A strip that
does not say that it came from a prompt is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from simulations.report import Strip, TaskSamples

_INCH = 0.62
"""Of an image on a side."""


def write_sheets(tasks: Sequence[TaskSamples], folder: Path) -> list[Path]:
    """Writes into the folder, which is made if need be; tasks that have nothing to draw are left out.
    Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for task in tasks:
        made = [strip for strip in task.strips if strip.from_prompt]
        if made:
            path = folder / f"{_name(task.title)}.png"
            _draw(task.title, made, path)
            written.append(path)
    return written


def _draw(title: str, strips: Sequence[Strip], path: Path) -> None:
    columns = max(len(strip.images) for strip in strips)
    figure = Figure(figsize=(_INCH * columns, _INCH * len(strips) * 1.35 + 0.3), layout="constrained")
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    for axes, strip in zip(figure.subplots(len(strips), 1, squeeze=False)[:, 0], strips, strict=True):
        axes.imshow(np.hstack(list(strip.images)), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(strip.title, fontsize=7, loc="left", pad=2)
        axes.set_axis_off()
    figure.savefig(path, dpi=130)


def _name(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
