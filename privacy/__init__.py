"""Privacy: the mechanism, its account, its ledger and the site's rules. Knows no model and no federation.

Names are loaded on first use, so that importing `privacy.policy`, `privacy.keys` or `privacy.ledger` (the relay does)
never imports torch. Start reading at `privacy/mechanism.py`; what can go wrong silently is in `docs/privacy.md`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Adjacency": "loss_distribution",
    "epsilon": "accounting",
    "calibrate_noise_multiplier": "accounting",
    "plan_study": "accounting",
    "epsilon_across_studies": "accounting",
    "StagePlan": "events",
    "StudyPlan": "events",
    "SampledGaussian": "events",
    "CappedSampledGaussian": "events",
    "NonPrivate": "events",
    "SiteKeys": "keys",
    "Ledger": "ledger",
    "Reservation": "ledger",
    "LedgerContext": "events",
    "SitePolicy": "policy",
    "check_store": "policy",
    "NoiseStream": "noise",
    "PatientStream": "patient_stream",
    "SeededPatientStream": "patient_stream",
    "Mechanism": "mechanism",
    "MechanismConfig": "mechanism",
    "Release": "mechanism",
    "NonPrivateMechanism": "non_private",
    "NonPrivateConfig": "non_private",
    "ExecutionSettings": "engines",
    "PatientLoss": "engines",
    "Term": "engines",
    "keep_freed_memory": "allocator",
    "PrivacyError": "errors",
    "PolicyRefused": "errors",
    "BudgetExceeded": "errors",
    "OutsideDeclaration": "errors",
    "LedgerTampered": "errors",
    "MechanismMisused": "errors",
    "ConfigInvalid": "errors",
    "KeysUnusable": "errors",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'privacy' has no attribute {name!r}")
    return getattr(import_module(f"privacy.{_HOME[name]}"), name)
