"""Contact sheets: one file per task that has anything generated, and no record of a patient in any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from simulations.contact_sheets import write_sheets
from simulations.report import Strip, TaskSamples

MADE = np.zeros((4, 64, 64), dtype=np.float32)


def test_a_sheet_per_task_and_none_without_generated_images(tmp_path: Path) -> None:
    tasks = [
        TaskSamples("Text to image: ct", strips=[Strip("held-out", MADE, record=True), Strip("generated", MADE)]),
        TaskSamples("Only records", strips=[Strip("held-out", MADE, record=True)]),
        TaskSamples("Report generation"),
    ]
    written = write_sheets(tasks, tmp_path / "new" / "sheets")
    assert [path.name for path in written] == ["text-to-image-ct.png"]
    with Image.open(written[0]) as sheet:
        assert sheet.size[0] > 100


def test_no_record_is_drawn(tmp_path: Path) -> None:
    """The sheet is the same whatever the records are."""
    sheets = []
    for number, brightness in enumerate((-1.0, 1.0)):
        record = Strip("source", np.full((4, 64, 64), brightness, dtype=np.float32), record=True)
        task = TaskSamples("Translation", strips=[record, Strip("generated", MADE)])
        (path,) = write_sheets([task], tmp_path / str(number))
        with Image.open(path) as sheet:
            sheets.append(np.asarray(sheet))
    np.testing.assert_array_equal(*sheets)
