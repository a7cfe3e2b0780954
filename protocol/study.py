"""The study: one federated training, described by `study.toml` and known to everyone by its digest.

Every field is public. Unknown keys are refused. The digest is the SHA-256 of canonical JSON with every default
filled in, the exact fedm2g version, and the digests of the generator folder the study starts from (DESIGN.md §3).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocol.errors import StudyInvalid

StageName = Literal["align", "diffuse", "guide"]
STAGES: tuple[StageName, ...] = ("align", "diffuse", "guide")
#: The groups a stage trains, by family.
STAGE_FAMILY: Mapping[str, str] = {"align": "alignment", "diffuse": "diffusion", "guide": "cross_guidance"}

Knots = tuple[tuple[float, float], ...]
NORMALISED_KNOTS: Knots = ((0.0, -1.0), (4095.0, 1.0))
#: CT spends its range where findings live (lung, soft tissue, blood) and compresses bone and air.
CT_KNOTS: Knots = ((-1024.0, -1.0), (-200.0, -0.55), (0.0, -0.3), (90.0, 0.45), (400.0, 0.75), (1500.0, 1.0))


class Terms(BaseModel):
    """Base of every section: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FlowSpec(Terms):
    """How one flow maps to records and intensities."""

    name: str
    """Name of the flow, e.g. `mri_t1`; `text` is the report flow."""
    kind: Literal["image", "text"] = "image"
    modalities: tuple[str, ...] = ()
    """DICOM modality codes that may belong to this flow, e.g. `CR`, `DX`."""
    sequences: tuple[str, ...] = ()
    """MRI sequences (`T1`, `T2`, `FLAIR`); empty for every sequence."""
    intensity: Knots = NORMALISED_KNOTS
    """Public tone curve: (stored value, unit value) knots, strictly increasing in both, onto [-1, 1]."""

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        for (value, unit), (next_value, next_unit) in zip(self.intensity, self.intensity[1:], strict=False):
            if next_value <= value or next_unit <= unit:
                raise ValueError(f"`intensity` of flow {self.name} must increase strictly in both columns")
        return self


DEFAULT_FLOWS: tuple[FlowSpec, ...] = (
    FlowSpec(name="xray", modalities=("CR", "DX", "RF")),
    FlowSpec(name="ct", modalities=("CT",), intensity=CT_KNOTS),
    FlowSpec(name="mri_t1", modalities=("MR",), sequences=("T1",)),
    FlowSpec(name="mri_t2", modalities=("MR",), sequences=("T2",)),
    FlowSpec(name="mri_flair", modalities=("MR",), sequences=("FLAIR",)),
    FlowSpec(name="text", kind="text"),
)


def flow_spec(name: str, intensity: Knots = ()) -> FlowSpec:
    """The default study's flow of that name, or a plain one; along this tone curve (a generator's), if one is given."""
    known = next((spec for spec in DEFAULT_FLOWS if spec.name == name), FlowSpec(name=name))
    return known.model_copy(update={"intensity": intensity}) if intensity else known


class StageSpec(Terms):
    """One stage of the study."""

    name: StageName
    rounds: Annotated[int, Field(ge=1, le=100_000)] = 20
    steps_per_round: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Private steps per round. One (the default) makes the round's update the noised gradient itself."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of the server optimizer; decays linearly to `final_learning_rate_fraction` over the stage."""
    local_learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """Of the local optimizer; used only where steps_per_round > 1. With `sgd` as the server's optimizer and the same
    rate there, a round is FedAvg: the server moves by the mean of the sites' moves."""
    local_optimizer: Literal["sgd", "adam"] = "sgd"
    """How a site follows its gradients where steps_per_round > 1. Adam's moments begin anew in every round."""
    clipping_norm: Annotated[float, Field(gt=0)] = 1.0
    """C, in units of gradient norm; fixed beforehand on public patients."""
    sampling_probability: Annotated[float, Field(gt=0, le=1)] = 0.1
    """q: each patient joins each step with this probability, independently."""
    records_per_patient: Annotated[int, Field(ge=1, le=64)] = 1
    """R: at most so many records per flow of one patient enter a step."""
    timestep_draws: Annotated[int, Field(ge=1, le=128)] = 1
    """K: noise/timestep draws per record, averaged before clipping."""
    flow_weights: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Factors of the losses of flows, 1 where none is given. All flows of a patient are clipped together and get noise
    of one size: weights that make the gradients of public patients equally long leave none of them drowned."""
    flow_rates: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Factors of `learning_rate` for the groups of flows, 1 where none is given: post-processing, free of privacy cost.
    With `normalised_sgd` every group moves equally far otherwise, whatever its flow needs."""

    @model_validator(mode="after")
    def _several_steps(self) -> Self:
        if self.local_optimizer == "adam" and self.steps_per_round == 1:
            raise ValueError("`local_optimizer` adam needs `steps_per_round` above 1: one step of it is a sign")
        return self


