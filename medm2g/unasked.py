"""An image of which nothing is asked begins with a report that nobody wrote.

A denoiser that is told nothing draws something between all that it knows. One that follows a report, which the
generator's own report flow draws first, draws somebody: of a validation X-ray 6.6 instead of 9.7 (docs/LOG.md,
2026-12-01).
"""

from __future__ import annotations

from collections.abc import Sequence

from medm2g.config import GeneratorConfig, modality_of
from medm2g.templates import report_template


def report_prompt(config: GeneratorConfig, targets: Sequence[str]) -> str:
    """By what reports of images of which nothing is asked are prompted: of which kind of image. Empty where there is no
    report flow or it makes its own beside them, and for images of two modalities, which may show two parts of the body.
    """
    speaks = any(flow.kind == "text" for flow in config.flows)
    shown = all(config.flow(flow).kind == "image" for flow in targets)
    alike = len({modality_of(flow) for flow in targets}) == 1
    return report_template(targets[0]) if speaks and shown and alike else ""
