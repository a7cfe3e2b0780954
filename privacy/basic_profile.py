"""The Basic Application Level Confidentiality Profile (DICOM PS3.15 table E.1-1), as the second layer of a copy.

The table and its actions are dicom-anonymizer's (edition 2026c, and whatever its older editions listed besides). What
that library leaves undone is done here: items of sequences at any depth, value representations for which it has no
dummy, dates that it fills with a dummy date instead of removing them, the overlay description (60xx,0022), curves and
icons, and UIDs, which it would draw at random for every run: ours are keyed hashes, equal for equal UIDs of this site
and of no other.

The first layer is the allow-list of `privacy.copied_elements`. Each layer alone lets no element of the table through;
the tests take either away.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import cache
from typing import Any

from privacy.deidentify import Pseudonyms

Action = Callable[[Any, Any], None]

_EDITIONS = ("dicomfields_2023", "dicomfields_2024b", "dicomfields_2026c")
_KEPT_UIDS = frozenset({"TransferSyntaxUID", "SOPClassUID", "MediaStorageSOPClassUID", "ReferencedSOPClassUID"})
"""UIDs of the standard; they name no instance."""
_REPEATING = {0x5000: "curves", 0x6000: "overlays"}
_ICONS = ("IconImageSequence", "EncapsulatedDocument", "OriginalAttributesSequence", "DigitalSignaturesSequence")
_TEMPORAL = ("DA", "DT", "TM")


def keyed_uid(pseudonyms: Pseudonyms, uid: str) -> str:
    """A UID of the 2.25 branch (ISO/IEC 9834-8) for another: 128 bits of a keyed hash, the same at every call."""
    return f"2.25.{int(pseudonyms.of('uid', uid.strip()), 16)}"


def apply_basic_profile(dataset: Any, *, pseudonyms: Pseudonyms) -> None:
    """Change a pydicom data set in place, every level of it. Its file meta is left to whoever writes the file."""
    for item in _items(dataset):
        apply_basic_profile(item, pseudonyms=pseudonyms)
    _drop_groups(dataset)
    from dicomanonymizer import anonymize_dataset

    with contextlib.redirect_stdout(io.StringIO()):  # the library prints tags that it cannot read
        anonymize_dataset(dataset, delete_private_tags=False, base_rules_gen=lambda: _rules(pseudonyms))
    dataset.remove_private_tags()


@cache
def table_tags() -> frozenset[tuple[int, ...]]:
    """Every row of table E.1-1 as the library has it: (group, element), or with masks for repeating groups."""
    return frozenset(tag for edition in _EDITIONS for tag in _actions(edition))


def _actions(edition: str) -> dict[tuple[int, ...], Action]:
    from dicomanonymizer.simpledicomanonymizer import initialize_actions

    actions: dict[tuple[int, ...], Action] = initialize_actions(edition)
    return actions


def _rules(pseudonyms: Pseudonyms) -> dict[tuple[int, ...], Action]:
    """The library's actions, newest edition last, each made to end in removal where it cannot do its work."""

    def careful(action: Action) -> Action:
        def act(dataset: Any, tag: Any) -> None:
            _act(dataset, tag, action, pseudonyms)

        return act

    return {tag: careful(action) for edition in _EDITIONS for tag, action in _actions(edition).items() if tag[0] != 2}


def _act(dataset: Any, tag: Any, action: Action, pseudonyms: Pseudonyms) -> None:
    element = dataset.get(tag)
    if element is None:
        return
    name = action.__name__
    if element.VR == "UI" and (name.startswith("replace") or name.endswith("UID")):
        if element.keyword not in _KEPT_UIDS:
            element.value = _replaced(element.value, pseudonyms)
        return
    if element.VR in _TEMPORAL or element.VR == "SQ":  # no dummy date, and no emptied copies of items
        del dataset[element.tag]
        return
    try:
        action(dataset, tag)
    except NotImplementedError:  # a value representation without a dummy
        del dataset[element.tag]


def _replaced(value: Any, pseudonyms: Pseudonyms) -> Any:
    if isinstance(value, str) or value is None:
        return keyed_uid(pseudonyms, value) if value else ""
    return [keyed_uid(pseudonyms, str(one)) for one in value]


def _items(dataset: Any) -> list[Any]:
    return [item for element in dataset if element.VR == "SQ" for item in (element.value or ())]


def _drop_groups(dataset: Any) -> None:
    """Curves, overlays (their description, label and data alike) and icons, whatever the table says of each element."""
    for tag in [element.tag for element in dataset if element.tag.group & 0xFF00 in _REPEATING]:
        del dataset[tag]
    for name in _ICONS:
        if name in dataset:
            delattr(dataset, name)
