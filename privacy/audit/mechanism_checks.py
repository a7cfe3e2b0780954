"""Checks of the installed mechanism: does this build, here and now, do what the proof assumes?

`check_mechanism` runs the real `Mechanism` with real keys and a real ledger in a temporary folder, on invented
patients, and measures: how far one patient moves the sum, the scale and shape of the noise, the sampler's rate and
independence, that nobody draws twice the same, and what the ledger was charged. No test takes a seed: each has one
chance in ten million to fail by bad luck (UNLIKELY), and says what fault it would have seen (`power`). It says nothing
about a stage's loss: for that there is `remove_one.largest_move` with that loss and open data.

Behind `fedm2g audit mechanism`. Under a minute on one core.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from privacy.audit.invented import InventedSite, Regression, pseudonyms
from privacy.audit.remove_one import largest_move
from privacy.clipping import ClippedSum, lattice_step_for
from privacy.engines import ExecutionSettings
from privacy.errors import PrivacyError
from privacy.gradients import PatientGradients
from privacy.noise import NoiseStream

TRIALS = 4000
"""Draws of the sampler; noise values are ten times as many."""
UNLIKELY = 1e-7
"""A check of a sound build fails by chance once in so many times."""
MOVE_SLACK = 1.0 + 1e-6
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CheckResult:
    """One proposition about the installed build, and what was found."""

    name: str
    proposition: str
    passed: bool
    figure: str
    """What was measured."""
    power: str
    """What this check would have seen."""


def check_mechanism(*, trials: int = TRIALS, progress: Progress | None = None) -> list[CheckResult]:
    """Every check, in order. `progress` is told (done, all, name) before each. Never raises for a failed check.

    `trials` below a thousand would see little: raises ValueError.
    """
    if trials < 1000:
        raise ValueError("`trials` must be at least 1000: with fewer the checks see too little.")
    checks = (
        _one_patient_moves_the_sum_by_the_clipping_norm,
        _many_numbers_do_not_lengthen_the_clip,
        _noise_has_the_stated_scale,
        _noise_on_the_lattice_has_the_stated_scale,
        _sampler_keeps_its_rate,
        _sampler_is_independent,
        _nobody_draws_twice_the_same,
        _what_runs_is_charged,
    )
    results = []
    with tempfile.TemporaryDirectory(prefix="fedm2g-audit-") as folder:
        site = InventedSite(Path(folder) / "site")
        for number, check in enumerate(checks):
            name = check.__name__.strip("_").replace("_", " ")
            if progress is not None:
                progress(number, len(checks), name)
            results.append(_guarded(check, name, site, trials))
    return results


@dataclass(frozen=True)
class _Finding:
    passed: bool
    figure: str
    power: str


_Check = Callable[[InventedSite, int], _Finding]


def _guarded(check: _Check, name: str, site: InventedSite, trials: int) -> CheckResult:
    """A check that cannot be carried out has failed."""
    proposition = " ".join((check.__doc__ or "").split())
    try:
        found = check(site, trials)
    except PrivacyError as error:
        found = _Finding(False, f"stopped: {error}", "a build that cannot run")
    return CheckResult(name, proposition, found.passed, found.figure, found.power)


def _one_patient_moves_the_sum_by_the_clipping_norm(site: InventedSite, trials: int) -> _Finding:
    """Removing any one patient, mild or extreme, moves the clipped sum by at most the clipping norm."""
    largest = 0.0
    for engine in ("loop", "vmap", "batch"):
        for size in (1e-3, 1.0, 1e6):
            loss, parameters = Regression.of(pseudonyms(16), size=size)
            settings = ExecutionSettings(chunk_size=5, engine=engine)  # type: ignore[arg-type]
            moved = largest_move(
                lambda kept=loss: kept,  # type: ignore[misc]
                parameters,
                pseudonyms(16),
                removed=pseudonyms(16)[:6],
                clipping_norm=1.0,
                settings=settings,
            )
            largest = max(largest, moved if math.isfinite(moved) else math.inf)
    return _Finding(
        0.9 < largest <= MOVE_SLACK,
        f"largest move {largest:.6f} of the clipping norm",
        "a missing clip, a clip per tensor, draws that patients share, from 1.000001 C on",
    )


def _many_numbers_do_not_lengthen_the_clip(site: InventedSite, trials: int) -> _Finding:
    """A gradient of millions of equal numbers, whose float32 norm comes out short, is clipped to the norm as well."""
    size = 4_000_003
    gradients = PatientGradients(1)
    gradients.add(torch.tensor([0]), {"w": torch.full((1, size), 0.1)})
    clipped = ClippedSum({"w": torch.zeros(size)}, clipping_norm=1.0)
    clipped.fold(gradients)
    length = float(clipped.values()["w"].norm())
    return _Finding(0.999 < length <= 1.0, f"norm {length:.7f}", "norms that rounding shortens by more than 1e-5")


def _noise_has_the_stated_scale(site: InventedSite, trials: int) -> _Finding:
    """Noise on every coordinate is normal, of the stated scale, uncorrelated; also where nobody was drawn."""
    return _scale_of(_released(site, trials, lattice=False), site)


def _noise_on_the_lattice_has_the_stated_scale(site: InventedSite, trials: int) -> _Finding:
    """The same where sum and noise are rounded to a lattice, and every release is a whole number of its steps."""
    values = _released(site, trials, lattice=True)
    steps = values * site.expected_batch_size / lattice_step_for(site.clipping_norm, values.size // 2)
    found = _scale_of(values, site)
    astray = float(np.abs(steps - np.round(steps)).max())
    return _Finding(
        found.passed and astray < 1e-3,
        f"{found.figure}; farthest from a whole number of steps {astray:.1g}",
        f"{found.power}; noise or sums that do not lie on the lattice",
    )


def _released(site: InventedSite, trials: int, *, lattice: bool) -> np.ndarray:
    """Two steps' releases of two tensors, in float64, with nobody there."""
    parameters = {name: torch.zeros(5 * trials, dtype=torch.float64) for name in ("a", "b")}
    mechanism = site.mechanism([], lattice=lattice)
    with mechanism.open(2):
        released = [mechanism.step(parameters, site.silent_loss).values for _ in range(2)]
    return torch.cat([value for step in released for value in step.values()]).numpy()


