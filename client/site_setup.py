"""A new site: its keys, and `site.toml` with a comment on every line, as `studies/site.toml` shows it."""

from __future__ import annotations

import json
import os
import tomllib
from contextlib import suppress
from pathlib import Path

from client.errors import ClientError
from client.site_config import PRIVATE_FILE, PRIVATE_FOLDER, SitePaths
from privacy.keys import SiteKeys
from privacy.policy import SitePolicy

_COMMENTS = {
    "name": "the name registered with the consortium",
    "declared_patients": "said once, rounded down, public from then on; sampling, divisor and δ derive from it",
    "max_patients": "a store beyond this is outside the declaration and refuses to train",
    "declared_flows": "parameter groups follow from these, never from what the store holds",
    "max_epsilon": "over the lifetime of these patients, all studies together",
    "max_epsilon_per_study": "of one study; it cannot be above max_epsilon",
    "max_delta": "over the lifetime of these patients, all studies together",
    "max_delta_per_study": "of one study; never more than 1 / (10 * declared_patients) either",
    "allowed_stages": "what this hospital takes part in",
    "coordinators": "names of those who may coordinate a study; empty: whoever a person here approves by digest",
    "minimum_patients": "no study below this",
    "minimum_count": "no number leaves that counts, or was measured over, fewer patients than this",
    "metrics_leave": "true lets figures measured on patients leave, noised and charged; what was spent always does",
    "allow_non_private": "true lets a study train here without differential privacy: public data only",
    "burned_in_text": '"refuse" images with text in their pixels, by header or by look, or "allow" them',
    "secondary_captures": '"refuse" screenshots and scanned paper, or "allow" them; documents are always refused',
    "head_scans": '"deface" CT and MRI of heads, "refuse" them, or "allow" them as they are',
    "patient_ids": '"pseudo" where patients are known only by guesswork: no patient-level claim is made',
}
_HEAD = """\
# What this hospital allows, written by `fedm2g site init`; whatever a study proposes beyond it is refused.
# Unknown keys are refused. Edit it by hand, before a study is approved; the ledger keeps every version that was used.
# Patients who opt out stand in opt-out.txt beside this file, one a line.

"""
_OPT_OUT_HEAD = """\
# Patients who take part in no study, one a line: the id as this hospital knows it, `ID^^^ISSUER` where the images name
# an issuer, or a pseudonym. Honoured from the next step on. Lines that begin with # are not read. See who is named by
# lines that fit nobody with `fedm2g site opt-outs`.
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
        _write_opt_out_list(paths.opt_out)
    except FileExistsError:
        raise SiteUnusable(f"{site_dir} is a file or became a site meanwhile: give another --dir.") from None
    except OSError as error:
        raise SiteUnusable(f"{site_dir} cannot be written ({error.strerror}): give a --dir that you own.") from None
    return paths


def _write_opt_out_list(path: Path) -> None:
    """An empty list, for the vault's user alone; one that somebody has begun is left as it is."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_OPT_OUT_HEAD)


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
