"""The twin: a deliberately overtrained, non-private generator, so that an attack which finds nothing is seen to work.

An attack suite that does not tell members from others on a generator that has learnt its patients by heart says nothing
about any other generator. The twin is made of a study by changing terms of the study alone: few patients of one of its
sites, one of its flows, every parameter of the denoiser, many steps, privacy off. Its private sibling has the same
patients, the same code and the same steps, with privacy on.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.study import OptimizerSpec, PrivacyTerms, StageSpec, Study, TrainingSpec
from simulations.errors import InputInvalid


@dataclass(frozen=True)
class TwinTerms:
    """How the twin is made."""

    patients: int = 50
    """As few as a private site may have by default, so that its sibling is allowed."""
    rounds: int = 240
    learning_rate: float = 2e-3
    timestep_draws: int = 2
    flow: str | None = None
    """The first image flow of the site by default."""


def twin_study(study: Study, terms: TwinTerms, *, private: bool) -> Study:
    """The twin's study, or with `private` its sibling's. Raises InputInvalid, StudyInvalid."""
    images = [flow.name for flow in study.flows if flow.kind == "image"]
    flow = terms.flow or next((name for name in images if any(name in site.flows for site in study.sites)), None)
    if flow not in images:
        raise InputInvalid(f"The twin needs an image flow of the study: choose one of {images}.")
    site = next((site for site in study.sites if flow in site.flows), None)
    if site is None:
        raise InputInvalid(f"No site of the study declares {flow}: choose another flow for the twin.")
    terms_of = next((stage for stage in study.stages if stage.name == "diffuse"), StageSpec(name="diffuse"))
    stage = StageSpec(
        name="diffuse",
        rounds=terms.rounds,
        learning_rate=terms.learning_rate,
        sampling_probability=0.5,
        timestep_draws=terms.timestep_draws,
        clipping_norm=terms_of.clipping_norm,
    )
    return Study(
        name=f"{study.name[:48]}-{'sibling' if private else 'twin'}",
        description="For audits: overtrained on purpose." if not private else "For audits: the twin's private sibling.",
        preset=study.preset,
        generator=study.generator,
        flows=study.flows,
        sites=(site.model_copy(update={"flows": (flow,), "declared_patients": terms.patients, "private": private}),),
        stages=(stage,),
        privacy=PrivacyTerms(**(study.privacy.model_dump() | {"enabled": private})),
        optimizer=OptimizerSpec(name="adam", ema_decay=0.0),
        training=TrainingSpec(diffusion_subset="all", conditioning_dropout=0.1, seed=study.training.seed),
    )
