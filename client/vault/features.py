"""What a site's records look like to the networks: latents of images and reports, and text features. Computed once.

All of it is public function of one record: the tone curve, the frozen codecs, the frozen text encoder. So it is cached
(`feature_cache`), under a name that holds everything it depends on; a changed store or generator is another name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from client.records.store import RecordRow, RecordStore
from client.vault.errors import ImagesUnfit
from client.vault.feature_cache import FeatureCache
from medm2g.generator import Generator
from protocol.intensity import to_unit
from protocol.study import FlowSpec, Knots

BATCH = 64
"""Records whose images are in memory at once."""
TEXT_BATCH = 1024
"""Texts likewise; the encoder sorts them by length, so that the more there are the less it pads."""
Arrays = dict[str, np.ndarray]


class FeatureBuilder:
    """Features of all records of a flow, in the order of the rows given."""

    def __init__(self, store: RecordStore, generator: Generator, *, generator_digest: str, cache: FeatureCache) -> None:
        self._store, self._generator, self._cache = store, generator, cache
        self._generator_digest = generator_digest
        self.names: list[str] = []
        """Names in the cache of what was built so far."""

    def image_features(self, flow: FlowSpec, rows: Sequence[RecordRow]) -> Arrays:
        """`latents` (n, c, h, w) float16."""
        return self._cached("image", flow.name, flow.intensity, rows, lambda: self._encode_images(flow, rows))

    def text_features(self, flow: str, rows: Sequence[RecordRow]) -> Arrays:
        """`tokens` (n, 64, 384) float16, `mask` and `ids` (n, 64), `pooled` (n, 384), `latents` (n, c, h, w)."""
        return self._cached("text", flow, (), rows, lambda: self._encode_texts(rows))

    def unit_images(self, flow: FlowSpec, rows: Sequence[RecordRow]) -> np.ndarray:
        """(n, 1, s, s) float16 in [-1, 1]. Raises ImagesUnfit where the store was made for another size."""
        size = self._generator.config.image_size
        if self._store.image_size != size:
            raise ImagesUnfit(
                f"The store's images are not {size} pixels wide, as this generator needs: ingest them again."
            )
        units = np.empty((len(rows), 1, size, size), np.float16)
        for place, row in enumerate(rows):
            units[place, 0] = to_unit(self._store.image(row.record_id), flow.intensity)
        return units

    def _encode_images(self, flow: FlowSpec, rows: Sequence[RecordRow]) -> Arrays:
        parts = [
            self._generator.encode_image(flow.name, torch.from_numpy(self.unit_images(flow, batch)).float())
            for batch in _batches(rows)
        ]
        return {"latents": torch.cat(parts).half().cpu().numpy()}

    def _encode_texts(self, rows: Sequence[RecordRow]) -> Arrays:
        parts: dict[str, list[np.ndarray]] = {"tokens": [], "mask": [], "ids": [], "pooled": [], "latents": []}
        for batch in _batches(rows, TEXT_BATCH):
            features = self._generator.encode_text([self._store.text(row.record_id) for row in batch])
            parts["tokens"].append(features.tokens.half().cpu().numpy())
            parts["mask"].append(features.mask.cpu().numpy())
            parts["ids"].append(features.ids.int().cpu().numpy())
            parts["pooled"].append(features.pooled.float().cpu().numpy())
            if self._generator.text_flow is not None:
                parts["latents"].append(self._generator.encode_report(features).half().cpu().numpy())
        return {name: np.concatenate(arrays) for name, arrays in parts.items() if arrays}

    def _cached(
        self, kind: str, flow: str, knots: Knots, rows: Sequence[RecordRow], build: Callable[[], Arrays]
    ) -> Arrays:
        facts = [kind, flow, knots, self._generator_digest, [row.record_id for row in rows]]
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        self.names.append(name)
        arrays = self._cache.load(name)
        if arrays is None:
            arrays = build()
            self._cache.save(name, arrays)
        return arrays


def _batches(rows: Sequence[RecordRow], size: int = BATCH) -> Iterable[Sequence[RecordRow]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))
