"""The audit record: what an auditor should be told of a private study, filled in from the run, field by field.

The schema is that of notes/privacy.md 5.3. A field that the run does not record says so; nothing is filled with a
guess. Secret facts (who was drawn, true counts, clip shares) are named as sealed: they must not be in a report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from medm2g.subsets import Subsets
from protocol.study import STAGE_FAMILY, Study
from protocol.version import VERSION
from simulations.audit.claims import SiteClaim

SEALED = "sealed: private to the site, never in a report"
Record = dict[str, dict[str, str]]


def audit_record(
    study: Study, digest: str, claims: Sequence[SiteClaim], results: Mapping[str, Mapping[str, Any]]
) -> Record:
    """Section to field to value. results: what audits were made, by kind."""
    return {
        "unit": _unit(study, claims),
        "sampling": _sampling(study, claims),
        "mechanism": _mechanism(study, claims),
        "accounting": _accounting(study, claims),
        "other releases": _other_releases(study),
        "code": _code(study, digest),
        "sanity results": _sanity(results),
    }


def _unit(study: Study, claims: Sequence[SiteClaim]) -> dict[str, str]:
    declared = ", ".join(f"{claim.name} {claim.declared_patients}" for claim in claims)
    return {
        "privacy unit": "one patient: all images and reports of one person at one site",
        "adjacency": "add or remove one patient",
        "units per site": f"declared once and public, not counted: {declared}",
        "who counts them": "nobody in the study: sampling, divisor and delta derive from the declaration",
        "unit-to-record map": "the site's keyed pseudonyms over hospital patient numbers",
        "cap per unit": "records per flow and step: "
        + ", ".join(f"{stage.name} {stage.records_per_patient}" for stage in study.stages),
    }


def _sampling(study: Study, claims: Sequence[SiteClaim]) -> dict[str, str]:
    steps = "; ".join(
        f"{claim.name}: " + ", ".join(f"{stage} {count}" for stage, count in claim.steps_by_stage.items())
        for claim in claims
    )
    return {
        "sampler": "independent coin per patient and step (Poisson)",
        "sampling probability": ", ".join(f"{stage.name} {stage.sampling_probability:g}" for stage in study.stages),
        "seed source": "none: AES-256-CTR keyed by the operating system, forked per mechanism",
        "steps charged, empty and failed ones included": steps,
        "patients drawn per step": SEALED,
    }


def _mechanism(study: Study, claims: Sequence[SiteClaim]) -> dict[str, str]:
    noise = {
        claim.name: sorted({event.noise_multiplier for event in claim.events if hasattr(event, "noise_multiplier")})
        for claim in claims
    }
    families = ", ".join(f"{stage.name}: {STAGE_FAMILY[stage.name]}" for stage in study.stages)
    return {
        "clipping norm": ", ".join(f"{stage.name} {stage.clipping_norm:g}" for stage in study.stages)
        + ", over all parameters of a patient together",
        "noise multiplier": "; ".join(
            f"{name} {', '.join(f'{value:g}' for value in values) or 'none'}" for name, values in noise.items()
        ),
        "noise generator": "Gaussian by Box and Muller from the same kind of stream, float32, on the CPU",
        "divisor": "sampling probability times declared patients",
        "accumulation": "sums in the parameters' precision, at least float32",
        "loss form": "a sum of one patient's own terms; the remove-one test of `audit mechanism` checks it",
        "trained parameters": f"{families}; subsets: {Subsets.of(study.training)}",
        "clip share": SEALED,
        "noise shares, dropouts": "none: each site adds the whole noise itself (no secure aggregation)",
    }


def _accounting(study: Study, claims: Sequence[SiteClaim]) -> dict[str, str]:
    from importlib.metadata import version

    deltas = ", ".join(f"{claim.name} {claim.delta:.3g}" for claim in claims)
    return {
        "accountant": f"dp-accounting {version('dp-accounting')}, privacy loss distributions, connect the dots",
        "grid": "0.0003, pessimistic: every figure is an upper bound",
        "delta and its rule": f"{study.privacy.delta_fraction:g} over declared patients: {deltas}",
        "composition": "all events of the study at once, spare rounds planned in"
        f" ({100 * study.privacy.spare_rounds:.0f} %); other studies of the same ledgers: "
        + ", ".join(f"{claim.name} {claim.other_studies}" for claim in claims),
        "hyper-parameter search, early stopping": "not recorded by the run: a search on private data would need events"
        " of its own",
    }


def _other_releases(study: Study) -> dict[str, str]:
    return {
        "metrics": "epsilon as derived from public step counts; no loss leaves",
        "normalisation, windows, scaling": "public constants of the study and of the generator folder",
        "aggregation weights": "declared: "
        + ", ".join(f"{site.name} {site.aggregation_weight:g}" for site in study.sites),
        "run time": f"replies leave on a grid of {study.federation.release_grid_seconds:g} s"
        + (" (at once: simulation only)" if not study.federation.release_grid_seconds else ""),
    }


def _code(study: Study, digest: str) -> dict[str, str]:
    terms = hashlib.sha256(study.canonical_json().encode()).hexdigest()
    return {
        "version": f"fedm2g {VERSION}",
        "study digest": digest,
        "study terms, SHA-256": terms,
        "initial generator, SHA-256": study.generator_digest or "not recorded: the study was not bound to a folder",
        "commit": "not recorded by the run: the version is part of the study's digest",
    }


def _sanity(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    empirical, mechanism = results.get("empirical"), results.get("mechanism")
    bound = "not run"
    if empirical:
        bound = f"{empirical['lower_bound']:.2f} of {empirical['claimed_epsilon']:.2f} claimed, on its own canary study"
    named = {check["name"]: check["figure"] for check in (empirical or {}).get("checks", [])}
    return {
        "remove-one, noise and sampler tests": "not run"
        if mechanism is None
        else json.dumps({check["name"]: check["figure"] for check in mechanism["checks"]}, ensure_ascii=False),
        "noise scale on sealed draws": named.get("noise", "not run"),
        "inclusion counts": named.get("contribution", "not run"),
        "audit lower bound": bound,
    }
