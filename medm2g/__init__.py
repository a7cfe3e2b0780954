"""MedM2G: one generator of CT, MRI, X-ray and report text (our reading of arXiv 2403.04290).

    from medm2g import AnyToAnyPipeline, Generator
    generator = Generator.from_pretrained("runs/demo/generator")
    images = AnyToAnyPipeline(generator)(["xray"], prompts=["Right pleural effusion."])["xray"]

Knows no federation and no privacy. Importing this package imports no torch: names load when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "AnyToAnyPipeline": "medm2g.sampling",
    "FlowConfig": "medm2g.config",
    "Generator": "medm2g.generator",
    "GeneratorConfig": "medm2g.config",
    "MedM2GError": "medm2g.errors",
    "folder_digest": "medm2g.storage",
    "preset": "medm2g.config",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
