"""What of a generator trains privately and travels, and what an ablation leaves out: one value, of a loaded generator,
of a folder or of a study.

| family | subset | what is in a flow's group |
| --- | --- | --- |
| alignment | `norms` | normalisation layers, and the biases of what leaves: embedding and tokens |
| diffusion | `style` | the flow's style and the report decoder's adapter, which every subset has beside |
| | `norms` | normalisation layers and the output convolution, 2 % of a denoiser |
| | `attention` | transformer blocks and the context's projection |
| guidance | `gates` | how much the flow hears of whom, how locally, and how each source is marked |
| | `norms` | these, and the normalisation layers of what the flow tells the others |
| each | `all` | everything |

Whatever is in no group is public and frozen: the trunk. Needs no torch, for server and relay compare subsets too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from medm2g.config import AlignmentSubset, DiffusionSubset, GuidanceSubset, Part, read_config

_NORMS = r"(^|\.)norm\d?\."
_NOTHING = r"(?!)"
#: By network and its family's subset, a pattern of the names below the flow that train. Who is not here trains always.
_TRAINS: Mapping[str, Mapping[str, str]] = {
    "alignment": {"norms": rf"{_NORMS}|^(token_head|head\.2)\.bias$", "all": ""},
    "unets": {
        "style": _NOTHING,
        "norms": r"norm|^conv_out\.",
        "attention": r"\.attentions\.|^encoder_hid_proj\.",
        "all": "",
    },
    "environments": {"gates": _NOTHING, "norms": _NORMS, "all": ""},
    "adapters": dict.fromkeys(("gates", "norms"), r"^embeddings\.|\.gates\.|\.locality$") | {"all": ""},
}


class Naming(Protocol):
    """A generator's configuration, or a study's training: both call the subsets by the same keys."""

    @property
    def alignment_subset(self) -> AlignmentSubset:
        """Of each flow's alignment."""

    @property
    def diffusion_subset(self) -> DiffusionSubset:
        """Of each denoiser."""

    @property
    def guidance_subset(self) -> GuidanceSubset:
        """Of each flow's cross-guidance."""

    @property
    def without(self) -> tuple[Part, ...]:
        """What is left out."""


@dataclass(frozen=True, kw_only=True)
class Subsets:
    """A choice for every family, and the parts that are left out."""

    alignment: AlignmentSubset
    diffusion: DiffusionSubset
    guidance: GuidanceSubset
    without: tuple[Part, ...] = ()

    @classmethod
    def of(cls, named: Naming) -> Self:
        """Those that a configuration, or a study's `training`, names."""
        return cls(
            alignment=named.alignment_subset,
            diffusion=named.diffusion_subset,
            guidance=named.guidance_subset,
            without=tuple(sorted(named.without)),
        )

    @classmethod
    def stored_in(cls, folder: Path) -> Self:
        """Those by which a generator folder is divided. Raises FolderInvalid, ConfigInvalid."""
        return cls.of(read_config(folder))

    def trains(self, name: str) -> bool:
        """Whether the parameter of that qualified name is in its group; of one that belongs to a family."""
        network, _, rest = name.partition(".")
        if network not in _TRAINS:
            return True
        subset = {"alignment": self.alignment, "unets": self.diffusion}.get(network, self.guidance)
        return re.search(_TRAINS[network][subset], rest.partition(".")[2]) is not None

    def settings(self) -> dict[str, Any]:
        """By the keys of a configuration and of a study's `training`."""
        return {f"{family}_subset": subset for family, subset in self._families()} | {"without": self.without}

    def instead_of(self, wanted: Subsets) -> str:
        """Where these differ from those that were wanted, for a sentence."""
        pairs = zip(self._families(), wanted._families(), strict=True)
        apart = [f"{family} `{own}` instead of `{other}`" for (family, own), (_, other) in pairs if own != other]
        if self.without != wanted.without:
            apart.append(f"without {_said(self.without)} instead of without {_said(wanted.without)}")
        return ", ".join(apart)

    def __str__(self) -> str:
        said = ", ".join(f"{family} `{subset}`" for family, subset in self._families())
        return f"{said}, without {_said(self.without)}" if self.without else said

    def _families(self) -> list[tuple[str, str]]:
        return [("alignment", self.alignment), ("diffusion", self.diffusion), ("guidance", self.guidance)]


def _said(parts: tuple[Part, ...]) -> str:
    return " and ".join(f"`{part}`" for part in parts) or "nothing"
