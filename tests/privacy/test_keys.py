"""The site's secrets: made by the OS, for the owner alone, all at once, and never printed."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from privacy.errors import ConfigInvalid, KeysUnusable
from privacy.keys import SiteKeys


def secrets_of(keys: SiteKeys) -> list[bytes]:
    return [keys.pseudonym_key, keys.stream_key, keys.storage_key, keys.signing_seed]


def test_keys_are_read_back_as_they_were_made(tmp_path: Path) -> None:
    made = SiteKeys.create(tmp_path)
    assert SiteKeys.open(tmp_path) == made
    assert SiteKeys.open_or_create(tmp_path) == made


def test_every_key_of_every_site_is_different(tmp_path: Path) -> None:
    every = [secret for name in ("a", "b") for secret in secrets_of(SiteKeys.create(tmp_path / name))]
    assert len(set(every)) == 8 and all(len(secret) == 32 for secret in every)


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    SiteKeys.create(tmp_path)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    files = list((tmp_path / "keys").iterdir())
    assert len(files) == 4 and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert not [file for file in tmp_path.iterdir() if file.name != "keys"]


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    SiteKeys.create(tmp_path)
    (tmp_path / "keys" / "stream.key").chmod(0o640)
    with pytest.raises(KeysUnusable, match="0600"):
        SiteKeys.open(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"x" * 31, b"x" * 33])
def test_missing_and_damaged_keys_are_refused_and_never_remade(tmp_path: Path, damage: bytes) -> None:
    with pytest.raises(KeysUnusable):
        SiteKeys.open(tmp_path)
    SiteKeys.create(tmp_path)
    path = tmp_path / "keys" / "signing.key"
    path.write_bytes(damage)
    with pytest.raises(KeysUnusable):
        SiteKeys.open_or_create(tmp_path)
    path.unlink()
    with pytest.raises(KeysUnusable):
        SiteKeys.open_or_create(tmp_path)
    with pytest.raises(KeysUnusable):
        SiteKeys.create(tmp_path)


def test_keys_do_not_print_their_secrets(tmp_path: Path) -> None:
    keys = SiteKeys.create(tmp_path)
    for text in (repr(keys), str(keys), f"{keys}"):
        assert not any(secret.hex() in text or repr(secret)[2:-1] in text for secret in secrets_of(keys))
        assert keys.public_key.hex() in text


def test_a_simulations_pseudonym_key_is_kept_and_the_others_stay_secret(tmp_path: Path) -> None:
    one = SiteKeys.create(tmp_path / "a", pseudonym_key=b"p" * 32)
    two = SiteKeys.create(tmp_path / "b", pseudonym_key=b"p" * 32)
    assert one.pseudonym_key == two.pseudonym_key == b"p" * 32
    assert one.stream_key != two.stream_key and one.signing_seed != two.signing_seed
    with pytest.raises(ConfigInvalid):
        SiteKeys.create(tmp_path / "c", pseudonym_key=b"")


def test_processes_that_race_get_the_same_keys(tmp_path: Path) -> None:
    found: list[SiteKeys] = []
    threads = [threading.Thread(target=lambda: found.append(SiteKeys.open_or_create(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(keys == found[0] for keys in found)
