"""The generator's card, as blocks that a page can show without trusting a word of it, and what must be shown in red."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What `server.generator_folder.card_section` writes of sites that trained without privacy.
_ALARM = "NOT PRIVATE"
_SITES = re.compile(r"NOT PRIVATE: trained without differential privacy at ([^*\n]+?)\.\**\s*$", re.MULTILINE)
NO_CARD = "This generator has no card: nothing is known of what it was trained on, nor under which privacy."


@dataclass(frozen=True)
class Card:
    """`card.md`, read."""

    text: str
    """Markdown, as it stands in the folder."""
    blocks: tuple[dict[str, Any], ...]
    """`heading` and `paragraph` with `text`; `list` with `items`; `table` with `rows`, the first being its heading."""
    alarms: tuple[str, ...] = field(default=())
    """Sentences to show in red: whatever says NOT PRIVATE, or that there is no card."""
    sites_without_privacy: tuple[str, ...] = field(default=())


def read_card(folder: Path) -> Card:
    """The card of a generator folder; the absence of one is an alarm, not an error."""
    path = folder / "card.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not text.strip():
        return Card("", ({"kind": "paragraph", "text": NO_CARD},), (NO_CARD,))
    blocks = tuple(_blocks(text))
    alarms = [said for block in blocks for said in _sentences(block) if _ALARM.lower() in said.lower()]
    sites = [name.strip() for said in _SITES.findall(text) for name in said.split(",")]
    return Card(text, blocks, tuple(alarms), tuple(dict.fromkeys(sites)))


def _blocks(text: str) -> Iterator[dict[str, Any]]:
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in part.splitlines() if line.strip()]
        while lines and lines[0].startswith("#"):
            yield {"kind": "heading", "text": _plain(lines.pop(0).lstrip("#"))}
        if not lines:
            continue
        if all(line.startswith("|") for line in lines):
            yield {"kind": "table", "rows": [_cells(line) for line in lines if not re.fullmatch(r"[|:\-\s]+", line)]}
        elif all(line.startswith(("- ", "* ")) for line in lines):
            yield {"kind": "list", "items": [_plain(line[2:]) for line in lines]}
        else:
            yield {"kind": "paragraph", "text": _plain(" ".join(lines))}


def _sentences(block: dict[str, Any]) -> list[str]:
    """Every text of a block that may be an alarm; a table speaks row by row."""
    return [block["text"]] if "text" in block else block.get("items") or [", ".join(row) for row in block["rows"]]


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in line.strip("|").split("|")]


def _plain(text: str) -> str:
    """Without the marks of emphasis and code: the page shows text, never markup."""
    return re.sub(r"\*\*|`", "", text).strip()
