"""The vault as the daemon holds it: one round at a time until its reply leaves, and a policy that is read anew.

A relay that was taken over sees when a turn begins and when it ends. So a turn ends when the reply leaves on the time
grid, not when the training is done, and whoever waits for it learns nothing earlier.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.site_config import SitePaths
from client.vault.incidents import Incident
from client.vault.vault import Vault
from client.vault.watch import RunningRound
from privacy.policy import SitePolicy
from protocol.codes import Code
from protocol.requests import SiteDescription, TrainReply, TrainRequest
from protocol.study import StageSpec

CLOSING_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a relay may know of the round that has the turn."""

    study_digest: str
    stage: str
    round_number: int
    steps_planned: int


class ResidentVault:
    """One site's vault in a process of its own. Safe for several threads."""

    def __init__(self, site_dir: Path, *, generator_folder: Path) -> None:
        """Raises what opening a `Vault` raises."""
        self._site_dir, self._generator_folder = Path(site_dir), generator_folder
        self._opening = threading.Lock()
        self._having_turn = threading.Lock()
        self._turn: Turn | None = None
        self._last_used = time.monotonic()
        self.rounds_answered = 0
        self.last_incident: Incident | None = None
        self._vault = self._opened()

    # --- what a relay may ask -----------------------------------------------------------------------------------------

    @property
    def site(self) -> str:
        """The registered name."""
        return self._vault.policy.name

    @property
    def turn(self) -> Turn | None:
        """Who has the turn, until its reply has left."""
        return self._turn

    def describe(self) -> SiteDescription:
        """See `Vault.describe`."""
        return self._vault.describe()

    def stage(self, study_digest: str, name: str) -> StageSpec:
        """See `Vault.stage`; by the policy of this moment, unless a round runs by the one before."""
        if self._having_turn.acquire(blocking=False):
            try:
                self._follow_policy()
            finally:
                self._having_turn.release()
        return self._vault.stage(study_digest, name)

    def train(self, about: Turn, take: Callable[[], TrainRequest]) -> TrainReply:
        """Wait for the turn, take the request's arrays only then, and answer when the time grid allows.

        Raises whatever `take` raises; everything else is a reply.
        """
        with self._having_turn:
            self._turn = about
            try:
                self._follow_policy()
                reply = self._vault.train(take())
            finally:
                self._turn = None
                self._last_used = time.monotonic()
        self.rounds_answered += reply.code is Code.OK
        if reply.incident:
            self.last_incident = Incident(code=reply.code, number=reply.incident)
        return reply

    def incident(self, error: BaseException) -> Incident:
        """Write an error into the site's log; the incident may leave."""
        self.last_incident = self._vault.incident(error)
        return self.last_incident

    # --- what only the site's own people may ask ----------------------------------------------------------------------

    @property
    def running(self) -> RunningRound | None:
        """The round in the mechanism, with its true progress."""
        return self._vault.watch.round

    @property
    def model_resident(self) -> bool:
        """Whether the model is in memory."""
        return self._vault.model_resident

    def cancel(self) -> bool:
        """Stop the running round; whether there was one."""
        return self._vault.watch.cancel()

    def idle_seconds(self) -> float:
        """Since the last turn ended; zero while somebody has it or waits for it."""
        return 0.0 if self._having_turn.locked() else time.monotonic() - self._last_used

    def close(self) -> None:
        """Cut short what runs and let go of files; state on disk is true at any moment, so there is no long wait."""
        self._vault.watch.cancel()
        if self._having_turn.acquire(timeout=CLOSING_SECONDS):
            self._vault.close()

    # --- the policy ---------------------------------------------------------------------------------------------------

    def _follow_policy(self) -> None:
        """A policy that was edited holds from the next round on. Raises ConfigInvalid where it cannot be read."""
        policy = SitePolicy.read(SitePaths(self._site_dir).policy)
        if policy.digest() != self._vault.policy.digest():
            with self._opening:
                before, self._vault = self._vault, self._opened()
                before.close()

    def _opened(self) -> Vault:
        return Vault(self._site_dir, generator_folder=self._generator_folder, deployment=True)
