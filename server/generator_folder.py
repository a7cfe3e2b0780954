"""The generator folder at the server: read its groups, and write the study's result beside it. Without torch.

Only `groups/<family>/<flow>.safetensors` changes in a study; encoder, codecs and trunks are public, frozen and copied.
The result keeps the last weights as its groups and the averaged ones in `groups_ema/`, of the same layout.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medm2g.curves import other_curve, stored_curves
from medm2g.errors import MedM2GError
from medm2g.subsets import Subsets
from protocol.digests import CARD, digest_folder
from protocol.groups import reads_of
from protocol.study import Study
from server.errors import GeneratorInvalid
from server.rounds import RoundRecord
from server.tensor_file import StoredArrays, TensorFile, TensorFileInvalid, copy_arrays

GROUPS = "groups"
GROUPS_EMA = "groups_ema"
_CARD_HEADING = "## Federated training"


def groups_of_study(study: Study) -> list[str]:
    """Every group that some stage of the study trains or reads at some site, sorted."""
    return sorted(
        {
            name
            for stage in study.stages
            for site in study.sites
            for name in (*study.groups_of(stage.name, site), *reads_of(study, stage.name, site))
        }
    )


def bind(study: Study, folder: Path) -> Study:
    """The study, bound to this folder's bytes. Raises GeneratorInvalid for another folder or other trained subsets."""
    if not (folder / GROUPS).is_dir():
        raise GeneratorInvalid(f"{folder.name} is not a generator folder: it has no `{GROUPS}`.")
    digest = digest_folder(folder)
    if study.generator_digest not in ("", digest):
        raise GeneratorInvalid(
            "The generator folder is not the one the study names (its digest differs): give the folder the study "
            "was made with, or make the study again."
        )
    _check_subsets(study, folder)
    _check_curves(study, folder)
    return study.with_generator(digest=digest)


def _check_subsets(study: Study, folder: Path) -> None:
    """A folder stores as groups what its own subsets train; only torch knows how to divide a generator otherwise."""
    wanted = Subsets.of(study.training)
    try:
        stored = Subsets.stored_in(folder)
    except MedM2GError as error:
        raise GeneratorInvalid(str(error)) from None
    if stored != wanted:
        raise GeneratorInvalid(
            f"The generator folder is divided for training {stored.instead_of(wanted)}: load it, call "
            f"set_subsets({wanted!r}) and save it again, or change `training` in the study."
        )


def _check_curves(study: Study, folder: Path) -> None:
    """Images along another tone curve than the generator learnt from train it all the same, and worse."""
    if flow := other_curve(stored_curves(folder), study.curves):
        raise GeneratorInvalid(
            f"The generator learnt the flow {flow} along another tone curve than the study's `intensity` says: copy "
            "that flow's `intensity` from the generator's config.json into the study, or pre-train the flow anew."
        )


def open_groups(study: Study, folder: Path) -> dict[str, StoredArrays]:
    """The study's groups as they lie in the folder, unread. Raises GeneratorInvalid for one that is missing."""
    return {name: _open(folder / GROUPS / f"{name}.safetensors", name) for name in groups_of_study(study)}


def _open(path: Path, group_name: str) -> StoredArrays:
    try:
        return StoredArrays(TensorFile(path))
    except (OSError, TensorFileInvalid):
        raise GeneratorInvalid(
            f"The generator folder has no readable group {group_name}, which the study trains or reads: "
            "start from a generator that has all of the study's flows."
        ) from None


def write_generator(
    source: Path,
    target: Path,
    *,
    groups: Mapping[str, StoredArrays],
    ema: Mapping[str, StoredArrays],
    study: Study,
    records: Sequence[RoundRecord],
) -> Path:
    """Write the result next to nothing half done: a copy of `source` with new groups, moved into place at the end."""
    building = target.with_name(f".{target.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(source, building, ignore=shutil.ignore_patterns(GROUPS_EMA, ".*"))
    _write_groups(building / GROUPS, groups)
    _write_groups(building / GROUPS_EMA, ema)
    card = building / CARD
    text = card.read_text(encoding="utf-8") if card.exists() else "# Generator\n"
    card.write_text(text.rstrip() + "\n\n" + card_section(study, records), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(building, target)
    return target


def _write_groups(folder: Path, groups: Mapping[str, StoredArrays]) -> None:
    for name, arrays in groups.items():
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_arrays(arrays, path)


def card_section(study: Study, records: Sequence[RoundRecord]) -> str:
    """What the card says of this study: by whom, how long, and under which privacy."""
    rounds = {stage.name: sum(r.stage == stage.name and r.completed for r in records) for stage in study.stages}
    private = study.privacy.enabled and all(site.private for site in study.sites)
    lines = [
        _CARD_HEADING,
        "",
        f"Study `{study.name}`. {study.description}".rstrip(),
        "",
        "Rounds: " + ", ".join(f"{stage} {count}" for stage, count in rounds.items()) + ".",
        "",
        "| site | flows | declared patients | rounds accepted | ε as reported (δ) |",
        "| --- | --- | --- | --- | --- |",
    ]
    spent = epsilon_by_site(records)
    for site in study.sites:
        accepted = sum(record.completed and site.name in record.accepted for record in records)
        delta = study.privacy.delta_fraction / site.declared_patients
        epsilon = f"{spent[site.name]:.3f} ({delta:.2g})" if site.name in spent else "none reported"
        row = (site.name, ", ".join(site.flows), site.declared_patients, accepted, epsilon)
        lines.append("| " + " | ".join(str(cell) for cell in row) + " |")
    if not private:
        without = [site.name for site in study.sites if not (study.privacy.enabled and site.private)]
        lines += ["", f"**NOT PRIVATE: trained without differential privacy at {', '.join(without)}.**"]
    return "\n".join(lines) + "\n"


def epsilon_by_site(records: Iterable[RoundRecord]) -> Mapping[str, float]:
    """The last ε that each site reported as spent."""
    spent = {}
    for record in records:
        for name, outcome in record.sites.items():
            if "epsilon_spent" in outcome.metrics:
                spent[name] = outcome.metrics["epsilon_spent"]
    return spent
