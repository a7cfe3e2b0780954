"""The groups a site trains with: its own, those that it was sent, and those that it holds from before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.vault import training
from client.vault.generators import shared_generator
from client.vault.groups import HeldGroups
from client.vault.vault import Vault
from protocol.codec import GROUP_CODEC, decode_update, encode_update
from protocol.codes import Code
from protocol.digests import digest_group
from protocol.requests import TrainRequest
from protocol.study import Study
from server.generator_folder import open_groups
from server.run_store import RunState, RunStore
from tests.client.vault.conftest import shifted

MakeSite = Callable[..., Any]
MakeStudy = Callable[..., Study]
MakeRequest = Callable[..., TrainRequest]


def laid_at(array: np.ndarray, offset: int) -> np.ndarray:
    """The same numbers in memory that begins `offset` bytes after a multiple of 64."""
    room = np.empty(array.nbytes + 128, dtype=np.uint8)
    start = -room.ctypes.data % 64 + offset
    laid = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    laid[...] = array
    return laid


def test_frozen_groups_that_are_not_here_are_asked_for_once_and_kept(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    site, study = make_site(), make_study()
    vault = site.vault()
    vault.approve(study)
    frozen = {"alignment/xray": shifted(make_request(study, "align").groups["alignment/xray"])}
    asked = vault.train(make_request(study, "guide", groups=frozen))
    assert asked.code is Code.NEEDS_GROUPS and asked.missing == ("alignment/xray",)
    assert [entry.kind for entry in vault._ledger.entries()] == ["opened", "approved"]
    answered = vault.train(make_request(study, "guide", groups=frozen, also=("alignment/xray",)))
    assert answered.code is Code.OK
    restarted = site.vault()
    request = make_request(study, "guide", groups=frozen, round_number=2)
    assert restarted.describe().groups_held == {"alignment/xray": request.reads["alignment/xray"]}
    assert restarted.train(request).code is Code.OK


def test_a_site_that_joins_at_guide_trains_with_the_same_frozen_groups_as_the_others(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, seen = make_study(), {}
    frozen = {
        "alignment/xray": shifted(make_request(study, "align").groups["alignment/xray"]),
        "diffusion/xray": shifted(make_request(study, "diffuse").groups["diffusion/xray"]),
    }
    real = training.local_steps
    for name, flows in (("north", ("xray", "text")), ("south", ("xray", "ct"))):
        vault = make_site(name, declared_flows=flows).vault()
        vault.approve(study)
        if name == "north":  # has been there since the beginning
            assert vault.train(make_request(study, "align")).code is Code.OK

        def looked(*arguments: Any, vault: Vault = vault, name: str = name) -> Any:
            generator = vault._trainer.shared.generator
            seen[name] = {group: generator.group_arrays(group) for group in frozen}
            return real(*arguments)

        with monkeypatch.context() as watched:
            watched.setattr(training, "local_steps", looked)
            request = make_request(study, "guide", site=name, groups=frozen, also=tuple(frozen))
            assert vault.train(request).code is Code.OK
    for group, arrays in frozen.items():
        for key, array in arrays.items():
            assert np.array_equal(seen["north"][group][key], array)
            assert np.array_equal(seen["south"][group][key], array)


def test_a_site_calls_the_groups_of_its_folder_as_the_server_does(
    make_study: MakeStudy, generator_folder: Path, tmp_path: Path
) -> None:
    """And holds them as those do who are sent them: else a site that was there from the start would be sent what it
    has, or train beside another frozen group than one that came later."""
    groups = open_groups(make_study(), generator_folder)
    named = RunState.begin("study", RunStore(tmp_path), groups).digests
    shared = shared_generator(generator_folder)
    assert named == {name: shared.initial_digests[name] for name in groups}
    for name, arrays in groups.items():
        assert digest_group(shared.initial(name)) == named[name]
        received = decode_update(encode_update(arrays, codec=GROUP_CODEC), max_bytes=1 << 30)
        assert digest_group(received) == named[name]


def test_trained_parameters_begin_where_torch_would_put_them(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last bits of a product depend on where a message happened to lie in memory."""
    study = make_study(privacy={"enabled": False})
    vault = make_site(allow_non_private=True).vault()
    vault.approve(study)
    request, real = make_request(study, "guide"), training.local_steps
    groups = {name: {key: laid_at(array, 4) for key, array in own.items()} for name, own in request.groups.items()}
    begins: set[int] = set()

    def looked(mechanism: Any, loss: Any, parameters: Any, *others: Any) -> Any:
        begins.update(value.data_ptr() % 64 for value in parameters.values())
        return real(mechanism, loss, parameters, *others)

    monkeypatch.setattr(training, "local_steps", looked)
    assert vault.train(replace(request, groups=groups)).code is Code.OK
    assert begins == {0}


def test_a_generator_that_was_exchanged_after_approval_is_refused(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, study = make_site().vault(), make_study()
    vault.approve(study)
    monkeypatch.setattr(vault._trainer.shared, "digest", "0" * 64)
    assert vault.train(make_request(study, "align")).code is Code.GENERATOR_MISMATCH
    assert [entry.kind for entry in vault._ledger.entries()] == ["opened", "approved"]


def test_a_generator_that_is_divided_otherwise_than_the_study_says_is_refused(
    make_site: MakeSite, make_study: MakeStudy, make_request: MakeRequest
) -> None:
    vault, study = make_site().vault(), make_study(training={"guidance_subset": "gates"})
    vault.approve(study)
    assert vault.train(make_request(study, "guide")).code is Code.GENERATOR_MISMATCH
    assert [entry.kind for entry in vault._ledger.entries()] == ["opened", "approved"]


@pytest.mark.parametrize("damage", [lambda content: content[:-4] + bytes(4), lambda content: content[:20]])
def test_a_held_group_comes_back_with_every_shape_or_not_at_all(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    arrays = {"weight": np.ones((2, 3), np.float32).T, "gate": np.full((), 0.5, np.float32)}
    held = HeldGroups(tmp_path)
    held.keep("cross_guidance/xray", digest_group(arrays), arrays)
    back = held.read("cross_guidance/xray", digest_group(arrays))
    assert back is not None and all(
        np.array_equal(back[n], arrays[n]) and back[n].shape == arrays[n].shape for n in arrays
    )
    path = next(tmp_path.rglob("*.safetensors"))
    path.write_bytes(damage(path.read_bytes()))
    assert held.read("cross_guidance/xray", path.stem) is None and not path.exists()
