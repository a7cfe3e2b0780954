"""A data set in which every element of PS3.15 table E.1-1 holds a value that can be recognised wherever it is."""

from __future__ import annotations

from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from privacy.basic_profile import table_tags

#: Of repeating groups: the overlay's data, description, subtype and label, and a curve's; (group, element, VR).
REPEATED = (
    (0x6000, 0x3000, "OW"), (0x6000, 0x0022, "LO"), (0x6000, 0x0045, "LO"), (0x6000, 0x1500, "LO"),
    (0x6000, 0x4000, "LT"), (0x6002, 0x3000, "OW"), (0x6002, 0x0022, "LO"), (0x5000, 0x3000, "OW"),
    (0x5000, 0x0022, "LO"), (0x5002, 0x2500, "LO"),
)  # fmt: skip
_SPARED = {"SpecificCharacterSet"}


class Planter:
    """Hands out values, each once, and remembers them as they would be found in bytes."""

    def __init__(self) -> None:
        self.marks: list[str] = []

    def value(self, vr: str) -> Any:
        """A value of a value representation, or None where it cannot hold anything that could be recognised."""
        number = 7_310_000 + 17 * len(self.marks)
        made = {
            "PN": f"Zq{number}^Qx{number}", "UI": f"1.2.826.0.1.{number}", "DA": f"19{number % 90 + 10}0"
                                                                                 f"{number % 9 + 1}17",
            "TM": f"{number % 14 + 10}{number % 50 + 10}37.{number % 1000000:06d}", "DT": f"19450{number % 9 + 1}13101"
                                                                                          f"112.{number % 1000000:06d}",
            "AS": f"{number % 900 + 100:03d}Y", "IS": str(number), "DS": str(number), "UR": f"https://zq{number}.examp"
                                                                                            f"le/x",
            "AE": f"ZQ{number}", "CS": f"ZQ{number}", "SH": f"Zq{number}", "LO": f"Zq{number} lo", "ST": f"Zq{number} "
                                                                                                         f"st",
            "LT": f"Zq{number} lt", "UT": f"Zq{number} ut", "UC": f"Zq{number} uc",
        }.get(vr)  # fmt: skip
        if made is not None:
            self.marks.append(f"Zq{number}" if vr == "PN" else made.removeprefix("https://").split(".example")[0])
            return made
        if vr in ("OB", "OW", "UN", "OB or OW", "US or SS or OW", "OL", "OD", "OF", "OV"):
            self.marks.append(f"Zq{number}")
            return f"Zq{number} secret bytes".ljust(32).encode()
        if vr in ("US", "SS", "US or SS"):
            return 31_337
        if vr in ("UL", "SL", "UV", "SV", "AT"):
            self.marks.append(str(number))
            return number
        if vr in ("FL", "FD"):
            return float(number)
        return None


def fill(dataset: Dataset, planter: Planter) -> int:
    """Plant every element of the table that the data set may hold and does not need itself; how many."""
    planted = 0
    for tag in sorted(tag for tag in table_tags() if len(tag) == 2 and tag[0] > 2):  # not of messages, not of file meta
        where = Tag(tag)
        keyword = keyword_for_tag(where)
        if not keyword or keyword in _SPARED or keyword == "PixelData" or where.is_private:
            continue
        vr = dictionary_VR(where)
        if vr == "SQ":
            dataset.add_new(where, "SQ", Sequence([_item(planter)]))
        elif (value := planter.value(vr)) is not None:
            many = dictionary_VM(where) not in ("1",) and vr in ("LO", "PN", "UI", "SH")
            dataset.add_new(where, vr.split(" or ")[-1] if " or " in vr else vr, [value] if many else value)
        else:
            continue
        planted += 1
    return planted


def fill_beside(dataset: Dataset, planter: Planter) -> None:
    """Overlays, curves, an icon, and private elements at three depths."""
    for group, element, vr in REPEATED:
        dataset.add_new((group, element), vr, planter.value(vr))
    icon = Dataset()
    icon.add_new((0x7FE0, 0x0010), "OW", planter.value("OW"))
    icon.ImageComments = planter.value("LT")
    dataset.IconImageSequence = [icon]
    _private(dataset, planter)


def _item(planter: Planter) -> Dataset:
    item = Dataset()
    item.PatientName, item.PatientComments = planter.value("PN"), planter.value("LT")
    item.SOPInstanceUID, item.StudyDate = planter.value("UI"), planter.value("DA")
    item.CodeValue, item.CodeMeaning = planter.value("SH"), planter.value("LO")
    inner = Dataset()
    inner.InstitutionName, inner.OperatorsName = planter.value("LO"), planter.value("PN")
    _private(inner, planter)
    item.ReferencedStudySequence = [inner]
    _private(item, planter)
    return item


def _private(dataset: Dataset, planter: Planter) -> None:
    block = dataset.private_block(0x0099, planter.value("LO"), create=True)
    block.add_new(0x01, "LO", planter.value("LO"))
    block.add_new(0x02, "UN", planter.value("UN"))