def _scale_of(values: np.ndarray, site: InventedSite) -> _Finding:
    z = values * site.expected_batch_size / (site.noise_multiplier * site.clipping_norm)
    chi_square = stats.chi2(z.size)
    total = float((z**2).sum())
    tail = 2 * min(chi_square.cdf(total), chi_square.sf(total))
    shape = float(stats.kstest(z, "norm").pvalue)
    quarter = z.size // 4
    lags = [abs(float(np.corrcoef(z[:-lag], z[lag:])[0, 1])) * math.sqrt(z.size - lag) for lag in (1, 2, quarter)]
    passed = tail > UNLIKELY and shape > UNLIKELY and max(lags) < _deviations(len(lags))
    seen = _deviations(1) / math.sqrt(2 * z.size)
    return _Finding(
        passed,
        f"scale {math.sqrt(total / z.size):.4f} of the stated one, Kolmogorov-Smirnov p {shape:.2g},"
        f" largest correlation {max(lags):.1f} standard errors",
        f"a scale that is off by {100 * seen:.1f} %, the same noise in two steps or tensors, another shape",
    )


def _sampler_keeps_its_rate(site: InventedSite, trials: int) -> _Finding:
    """Every patient joins with the stated probability."""
    drawn, probability = _draws(site, trials)
    counts = drawn.sum(0)
    least = min(float(stats.binomtest(int(count), trials, probability).pvalue) for count in counts)
    all_of_them = float(stats.binomtest(int(counts.sum()), drawn.size, probability).pvalue)
    passed = least * len(counts) > UNLIKELY and all_of_them > UNLIKELY
    seen = _deviations(1) * math.sqrt((1 - probability) / probability / drawn.size)
    return _Finding(
        passed,
        f"rate {drawn.mean():.4f} of {probability}, least p of a patient {least:.2g}",
        f"a rate that is off by {100 * seen:.1f} % for all, by {100 * seen * math.sqrt(len(counts)):.0f} % for one",
    )


