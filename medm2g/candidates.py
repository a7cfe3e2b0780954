"""Several draws of one wish, of which the one stays that says best what was asked, by the generator's own alignment.

A denoiser draws a finding, or its side, wrongly more often than central alignment reads it wrongly; so the nearest of a
few draws shows it more often, and looks hardly less real (docs/LOG.md, 2026-12-01). DALL-E chose among its draws so, by
CLIP (arXiv 2102.12092, §2.4). Images are held against their prompt, a report against the images it is written from.

Alignment has learnt whole reports, and reads sides in them: it prefers the record with the right side in .83 to 1.0 of
pairs of X-rays. Of a bare phrase it understands less ("Left nodule.": .50), so it then chooses as by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medm2g.generator import Generator
from medm2g.plan import Plan

Made = dict[str, Tensor | list[str]]
"""One draw of every item: images (n, 1, s, s) or n texts, by target."""


class BestDraws:
    """Takes one draw of all items after the other, and keeps each item's best; its targets stay together."""

    def __init__(self, generator: Generator, plan: Plan) -> None:
        self.generator = generator
        self._prompted = torch.tensor([bool(prompt) for prompt in plan.prompts])
        spoken = bool(self._prompted.any())
        self._images = tuple(flow for flow in plan.targets if spoken and flow in generator.image_flows)
        self._report = generator.text_flow if plan.images and generator.text_flow in plan.targets else None
        self._said = self._read(plan.prompts) if self._images else None
        self._shown = sum(self._look(flow, images) for flow, images in plan.images.items()) if self._report else None
        self._nearest = torch.zeros(plan.items)
        self.made: Made = {}

    @property
    def can_tell(self) -> bool:
        """False where nothing was asked that a draw could be held against: one draw is as good as another then."""
        return bool(self._images or self._report)

    def take(self, made: Made) -> None:
        """One more draw of every item."""
        closeness = self.closeness(made)
        if not self.made:
            self.made, self._nearest = made, closeness
            return
        better = closeness > self._nearest
        self._nearest = torch.where(better, closeness, self._nearest)
        self.made = {flow: _where(better, made[flow], self.made[flow]) for flow in made}

    def closeness(self, made: Mapping[str, Tensor | list[str]]) -> Tensor:
        """(n,): a sum of cosines. An item without a prompt has none of images, so that its first draw stands."""
        total = torch.zeros(len(self._prompted))
        for flow in self._images:
            total += (self._said * self._look(flow, made[flow])).sum(1) * self._prompted
        if self._report:
            total += (self._shown * self._read(made[self._report])).sum(1)
        return total

    def _read(self, texts: Sequence[str]) -> Tensor:
        """Coordinates (n, d) of texts; equal ones are encoded once."""
        place = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        points = self.generator.anchors.coordinates(self.generator.encode_text(list(place)).pooled.float().cpu())
        return points[[place[text] for text in texts]]

    def _look(self, flow: str, images: Tensor) -> Tensor:
        """Coordinates (n, d) of images."""
        parts = [self.generator.align(flow, part).embedding for part in images.to(self.generator.device).split(64)]
        return self.generator.anchors.coordinates(torch.cat(parts).float().cpu())


def _where(better: Tensor, new: Tensor | list[str], old: Tensor | list[str]) -> Tensor | list[str]:
    if isinstance(new, Tensor) and isinstance(old, Tensor):
        return torch.where(better.to(new.device)[:, None, None, None], new, old)
    return [fresh if wins else kept for wins, fresh, kept in zip(better.tolist(), new, old, strict=True)]
