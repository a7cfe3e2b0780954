"""Where everything of a site lies. One folder per site; only the vault's user can read most of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@dataclass(frozen=True)
class SitePaths:
    """The places below one site's folder. Nothing here opens or creates anything but `prepare`."""

    site_dir: Path

    @property
    def policy(self) -> Path:
        """`site.toml`: what this site allows."""
        return self.site_dir / "site.toml"

    @property
    def opt_out(self) -> Path:
        """Patients who take part in no study, one a line; beside the policy and outside its digest."""
        return self.site_dir / "opt-out.txt"

    @property
    def forgotten(self) -> Path:
        """Pseudonyms of patients whose records were erased, so that no second ingest brings them back."""
        return self.site_dir / "forgotten.txt"

    @property
    def keys(self) -> Path:
        """The site's secret keys."""
        return self.site_dir / "keys"

    @property
    def ledger(self) -> Path:
        """The append-only account of privacy spent."""
        return self.site_dir / "ledger.sqlite"

    @property
    def incidents(self) -> Path:
        """The only file that holds the text of an exception."""
        return self.site_dir / "incidents.log"

    @property
    def state(self) -> Path:
        """Approvals, rounds, kept replies, groups held and caches."""
        return self.site_dir / "state"

    def prepare(self) -> SitePaths:
        """Make the vault's own folder, closed to other users, and return self; root makes it for the site's owner."""
        self.state.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        self.state.chmod(PRIVATE_FOLDER)
        if os.geteuid() == 0:
            os.chown(self.state, self.site_dir.stat().st_uid, -1)
        return self