def _sampler_is_independent(site: InventedSite, trials: int) -> _Finding:
    """Patients join independently of each other and of the step before, and a step's size varies as a binomial does."""
    drawn, probability = _draws(site, trials)
    patients = drawn.shape[1]
    pairs = np.corrcoef(drawn.T)[np.triu_indices(patients, 1)]
    between = float(np.abs(pairs).max()) * math.sqrt(trials)
    after = float(np.abs([np.corrcoef(drawn[:-1, n], drawn[1:, n])[0, 1] for n in range(patients)]).max())
    after *= math.sqrt(trials)
    spread = float(drawn.sum(1).var()) / (patients * probability * (1 - probability))
    odd = abs(spread - 1) / math.sqrt(2 / trials)
    passed = between < _deviations(pairs.size) and after < _deviations(patients) and odd < _deviations(1) + 1
    return _Finding(
        passed,
        f"largest correlation of two patients {between:.1f} standard errors, of two steps {after:.1f};"
        f" variance of a step's size {spread:.3f} of a binomial's",
        "shuffled or fixed-size batches, patients who come together, a sampler that repeats",
    )


def _nobody_draws_twice_the_same(site: InventedSite, trials: int) -> _Finding:
    """Two sites, two rounds of a site, and two patients share no stream: neither noise, nor sampler, nor own draws."""
    streams = [NoiseStream(), NoiseStream(), *(NoiseStream().fork("sampler") for _ in range(2))]
    words = np.concatenate([stream.words(trials, np.uint64) for stream in streams for _ in range(2)])
    repeats = words.size - np.unique(words).size
    other = InventedSite(site.folder.parent / "other")
    people = pseudonyms(50)
    both = (site.mechanism(people), other.mechanism(people))
    sampled = [[one._sampled() for _ in range(4)] for one in both]
    seeds = [
        where.patient_stream.seed(step=step, pseudonym=who)
        for where in (site, other)
        for step in (0, 1)
        for who in people
    ]
    same_seeds = len(seeds) - len(set(seeds))
    passed = repeats == 0 and sampled[0] != sampled[1] and same_seeds == 0
    return _Finding(
        passed,
        f"{repeats} repeated words of {words.size}, {same_seeds} repeated seeds of {len(seeds)},"
        f" sampler {'repeats' if sampled[0] == sampled[1] else 'differs'} between sites",
        "a seeded stream, two sites with one key, patients who share a generator",
    )


def _what_runs_is_charged(site: InventedSite, trials: int) -> _Finding:
    """The ledger holds the very event that ran, before it ran; an empty draw, too; and a step more is refused."""
    mechanism, earlier = site.mechanism([]), len(site.charged())
    with mechanism.open(1):
        before = site.charged()[earlier:]
        release = mechanism.step({"a": torch.zeros(3)}, site.silent_loss)
    refused = False
    try:
        mechanism.step({"a": torch.zeros(3)}, site.silent_loss)
    except PrivacyError:
        refused = True
    expected = mechanism.config.event(1)
    passed = before == [expected] and release.event == expected and refused
    return _Finding(
        passed,
        f"{len(before)} event charged before the step, a second step {'refused' if refused else 'taken'}",
        "a step without a reservation, another event than the mechanism's, an empty draw that goes uncounted",
    )


def _draws(site: InventedSite, trials: int) -> tuple[np.ndarray, float]:
    """(trials, patients) of 0 and 1 by the mechanism's own sampler, and the stated probability."""
    people = pseudonyms(40)
    mechanism = site.mechanism(people)
    places = {who: number for number, who in enumerate(people)}
    drawn = np.zeros((trials, len(people)))
    for row in drawn:
        row[[places[who] for who in mechanism._sampled()]] = 1.0
    return drawn, mechanism.config.sampling_probability


def _deviations(comparisons: int) -> float:
    """Standard errors that a normal figure exceeds, either way and in any of so many comparisons, UNLIKELY often."""
    return float(stats.norm.isf(UNLIKELY / 2 / comparisons))


def failed(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Those that did not pass."""
    return [result for result in results if not result.passed]
