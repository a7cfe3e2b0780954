"""Stage `pretrain`: the public parts, on public data or phantoms, before any hospital is asked (DESIGN.md §4).

    from medm2g.pretrain import PublicData, pretrain
    pretrain(Generator(preset("tiny")), data, out=Path("runs/pretrain"), budget_minutes=60)

Order: image codec, report codec, alignment, denoisers (which read reports and aligned tokens alike), cross-guidance.
"""

from medm2g.pretrain.curve import CurveWriter
from medm2g.pretrain.data import PublicData, PublicPatients
from medm2g.pretrain.loop import PhaseBudget
from medm2g.pretrain.machine import Machine
from medm2g.pretrain.run import PHASES, pretrain

__all__ = ["PHASES", "CurveWriter", "Machine", "PhaseBudget", "PublicData", "PublicPatients", "pretrain"]
