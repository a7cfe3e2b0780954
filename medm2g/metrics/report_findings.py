"""Reads a report and says which findings it affirms, and on which side: rules with negation, for short radiology prose.

A finding counts when its phrase stands in a clause without a negation before it; its side is the nearest side word of
the same clause, else of the same sentence. Labels are spelt as the referee spells them: `nodule-left`, or just
`cardiomegaly` for what has no side.
"""

from __future__ import annotations

import re
from collections.abc import Collection

#: Finding to its phrases (regular expressions over lower-case text).
PHRASES: dict[str, str] = {
    "nodule": r"nodul\w*|coin lesion",
    "consolidation": r"consolidat\w*|airspace (?:opacity|opacification|disease)|pneumonia|infiltrat\w*",
    "effusion": r"effusion\w*|pleural fluid",
    "cardiomegaly": r"cardiomegaly|enlarged (?:heart|cardiac silhouette)|(?:heart|cardiac silhouette) (?:is )?enlarged",
    "pneumothorax": r"pneumothora\w*",
    "tumour": r"tumou?r\w*|(?<!no )mass\b|neoplasm\w*",
    "bleed": r"bleed\w*|h(?:a)?emorrhag\w*|h(?:a)?ematoma\w*",
    "lesions": r"white matter lesion\w*|demyelinat\w*|plaques?|hyperintens\w* (?:foci|lesions?)",
    "ventriculomegaly": r"ventriculomegaly|hydrocephalus|enlarged (?:lateral )?ventricles"
    r"|(?:ventricles|ventricular system) (?:is |are )?(?:enlarged|dilated)",
}
#: Findings that are in the middle, or on both sides by nature.
WITHOUT_SIDE = frozenset({"cardiomegaly", "lesions", "ventriculomegaly"})

_NEGATION = re.compile(
    r"\b(?:no|not|without|negative for|free of|absence of|absent|denies|nor|neither|rather than|ruled out)\b"
)
_SIDE = re.compile(r"\b(left|right)(?:-sided|ward)?\b")
_NEW_STATEMENT = re.compile(r"\bthere\b|\bshows?\b|\b(?:is|are) (?!seen|noted|identified|present|evident)")
_SENTENCE = re.compile(r"[.;\n]+")
_CLAUSE = re.compile(r",|\bbut\b|\bhowever\b|\bwith\b(?!out)|\bwhile\b|\balthough\b")


def finding_labels(text: str, *, visible: Collection[str] | None = None) -> frozenset[str]:
    """Labels that a report affirms, e.g. {`nodule-left`, `cardiomegaly`}; empty for a healthy report.

    visible: only these findings count, for a report that may speak of more than its images can show.
    """
    labels: set[str] = set()
    for sentence in _SENTENCE.split(text.lower()):
        for start, clause in _clauses(sentence):
            for finding, phrase in PHRASES.items():
                if visible is not None and finding not in visible:
                    continue
                for mention in re.finditer(phrase, clause):
                    if _NEGATION.search(clause[: mention.start()]) is None and not _negated_after(
                        clause, mention.end()
                    ):
                        labels.add(_label(finding, sentence, clause, start, mention))
    return frozenset(labels)


def _clauses(sentence: str) -> list[tuple[int, str]]:
    """Clauses with their place in the sentence; a negated list ("no nodule, effusion or mass") stays one clause."""
    cuts = [match.start() for match in _CLAUSE.finditer(sentence)]
    starts = [0, *cuts]
    parts = [(a, sentence[a:b]) for a, b in zip(starts, [*cuts, len(sentence)], strict=True)]
    merged: list[tuple[int, str]] = []
    for start, part in parts:
        bare_list_item = part.startswith(",") and _NEW_STATEMENT.search(part) is None
        if merged and bare_list_item and _NEGATION.search(merged[-1][1]):
            merged[-1] = (merged[-1][0], merged[-1][1] + part)
        else:
            merged.append((start, part))
    return merged


def _negated_after(clause: str, end: int) -> bool:
    return (
        re.match(r"\s+(?:is |are |was )?(?:not (?:seen|present|identified)|absent|ruled out)", clause[end:]) is not None
    )


def _label(finding: str, sentence: str, clause: str, clause_start: int, mention: re.Match[str]) -> str:
    if finding in WITHOUT_SIDE:
        return finding
    for text, offset in ((clause, 0), (sentence, clause_start)):
        middle = offset + (mention.start() + mention.end()) / 2
        sides = sorted((abs((side.start() + side.end()) / 2 - middle), side.group(1)) for side in _SIDE.finditer(text))
        if sides:
            return f"{finding}-{sides[0][1]}"
    return finding
