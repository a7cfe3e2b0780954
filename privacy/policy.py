"""The site's rules, from `site.toml`: what a hospital allows, whoever asks.

The server proposes, the policy takes it or refuses with one plain sentence. Everything declared here is said once
and public from then on: sampling, divisor and delta derive from it, never from a count.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from privacy.errors import ConfigInvalid, OutsideDeclaration, PolicyRefused

DELTA_SHARE = 0.1
"""delta may be at most this share of 1 / declared_patients (notes/privacy.md section 5.3)."""
ROUNDING = 1.0 + 1e-9
PUBLIC_FIGURES = frozenset({"epsilon_spent"})
"""Figures that follow from public numbers alone (planned steps and noise), so that nothing was measured."""


class SitePolicy(BaseModel):
    """What this site allows. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    """The name registered with the consortium."""
    declared_patients: Annotated[int, Field(ge=1)]
    """Said once, rounded down. Stays when patients join or opt out."""
    max_patients: Annotated[int, Field(ge=1)]
    """A store beyond this is outside the declaration."""
    declared_flows: tuple[str, ...]
    max_epsilon: Annotated[float, Field(gt=0)]
    """Over the lifetime of these patients, all studies together."""
    max_epsilon_per_study: Annotated[float, Field(gt=0)]
    max_delta: Annotated[float, Field(gt=0, lt=1)]
    """Over the lifetime of these patients, all studies together."""
    max_delta_per_study: Annotated[float, Field(gt=0, lt=1)]
    """`max_delta` where the file does not say it."""
    allowed_stages: tuple[str, ...]
    coordinators: tuple[str, ...] = ()
    """Who may coordinate a study, by the name that the study gives; empty for whoever a person here approves."""
    minimum_patients: Annotated[int, Field(ge=1)] = 50
    """No study below this."""
    minimum_count: Annotated[int, Field(ge=1)] = 11
    """No number leaves that counts, or was measured over, fewer patients than this. Eleven is the least cell that US
    Medicare and Medicaid (CMS cell size suppression policy) let anybody publish."""
    metrics_leave: bool = False
    """Whether figures that were measured on patients may leave, noised and charged. What was spent always does."""
    allow_non_private: bool = False
    """True lets a study train here without differential privacy: for public data only."""
    burned_in_text: Literal["refuse", "allow"] = "refuse"
    """Images whose header says that text is burned in, or whose pixels look like it."""
    secondary_captures: Literal["refuse", "allow"] = "refuse"
    """Screenshots and scanned paper. Documents (structured reports, PDF) are refused by every policy."""
    head_scans: Literal["deface", "refuse", "allow"] = "deface"
    """CT and MRI of heads: without their outside, not at all, or as they are (only where nobody's face can be seen)."""
    patient_ids: Literal["real", "pseudo"] = "real"
    """`pseudo` where patients are known only by guesswork: then no patient-level claim is made."""

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        if isinstance(values, dict) and "max_delta" in values:
            return {"max_delta_per_study": values["max_delta"]} | values
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.declared_patients > self.max_patients:
            raise ValueError("`declared_patients` is above `max_patients`")
        if self.declared_patients < self.minimum_count:
            raise ValueError("`declared_patients` leaves the site and is below its `minimum_count`")
        if self.max_epsilon_per_study > self.max_epsilon:
            raise ValueError("`max_epsilon_per_study` is above `max_epsilon`")
        if self.max_delta_per_study > self.max_delta:
            raise ValueError("`max_delta_per_study` is above `max_delta`")
        if not self.declared_flows or len(set(self.declared_flows)) != len(self.declared_flows):
            raise ValueError("`declared_flows` needs at least one flow, and each once")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `site.toml`. Raises ConfigInvalid with the first thing to mend."""
        try:
            return cls.from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ConfigInvalid(f"There is no policy at {path}: run `fedm2g site init` first.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"{path} is not valid TOML ({error}): mend that line.") from None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from plain values. Raises ConfigInvalid."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "site.toml"
            raise ConfigInvalid(f"In the site's policy, {place}: {first['msg']}.") from None

    def digest(self) -> str:
        """Hex SHA-256 of every field, defaults included; stands in every ledger entry."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def check(
        self,
        *,
        declared_patients: int,
        stages: Sequence[str],
        flows: Sequence[str],
        private: bool,
        epsilon: float | None,
        delta: float | None,
        coordinator: str,
    ) -> None:
        """Whether a study with these terms may run here. Raises PolicyRefused with the first reason against it.

        `declared_patients` and `flows` are what the study says this site declared; `epsilon` and `delta` are its
        whole cost here (None for a non-private study); `coordinator` is the name by which it says who runs it.
        """
        if self.coordinators and coordinator not in self.coordinators:
            raise PolicyRefused("The study's coordinator is not among those that this site's policy names.")
        self._check_declared(declared_patients, flows)
        if forbidden := [stage for stage in stages if stage not in self.allowed_stages]:
            raise PolicyRefused(
                f"This site does not take part in {_listed(forbidden)}: its policy names the stages that it allows."
            )
        if private:
            self._check_spending(epsilon, delta)
        elif not self.allow_non_private:
            raise PolicyRefused(
                "The study trains without privacy here, which this site's policy does not allow: turn privacy on."
            )

    def check_leaving(self, figures: Iterable[str], *, expected_patients: float) -> None:
        """Whether these figures may leave beside a release. Raises PolicyRefused.

        `expected_patients` is the public number of patients that a figure was measured over, in expectation.
        """
        measured = sorted(set(figures) - PUBLIC_FIGURES)
        if measured and not self.metrics_leave:
            raise PolicyRefused(f"This site's policy lets no measured figure leave: take {_listed(measured)} out.")
        if measured and expected_patients < self.minimum_count:
            raise PolicyRefused(f"{_listed(measured)} would stand on fewer patients than `minimum_count` allows.")

    def _check_declared(self, declared_patients: int, flows: Sequence[str]) -> None:
        if self.declared_patients < self.minimum_patients:
            raise PolicyRefused(
                f"This site has too few patients: it declares {self.declared_patients},"
                f" and its policy asks for at least {self.minimum_patients}."
            )
        if declared_patients != self.declared_patients:
            raise PolicyRefused(
                f"The study counts on {declared_patients} patients at this site, which declares"
                f" {self.declared_patients}: write the declared number into the study."
            )
        if undeclared := [flow for flow in flows if flow not in self.declared_flows]:
            raise PolicyRefused(f"The study asks for {_listed(undeclared)}, which this site has not declared.")

    def _check_spending(self, epsilon: float | None, delta: float | None) -> None:
        if epsilon is None or delta is None or not (epsilon > 0.0 and 0.0 < delta < 1.0):
            raise PolicyRefused("The study does not say what it spends: give epsilon and delta.")
        if epsilon > self.max_epsilon_per_study * ROUNDING:
            raise PolicyRefused(
                f"The study would spend epsilon {epsilon:.4g} here, and this site's policy allows"
                f" {self.max_epsilon_per_study:.4g} a study."
            )
        limit = min(self.max_delta_per_study, DELTA_SHARE / self.declared_patients)
        if delta > limit * ROUNDING:
            raise PolicyRefused(f"The study's delta of {delta:.3g} is above the {limit:.3g} that this site allows.")


def check_store(policy: SitePolicy, *, patients: int) -> None:
    """Whether a store of so many patients is what the site declared. Raises OutsideDeclaration, without the count.

    Flows that the store holds beyond the declared ones are simply not trained.
    """
    if patients > policy.max_patients:
        raise OutsideDeclaration(
            "The store holds more patients than `max_patients`: raise it in the policy, or forget some."
        )
    if patients < policy.minimum_patients:
        raise OutsideDeclaration("The store holds fewer patients than `minimum_patients`: ingest more before training.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
