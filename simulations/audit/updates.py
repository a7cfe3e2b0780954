"""Attacks on single updates: gradient inversion, and linking two studies of a patient.

Statements: `privacy/audit/inversion.py`, `privacy/audit/linking.py`. The worst case is taken: the patient was drawn
alone, so the update is one patient's clipped gradient plus the plan's noise, and the attacker knows the parameters
and everything that was drawn at random for this patient, which in truth only the site's key tells. Each attack is
also made on the same gradient without noise: an attack that reads nothing there says nothing about noise, and its
power is given as none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from medm2g.generator import Generator
from medm2g.stages import PatientSource, Stage, Term, build_stage
from privacy.audit.check import CheckResult
from privacy.audit.inversion import ReadBack, optimised, read_back, row_ratio
from privacy.audit.linking import Linking, linking
from privacy.noise import NoiseStream
from protocol.study import StageSpec, Study
from protocol.version import VERSION
from simulations.audit.patients import patient_source
from simulations.errors import InputInvalid

LEAST_P = 1e-3
"""A release is called read, or linked, at a p-value below this."""
CONTROL_P = 0.05
NOISE_FREE, RELEASED = "without noise", "as released"


@dataclass(frozen=True)
class UpdateTerms:
    """Size of the attacks."""

    inverted: int = 5
    """Patients whose update is inverted."""
    linked: int = 24
    """Patients that are in both studies."""
    steps: int = 60
    """Of the optimisation."""


@dataclass(frozen=True)
class _OneStage:
    """One stage's loss over one flow, and what its updates are made of."""

    spec: StageSpec
    flow: str
    loss: Stage
    parameters: Mapping[str, Tensor]
    noise_multiplier: float

    def term(self, pseudonym: str, *, seed: int) -> Term | None:
        """The patient's term of this flow; None where it has no record."""
        drawn = self.loss.draw(pseudonym, generator=torch.Generator().manual_seed(seed), only=[self.flow])
        return drawn[0] if drawn else None

    def gradient(self, tensors: Mapping[str, Tensor], *, kept: bool = False) -> list[Tensor]:
        """By parameter, before clipping; with `kept` differentiable in the tensors."""
        leaves = {name: value.detach().requires_grad_() for name, value in self.parameters.items()}
        with torch.enable_grad():
            value = self.loss.loss(self.flow, leaves, tensors)
        return list(
            torch.autograd.grad(
                value, list(leaves.values()), create_graph=kept, materialize_grads=True, allow_unused=True
            )
        )

    def released(self, gradient: Sequence[Tensor], stream: NoiseStream) -> list[Tensor]:
        """Clipped, and noised by the plan."""
        length = float(torch.stack([part.square().sum() for part in gradient]).sum().sqrt())
        weight = min(1.0, self.spec.clipping_norm / max(length, 1e-30))
        spread = self.noise_multiplier * self.spec.clipping_norm
        return [part * weight + spread * torch.from_numpy(stream.gaussian(tuple(part.shape))) for part in gradient]


def audit_updates(
    study: Study,
    generator: Generator,
    records: Path,
    *,
    noise_multiplier: float,
    terms: UpdateTerms,
    progress: Progress,
) -> dict[str, Any]:
    """Invert and link updates of phantoms or other open records in `records`; what `--json` prints.

    noise_multiplier: of the study's plan. Raises InputInvalid where no image flow has enough patients.
    """
    wanted = max(terms.inverted, terms.linked)
    with patient_source(records, generator, flows=study.flows) as (source, pseudonyms):
        stages = _stages(study, generator, source, pseudonyms, wanted, noise_multiplier)
        bar = progress.add_task("attacking updates", total=len(stages) * 3)
        tell = partial(progress.advance, bar)
        found = [part for stage in stages for part in _attacked(stage, generator, source, pseudonyms, terms, tell)]
    checks = [check for part in found for check in (_check(part),) if check is not None]
    return {
        "kind": "updates",
        "version": VERSION,
        "noise_multiplier": noise_multiplier,
        "attacks": found,
        "checks": [asdict(check) for check in checks],
        "passed": all(check.passed for check in checks),
    }


