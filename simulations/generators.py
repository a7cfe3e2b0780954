"""Finds and opens a generator folder; the word `shipped` means the weights that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medm2g.subsets import Subsets
from simulations.errors import InputInvalid

if TYPE_CHECKING:
    from medm2g.generator import Generator
    from protocol.study import Study

SHIPPED_WORD = "shipped"


def generator_folder(word: str, *, preset: str = "tiny") -> Path:
    """The folder that `word` means. Raises InputInvalid."""
    import medm2g

    shipped = Path(medm2g.__file__).resolve().parent / "weights" / preset
    folder = shipped if word == SHIPPED_WORD else Path(word)
    if not (folder / "config.json").is_file():
        remedy = "run `fedm2g pretrain`" if word == SHIPPED_WORD else "give a generator folder or the word `shipped`"
        raise InputInvalid(f"There is no generator in {folder.name}: {remedy}.")
    return folder


def initial_folder(study: Study, *, into: Path) -> Path:
    """The folder that the study starts from; `into`, where it must be divided anew for what the study trains."""
    folder, wanted = generator_folder(study.generator, preset=study.preset), Subsets.of(study.training)
    return folder if Subsets.stored_in(folder) == wanted else divided_anew(folder, wanted, into)


def divided_anew(folder: Path, subsets: Subsets, into: Path) -> Path:
    """`into`, with the generator of `folder` whose groups hold those subsets; kept if it is there.
    Raises MedM2GError for a folder that cannot be read."""
    if not into.is_dir():
        from medm2g.generator import Generator

        generator = Generator.from_pretrained(folder)
        generator.set_subsets(subsets)
        generator.save_pretrained(into, card=(folder / "card.md").read_text(encoding="utf-8"))
    return into


def open_generator(word: str, *, preset: str = "tiny") -> Generator:
    """The generator, ready to sample. Raises InputInvalid, or MedM2GError for a folder that cannot be read."""
    from medm2g.generator import Generator

    return Generator.from_pretrained(generator_folder(word, preset=preset))