class PrivacyTerms(Terms):
    """What the study proposes; the site's policy may be stricter and then refuses."""

    enabled: bool = True
    max_epsilon: Annotated[float, Field(gt=0)] = 8.0
    """ε of the whole study at each site: every stage, metric and spare round composed."""
    delta_fraction: Annotated[float, Field(gt=0, le=0.1)] = 0.1
    """δ = delta_fraction / declared_patients."""
    spare_rounds: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of extra rounds calibrated into the noise for rounds that die."""
    batch_cap: bool = False
    """Whether a step takes at most mean + 6 sqrt(mean) patients (at the site's `max_patients`), so that its time and
    memory have a bound. Charged as its own kind of event; costs less than a thousandth of epsilon."""
    lattice: bool = False
    """Whether sum and noise are rounded to one lattice before they meet: no low-order bit of a release then tells which
    patients were there (Mironov 2012). Costs time, and no epsilon."""


class OptimizerSpec(Terms):
    """The server's optimizer; post-processing of released updates, so free of privacy cost."""

    name: Literal["adam", "sgd", "normalised_sgd"] = "adam"
    """`normalised_sgd` scales each group's mean update to length one, so that a learning rate is the distance by which
    a group moves in a round, whatever the size of its gradients."""
    betas: tuple[float, float] = (0.9, 0.99)
    final_learning_rate_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    max_update_norm: Annotated[float, Field(gt=0)] | None = None
    """A group's mean update that is longer (L2) is scaled down to this before the step; None leaves it. It keeps plain
    SGD stable where nothing is clipped at the sites."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.name == "normalised_sgd" and self.max_update_norm is not None:
            raise ValueError("`max_update_norm` has no effect on `normalised_sgd`, whose updates have length one")
        return self


class FederationSpec(Terms):
    """Who must answer, and by when."""

    quorum: Annotated[int, Field(ge=1)] = 1
    """Sites whose accepted reply a round needs."""
    deadline_seconds: Annotated[float, Field(gt=0)] = 3600.0
    release_grid_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Replies leave on multiples of this. Zero releases at once: simulation only, a deployed vault refuses it."""
    max_reply_bytes: Annotated[int, Field(ge=1024)] = 2_000_000_000


class TrainingSpec(Terms):
    """What trains, and how it is spelt for the generator."""

    alignment_subset: Literal["norms", "all"] = "all"
    """What of a flow's alignment trains: normalisation layers and the biases of what leaves, or everything."""
    diffusion_subset: Literal["style", "attention", "norms", "all"] = "attention"
    """What of a denoiser trains beside its flow's style."""
    guidance_subset: Literal["gates", "norms", "all"] = "all"
    """What of a flow's cross-guidance trains: how it hears the others; the normalisation layers of what it tells them
    too; or everything."""
    without: tuple[Literal["alignment", "visual_invariant", "cross_guidance"], ...] = ()
    """Ablation: parts of MedM2G that neither train nor speak, in public pre-training by this study as in its rounds."""
    conditioning_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    source_prompts: Annotated[float, Field(ge=0, le=1)] = 0.0
    """In stage diffuse: probability that each other image of the examination joins a record's prompt by its aligned
    tokens. Without it, records that have no report are told nothing of what they show."""
    seed: int = 0
    """Seeds what is not private: initialisation, evaluation, training when privacy is off. Never sampler or noise."""


class SiteSpec(Terms):
    """A named site that may take part: what it declared, known to all."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    flows: tuple[str, ...]
    declared_patients: Annotated[int, Field(ge=1)]
    private: bool = True
    """False only for a site whose policy says `allow_non_private = true`; every report says so in red."""
    aggregation_weight: Annotated[float, Field(gt=0)] = 1.0
    population: str = ""
    """Simulation only: which records this site holds: a phantom population, or site_groups of an image folder (`+`)."""


class Study(Terms):
    """A study, complete."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    description: str = ""
    coordinator: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")] = ""
    """Who runs the study, by the name that sites may allow in their policy; empty where nobody is named."""
    preset: Literal["tiny", "base"] = "tiny"
    generator: str = "shipped"
    """Folder of the initial generator, or `shipped` for the weights of the package."""
    generator_digest: str = ""
    """SHA-256 over that folder; filled in by `with_generator`."""
    flows: tuple[FlowSpec, ...] = DEFAULT_FLOWS
    sites: tuple[SiteSpec, ...]
    stages: tuple[StageSpec, ...]
    privacy: PrivacyTerms = PrivacyTerms()
    optimizer: OptimizerSpec = OptimizerSpec()
    federation: FederationSpec = FederationSpec()
    training: TrainingSpec = TrainingSpec()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [flow.name for flow in self.flows]
        if len(set(names)) != len(names):
            raise ValueError("two flows share a name")
        sites = [site.name for site in self.sites]
        if not sites or len(set(sites)) != len(sites):
            raise ValueError("a study needs at least one site, each with a name of its own")
        for site in self.sites:
            if unknown := set(site.flows) - set(names):
                raise ValueError(f"site {site.name} declares flows that the study does not have: {sorted(unknown)}")
        for stage in self.stages:
            if unknown := {*stage.flow_weights, *stage.flow_rates} - set(names):
                raise ValueError(f"stage {stage.name} names flows that the study does not have: {sorted(unknown)}")
        order = [STAGES.index(stage.name) for stage in self.stages]
        if not order or order != sorted(set(order)):
            raise ValueError(f"`stages` must be some of {list(STAGES)}, each at most once and in this order")
        if self.federation.quorum > len(sites):
            raise ValueError(f"`quorum` is {self.federation.quorum} but the study has only {len(sites)} sites")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `study.toml`. Raises StudyInvalid with the first thing to mend."""
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise StudyInvalid(f"There is no study at {path}: give the path of a study.toml.") from None
        except PermissionError:
            raise StudyInvalid(f"{path} is closed to this user: put it where that user may read it.") from None
        except tomllib.TOMLDecodeError as error:
            raise StudyInvalid(f"{path.name} is not valid TOML ({error}): mend that line.") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values. Raises StudyInvalid."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the study"
            raise StudyInvalid(f"In the study, {place}: {first['msg']}.") from None

    def canonical_json(self) -> str:
        """Every field with its default, sorted; what `digest` hashes (beside the fedm2g version)."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self, *, version: str) -> str:
        """Hex SHA-256 by which everyone knows this study; `version` is the exact fedm2g version."""
        return hashlib.sha256(f"fedm2g {version}\n{self.canonical_json()}".encode()).hexdigest()

    def with_generator(self, *, digest: str) -> Study:
        """This study, bound to the generator folder with that digest."""
        return self.model_copy(update={"generator_digest": digest})

    @property
    def curves(self) -> Mapping[str, Knots]:
        """The tone curve of each image flow."""
        return {flow.name: flow.intensity for flow in self.flows if flow.kind == "image"}

    def flow(self, name: str) -> FlowSpec:
        """The flow of that name. Raises StudyInvalid."""
        for flow in self.flows:
            if flow.name == name:
                return flow
        raise StudyInvalid(f"The study has no flow called {name}: choose one of {[flow.name for flow in self.flows]}.")

    def site(self, name: str) -> SiteSpec:
        """The site of that name. Raises StudyInvalid."""
        for site in self.sites:
            if site.name == name:
                return site
        raise StudyInvalid(f"The study has no site called {name}: choose one of {[site.name for site in self.sites]}.")

    def stage(self, name: str) -> StageSpec:
        """The stage of that name. Raises StudyInvalid."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise StudyInvalid(f"The study has no stage called {name}.")

    def groups_of(self, stage: StageName, site: SiteSpec) -> tuple[str, ...]:
        """The groups that `site` trains in `stage`: what its *declared* flows reach, never what its store holds."""
        family = STAGE_FAMILY[stage]
        kinds = {flow.name: flow.kind for flow in self.flows}
        return tuple(f"{family}/{flow}" for flow in site.flows if family != "alignment" or kinds[flow] == "image")