def _stages(
    study: Study,
    generator: Generator,
    source: PatientSource,
    pseudonyms: list[str],
    wanted: int,
    noise_multiplier: float,
) -> list[_OneStage]:
    """Align and diffuse of the study, on the first image flow that enough patients have."""
    flow = next(
        (
            flow
            for flow in generator.image_flows
            if sum(source.patient(who).count(flow) > 0 for who in pseudonyms) >= wanted
        ),
        None,
    )
    if flow is None:
        raise InputInvalid(f"No image flow has {wanted} patients among the records: give more of them.")
    stages = []
    for spec in study.stages:
        if spec.name != "guide":  # its gradients are of the same kinds, at four times the price
            loss = build_stage(
                spec.name,
                generator,
                source,
                flows=(flow,),
                records_per_patient=1,
                timestep_draws=spec.timestep_draws,
                conditioning_dropout=0.0,
                flow_weights=spec.flow_weights,
            )
            group = generator.group(f"{'alignment' if spec.name == 'align' else 'diffusion'}/{flow}")
            parameters = {name: value.detach() for name, value in group.items()}
            stages.append(_OneStage(spec, flow, loss, parameters, noise_multiplier))
    return stages


def _attacked(
    stage: _OneStage,
    generator: Generator,
    source: PatientSource,
    pseudonyms: list[str],
    terms: UpdateTerms,
    tell: Callable[[], None],
) -> list[dict[str, Any]]:
    having = [who for who in pseudonyms if source.patient(who).count(stage.flow)]
    found = [_inverted_linear(stage, generator, having[: terms.linked])]
    tell()
    if stage.spec.name == "diffuse":
        found.append(_inverted_by_search(stage, having[: terms.inverted], terms.steps))
    tell()
    found.append(_linked(stage, having[: terms.linked]))
    tell()
    return [part for part in found if part]


# --- gradient inversion ---------------------------------------------------------------------------------------------


def _inverted_linear(stage: _OneStage, generator: Generator, patients: list[str]) -> dict[str, Any]:
    """Row ratio of every linear layer with a bias that trains: the one that reads best without noise."""
    best: dict[str, Any] = {}
    for name, layer in generator.named_modules():
        names = (f"{name}.weight", f"{name}.bias")
        if isinstance(layer, nn.Linear) and all(part in stage.parameters for part in names):
            shown = _read_layer(stage, layer, names, patients)
            if not best or shown[NOISE_FREE]["own"] - shown[NOISE_FREE]["shuffled"] > best["gap"]:
                gap = shown[NOISE_FREE]["own"] - shown[NOISE_FREE]["shuffled"]
                best = {"attack": "inversion, row ratio", "stage": stage.spec.name, "target": name, "gap": gap} | shown
    return best


def _read_layer(stage: _OneStage, layer: nn.Linear, names: tuple[str, str], patients: list[str]) -> dict[str, Any]:
    stream, places = NoiseStream(), [list(stage.parameters).index(name) for name in names]
    truths, clear, noisy = [], [], []
    for number, who in enumerate(patients):
        term = stage.term(who, seed=number)
        assert term is not None
        seen: list[Tensor] = []
        hook = layer.register_forward_hook(lambda _, given, __, seen=seen: seen.append(given[0].detach()))  # type: ignore[misc]
        try:
            gradient = stage.gradient(term.tensors)
        finally:
            hook.remove()
        released = stage.released(gradient, stream)
        truths.append(torch.cat([part.reshape(-1, part.shape[-1]) for part in seen]).mean(0))
        clear.append(row_ratio(*(gradient[place] for place in places)))
        noisy.append(row_ratio(*(released[place] for place in places)))
    return {NOISE_FREE: asdict(_centred(clear, truths)), RELEASED: asdict(_centred(noisy, truths))}


