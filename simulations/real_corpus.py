"""What a federation reaches on real images, without privacy: python -m simulations.real_corpus DATA

Some of the patients of all sources are held out before anybody trains (`held_out_of`; patients whom a source does not
name are clusters or neighbours in its files, see the corpus' own page). The study trains on the rest; `fedm2g evaluate`
compares what the generator makes with what was held out.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.progress import Progress

from simulations.evaluate.folder import EvaluateOptions, evaluate_folder
from simulations.evaluate.tasks import tasks_page
from simulations.evaluation import EvaluationSettings
from simulations.real_sites import held_out_of
from simulations.simulate import Simulation, simulate

STUDY = Path(__file__).resolve().parents[1] / "studies" / "corpus-open.toml"
Row = Mapping[str, str]


def part_of(data: Path, rows: Iterable[Row], folder: Path) -> Path:
    """An image folder of these rows, their pictures copied. Returns it."""
    folder.mkdir(parents=True)
    kept = [{**row, "path256": ""} for row in rows]
    for row in kept:
        (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / row["path"], folder / row["path"])
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    return folder


def main() -> None:
    """See the module's docstring."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, help="Image folder with index.csv: the corpus.")
    arguments.add_argument("--page", type=Path, default=Path("docs/corpus.md"))
    arguments.add_argument("--sheets", type=Path, default=Path("docs/sheets"))
    arguments.add_argument("--out", type=Path, default=Path("runs/corpus-open"))
    options = arguments.parse_args()
    with (options.data / "index.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    held = set(held_out_of({row["patient_id"]: row["source"] for row in rows}, declared=0))
    with tempfile.TemporaryDirectory() as temporary, Progress() as progress:
        learnt = part_of(
            options.data, [row for row in rows if row["patient_id"] not in held], Path(temporary) / "learnt"
        )
        kept = part_of(options.data, [row for row in rows if row["patient_id"] in held], Path(temporary) / "held")
        once = EvaluationSettings(sampling_seeds=(0,))
        simulate(
            Simulation(STUDY, data=learnt, out=options.out, privacy=False, public_continued=False, evaluation=once),
            progress=progress,
        )
        # one draw of each: the alignment that would choose among more has been taught by phantoms alone
        judged = EvaluateOptions(str(options.out / "generator"), kept, candidates=1, sheets=options.sheets)
        figures = evaluate_folder(judged, progress=progress)
    title = f"Real images: the federation of `studies/{STUDY.name}` on patients whom no site held"
    options.page.write_text(tasks_page(figures, title=title), encoding="utf-8")


if __name__ == "__main__":
    main()
