"""A part of the corpus is an image folder of its own: its own pictures, and no others."""

from __future__ import annotations

from pathlib import Path

from simulations.real_corpus import part_of

ROWS = [
    {
        "image_id": f"{source}-{patient}-{n}",
        "patient_id": f"{source}-{patient}",
        "source": source,
        "path": f"{source}/{patient}-{n}.png",
        "path256": "large.png",
    }
    for source, patients in (("many", 20), ("few", 2))
    for patient in range(patients)
    for n in range(3)
]


def test_a_part_holds_its_own_pictures_and_no_others(tmp_path: Path) -> None:
    for row in ROWS:
        (tmp_path / "all" / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / row["path"]).write_bytes(row["image_id"].encode())
    held = {"many-3", "few-0"}
    own = [row for row in ROWS if row["patient_id"] in held]
    folder = part_of(tmp_path / "all", own, tmp_path / "held")
    pictures = {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in folder.rglob("*.png")}
    assert pictures == {row["path"]: row["image_id"] for row in own}
    text = (folder / "index.csv").read_text(encoding="utf-8")
    assert "large.png" not in text
    assert len(text.splitlines()) == 1 + len(own)