def _centred(recovered: list[Tensor], truths: list[Tensor]) -> ReadBack:
    """What all patients share is no secret: it is taken away from both."""
    shared, guessed = torch.stack(truths).double().mean(0), torch.stack(recovered).double().mean(0)
    return read_back([part - guessed for part in recovered], [part - shared for part in truths])


def _inverted_by_search(stage: _OneStage, patients: list[str], steps: int) -> dict[str, Any]:
    """Latents whose gradient points the same way; timesteps, noise and prompt are given to the attacker."""
    stream = NoiseStream()
    truths: list[Tensor] = []
    recovered: dict[str, list[Tensor]] = {NOISE_FREE: [], RELEASED: []}
    for number, who in enumerate(patients):
        term = stage.term(who, seed=number)
        assert term is not None
        rows = len(term.tensors["latents"])
        clear = [part.detach() for part in stage.gradient(term.tensors)]

        def gradient_of(guess: Tensor, term: Term = term, rows: int = rows) -> list[Tensor]:
            return stage.gradient({**term.tensors, "latents": guess.expand(rows, -1, -1, -1)}, kept=True)

        truths.append(term.tensors["latents"][0])
        for name, gradient in ((NOISE_FREE, clear), (RELEASED, stage.released(clear, stream))):
            shape = (1, *truths[-1].shape)
            recovered[name].append(optimised(gradient, gradient_of, shape, steps=steps, starts=1)[0])
    shown = {name: asdict(read_back(found, truths)) for name, found in recovered.items()}
    return {"attack": "inversion, optimisation", "stage": stage.spec.name, "target": "latents"} | shown


# --- linking --------------------------------------------------------------------------------------------------------


def _linked(stage: _OneStage, patients: list[str]) -> dict[str, Any]:
    """One update of each patient in each of two studies, whose draws are their own."""
    stream = NoiseStream()
    rows: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {NOISE_FREE: ([], []), RELEASED: ([], [])}
    for number, who in enumerate(patients):
        for place, study in enumerate((1_000, 2_000)):
            term = stage.term(who, seed=study + number)
            assert term is not None
            gradient = stage.gradient(term.tensors)
            rows[NOISE_FREE][place].append(_flat(gradient))
            rows[RELEASED][place].append(_flat(stage.released(gradient, stream)))
    shown = {name: asdict(_link(*both)) for name, both in rows.items()}
    return {"attack": "linking two studies", "stage": stage.spec.name, "target": "updates"} | shown


def _link(first: list[np.ndarray], second: list[np.ndarray]) -> Linking:
    return linking(np.stack(first), np.stack(second))


def _flat(gradient: Sequence[Tensor]) -> np.ndarray:
    return torch.cat([part.flatten() for part in gradient]).double().numpy()


def _check(part: Mapping[str, Any]) -> CheckResult:
    clear, noisy = part[NOISE_FREE], part[RELEASED]
    linked = part["attack"].startswith("linking")
    keys = ("matched", "chance") if linked else ("own", "shuffled")
    words = "matched {:.2f}, chance {:.2f}" if linked else "similarity {:.2f}, another patient's {:.2f}"
    seen = f"{words.format(clear[keys[0]], clear[keys[1]])} (p = {clear['p_value']:.2g})"
    blind = clear["p_value"] > CONTROL_P
    return CheckResult(
        name=f"{part['attack']}, stage {part['stage']}",
        proposition="A noised update is not recognised as its patient's in another study."
        if linked
        else "A noised update tells nothing back of the patient it came from.",
        passed=noisy["p_value"] > LEAST_P,
        figure=f"{words.format(noisy[keys[0]], noisy[keys[1]])} (p = {noisy['p_value']:.2g}),"
        f" over {noisy['patients']} patients",
        power=f"None: without noise it shows nothing either ({seen})." if blind else f"Without noise: {seen}.",
    )
