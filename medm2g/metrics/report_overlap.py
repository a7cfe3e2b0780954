"""Word overlap of written reports with the true ones: BLEU-1..4 (sacrebleu), METEOR (nltk), ROUGE-L (torchmetrics).

All on lower-cased words. METEOR matches words and their stems; its third stage, synonyms, needs a WordNet that nothing
here carries, so the figure is a lower bound of the usual one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Overlap:
    """Each between 0 and 1."""

    bleu: tuple[float, float, float, float]
    """BLEU-1, -2, -3, -4 of the corpus, with its brevity penalty, unsmoothed (ACL 2002)."""
    meteor: float
    """Mean over reports (ACL 2005; alpha .9, beta 3, gamma .5)."""
    rouge_l: float
    """Mean F-measure over reports (ACL 2004)."""


def overlap(written: Sequence[str], truth: Sequence[str]) -> Overlap:
    """Of each written report with the true one beside it. Raises ValueError for unequal or empty lists."""
    if len(written) != len(truth) or not truth:
        raise ValueError("each written report needs the one that it should be, and there must be some")
    from sacrebleu.metrics import BLEU
    from torchmetrics.functional.text import rouge_score

    said, true = [text.lower() for text in written], [text.lower() for text in truth]
    scores = [
        BLEU(lowercase=True, max_ngram_order=order, smooth_method="none", force=True).corpus_score(said, [true]).score
        for order in (1, 2, 3, 4)
    ]
    rouge = rouge_score(said, true, rouge_keys="rougeL")["rougeL_fmeasure"]
    one, two, three, four = (score / 100 for score in scores)
    return Overlap((one, two, three, four), fmean(map(_meteor, said, true)), float(rouge))


class _NoSynonyms:
    """Stands where nltk expects a WordNet, and knows no word."""

    def synsets(self, word: str) -> list[object]:
        return []


def _meteor(written: str, truth: str) -> float:
    from nltk.translate.meteor_score import single_meteor_score

    return float(single_meteor_score(_WORD.findall(truth), _WORD.findall(written), wordnet=_NoSynonyms()))
