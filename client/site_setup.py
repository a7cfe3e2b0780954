"""A new site: its keys, and `site.toml` with a comment on every line, as `studies/site.toml` shows it."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from client.errors import ClientError
from client.site_config import PRIVATE_FOLDER, SitePaths
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy

_COMMENTS = {
    "name": "the name registered with the consortium",
    "declared_patients": "said once, rounded down, public from then on; sampling, divisor and δ derive from it",
    "max_patients": "a store beyond this is outside the declaration and refuses to train",
    "declared_flows": "parameter groups follow from these, never from what the store holds",
    "max_epsilon": "over the lifetime of these patients, all studies together",
    "max_epsilon_per_study": "of one study; it cannot be above max_epsilon",
    "max_delta": "of one study, and of all together",
    "allowed_stages": "what this hospital takes part in",
    "minimum_patients": "no study below this",
    "allow_non_private": "true lets a study train here without differential privacy: public data only",
    "burned_in_text": '"refuse" images with text in their pixels, by header or by look, or "allow" them',
    "secondary_captures": '"refuse" screenshots and scanned paper, or "allow" them; documents are always refused',
    "head_scans": '"deface" CT and MRI of heads, "refuse" them, or "allow" them as they are',
    "patient_ids": '"pseudo" where patients are known only by guesswork: no patient-level claim is made',
}
_HEAD = """\
# What this hospital allows, written by `fedm2g site init`; whatever a study proposes beyond it is refused.
# Unknown keys are refused. Edit it by hand, before a study is approved.

"""


class SiteUnusable(ClientError):
    """The folder is not a site, or is one already."""


def create_site(site_dir: Path, policy: SitePolicy) -> SitePaths:
    """Make the folder (0700), the keys and `site.toml`. Raises SiteUnusable where there is a site already."""
    paths = SitePaths(site_dir)
    if paths.policy.exists():
        raise SiteUnusable(f"{paths.policy} exists already: edit it, or give another --dir.")
    try:
        site_dir.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        SiteKeys.open_or_create(site_dir)  # an init that was interrupted may have left them
        # Opened exclusively: of two that race, one is told that the site exists.
        with os.fdopen(
            os.open(paths.policy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8"
        ) as file:
            file.write(policy_text(policy))
    except FileExistsError:
        raise SiteUnusable(f"{site_dir} is a file or became a site meanwhile: give another --dir.") from None
    except OSError as error:
        raise SiteUnusable(f"{site_dir} cannot be written ({error.strerror}): give a --dir that you own.") from None
    return paths


def policy_text(policy: SitePolicy) -> str:
    """The policy as a commented TOML file that `SitePolicy.read` reads back to an equal policy."""
    values = policy.model_dump(mode="json")
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    width = max(map(len, lines)) + 2
    text = _HEAD + "".join(f"{line:<{width}}# {_COMMENTS[name]}\n" for name, line in zip(values, lines, strict=True))
    assert SitePolicy.from_dict(tomllib.loads(text)) == policy
    return text


def _toml(value: object) -> str:
    """JSON's spelling of strings, numbers, booleans and lists of strings is TOML's too."""
    return json.dumps(value, ensure_ascii=False)
