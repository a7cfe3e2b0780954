"""How much drawn text the sieve for burned-in text finds over real images, by height, and how often it errs.

    python tests/client/records/drawn_text.py CORPUS [images of each source]

CORPUS: a folder with `index.csv` whose rows have `path256`. X-rays there carry genuine text: look at what it prints.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

TEXTS = ("DOE, JANE", "KOWALSKI^ANNA", "12/03/1954", "MRN 4482913", "15:42:07", "St. Mary's", "ID: 77120393", "F 063Y")
HEIGHTS = (10, 14, 21)
"""Of the font, pixels; the image has 256."""


def main(corpus: Path, most: int) -> None:
    """Print recall by modality and height, and every untouched image that was taken for text."""
    from client.records.burned_text import shows_text

    rng = Random(3)
    with (corpus / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path256"]]
    rng.shuffle(rows)
    seen: dict[str, int] = defaultdict(int)
    found: dict[tuple[str, int], list[bool]] = defaultdict(list)
    flagged = []
    for row in rows:
        seen[row["source"] + row["modality"]] += 1
        if seen[row["source"] + row["modality"]] > most:
            continue
        picture = Image.open(corpus / row["path256"]).convert("L")
        if shows_text(np.asarray(picture, dtype=np.float32)):
            flagged.append(row["path256"])
        for height in HEIGHTS:
            drawn, font = picture.copy(), ImageFont.load_default(size=height)
            words = rng.choice(TEXTS)
            left = rng.choice([3, max(3, int(picture.width - ImageDraw.Draw(drawn).textlength(words, font=font) - 4))])
            where = (left, rng.choice([3, picture.height - height - 4]))
            ImageDraw.Draw(drawn).text(where, words, fill=rng.choice([255, 255, 235]), font=font)
            found[row["modality"], height].append(shows_text(np.asarray(drawn, dtype=np.float32)))
    for (modality, height), hits in sorted(found.items()):
        print(f"{modality} {height} px: {sum(hits)} of {len(hits)} found ({sum(hits) / len(hits):.1%})")
    print(f"taken for text as they are: {len(flagged)} of {sum(min(count, most) for count in seen.values())}", *flagged)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
