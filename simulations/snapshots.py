"""Generators as they stood at a few rounds, kept aside for the report's curve of quality by round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from protocol.study import Study
from server.generator_folder import write_generator
from server.rounds import RoundRecord
from server.run_store import RunState
from server.strategy import OnRound
from simulations.clock import Clock

#: Only this stage changes what a prompt alone draws; the others teach sources to speak.
_STAGE = "diffuse"


class Snapshots:
    """Writes a generator after half of the diffuse stage."""

    def __init__(self, folder: Path, study: Study, source: Path, clock: Clock) -> None:
        self._folder, self._study, self._source, self._clock = folder, study, source, clock
        self.folders: dict[int, Path] = {}
        """Rounds done to the generator folder of that moment."""
        rounds = next((stage.rounds for stage in study.stages if stage.name == _STAGE), 0)
        self._wanted = rounds // 2

    def watch(self, tell: Callable[[int], None]) -> OnRound:
        """The callback of a run; `tell` gets the number of rounds done."""

        def on_round(record: RoundRecord, state: RunState) -> None:
            tell(state.rounds_done)
            if record.stage == _STAGE and record.round_number == self._wanted:
                with self._clock.measure("snapshots"):
                    self.folders[state.rounds_done] = write_generator(
                        self._source,
                        self._folder / f"{state.rounds_done:06d}",
                        groups=state.groups,
                        ema=state.ema,
                        study=self._study,
                        records=[],
                    )

        return on_round
