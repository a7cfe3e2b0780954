"""What is asked of the pipeline, checked before anything is computed. No message repeats a prompt or a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from medm2g.config import GeneratorConfig
from medm2g.errors import InputInvalid

Sources: TypeAlias = Mapping[str, Tensor | Sequence[str]]
"""Clean sources by flow: images (n, 1, s, s) in [-1, 1], or n reports."""
Random: TypeAlias = torch.Generator | Sequence[torch.Generator] | None
"""Where noise comes from: one generator for a call, one per drawn item, or torch's own."""


@dataclass(frozen=True)
class Plan:
    """What is asked, checked: n items, each with the same targets and the same kinds of source."""

    targets: tuple[str, ...]
    prompts: list[str]
    """One per item; empty for none."""
    images: dict[str, Tensor]
    """Clean image sources, (n, 1, s, s) in [-1, 1]."""
    reports: list[str] | None
    """The clean text source: a report that stands as a source, not only as a prompt."""

    @property
    def items(self) -> int:
        """n, counting every draw."""
        return len(self.prompts)


def make_plan(
    config: GeneratorConfig,
    targets: Sequence[str],
    prompts: Sequence[str] | None,
    sources: Sources | None,
    *,
    count: int,
) -> Plan:
    """Check and arrange one call's wishes, each item `count` times. Raises InputInvalid."""
    flows = [flow.name for flow in config.flows]
    sources = dict(sources or {})
    if isinstance(targets, str) or not targets or len(set(targets)) != len(targets):
        raise InputInvalid("`targets` must be a list of different flows: name at least one.")
    for flow in (*targets, *sources):
        if flow not in flows:
            raise InputInvalid(f"This generator has no flow called {flow!r}: choose from {', '.join(flows)}.")
    if both := sorted(set(targets) & set(sources)):
        raise InputInvalid(f"{both[0]} is both a source and a target: leave it out of one of them.")
    if isinstance(prompts, str):
        raise InputInvalid("`prompts` must be a list of strings: put the prompt in a list.")
    text_flow = next((flow.name for flow in config.flows if flow.kind == "text"), "")
    reports = sources.pop(text_flow, None)
    if reports is not None and prompts is not None:
        raise InputInvalid("Give `prompts` or a text source, not both: a text source is also the prompt.")
    _check_images(sources, config.image_size)
    return _arrange(
        tuple(targets), _texts(prompts if reports is None else reports), sources, count, reports is not None
    )


def _check_images(sources: Mapping[str, Any], size: int) -> None:
    for flow, images in sources.items():
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1:] != (1, size, size):
            raise InputInvalid(f"The source {flow} must be a tensor of shape (n, 1, {size}, {size}) in [-1, 1].")
        if not bool(torch.isfinite(images).all()) or bool(images.abs().max() > 1.001):
            raise InputInvalid(f"The source {flow} must lie in [-1, 1]: apply the flow's tone curve first.")


def _texts(given: Any) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, str | Tensor) or not all(isinstance(text, str) for text in given):
        raise InputInvalid("`prompts` and a text source must be lists of strings.")
    return list(given)


def _arrange(
    targets: tuple[str, ...], texts: list[str] | None, images: Mapping[str, Any], count: int, spoken: bool
) -> Plan:
    lengths = {len(value) for value in images.values()} | ({len(texts)} if texts is not None else set())
    items = max(lengths, default=1)
    if lengths - {1, items} or 0 in lengths:
        raise InputInvalid("`prompts` and every source must have the same number of items, or one for all.")
    place = [index for index in range(items) for _ in range(count)]
    texts = texts if texts is not None else [""]
    drawn = [texts[index % len(texts)] for index in place]
    spread = {flow: value.expand(items, -1, -1, -1)[place] for flow, value in images.items()}
    return Plan(targets, drawn, spread, drawn if spoken else None)


def one_generator_each(generator: Random, items: int) -> list[torch.Generator]:
    """A generator per item; from a single one each item's seed is drawn in turn, so the first k never change with n."""
    if generator is None or isinstance(generator, torch.Generator):
        seeds = [int(torch.randint(2**62, (), generator=generator)) for _ in range(items)]
        return [torch.Generator().manual_seed(seed) for seed in seeds]
    if len(generator) != items:
        raise InputInvalid(f"`generator` must be one generator or a list of {items}, one per drawn item.")
    return list(generator)
