"""Contact sheets: one file per task with images from prompts; no patient's image in any, nor what was made from one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from medm2g.config import preset
from medm2g.generator import Generator
from protocol.study import Study
from simulations.contact_sheets import write_sheets
from simulations.evaluation import EvaluationSettings
from simulations.held_out_phantoms import held_out_phantoms
from simulations.report import Strip, TaskSamples
from simulations.samples import SampleBook

MADE = np.zeros((4, 64, 64), dtype=np.float32)


def test_a_sheet_per_task_and_none_without_generated_images(tmp_path: Path) -> None:
    tasks = [
        TaskSamples("Text to image: ct", strips=[Strip("held-out", MADE), Strip("generated", MADE, from_prompt=True)]),
        TaskSamples("Translation", strips=[Strip("source", MADE), Strip("generated", MADE)]),
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
        record = Strip("source", np.full((4, 64, 64), brightness, dtype=np.float32))
        task = TaskSamples("Translation", strips=[record, Strip("generated", MADE, from_prompt=True)])
        (path,) = write_sheets([task], tmp_path / str(number))
        with Image.open(path) as sheet:
            sheets.append(np.asarray(sheet))
    np.testing.assert_array_equal(*sheets)


def test_of_all_that_a_report_shows_only_prompts_and_nothing_give_what_may_be_drawn() -> None:
    """Held-out records, sources, truths, and translations of a patient's images stay out."""
    study = Study.read(Path(__file__).resolve().parents[2] / "studies" / "demo.toml")
    held_out = held_out_phantoms(study, per_flow=4, size=64, processes=1)
    book = SampleBook(held_out, EvaluationSettings(num_inference_steps=1), seed=0)
    tasks = book.tasks(Generator(preset("tiny")))
    drawn = {task.title.split(",")[0].split(":")[0] for task in tasks if any(s.from_prompt for s in task.strips)}
    assert drawn == {"Text to image", "Medical image generation"}
    translated = [task for task in tasks if "translation" in task.title or "synthesis" in task.title]
    assert translated and not [strip for task in translated for strip in task.strips if strip.from_prompt]
    records = [image for flow in held_out.flows.values() for image in flow.images]
    shown = [image for task in tasks for strip in task.strips if strip.from_prompt for image in strip.images]
    assert shown and not [1 for image in shown for record in records if np.array_equal(image, record)]
