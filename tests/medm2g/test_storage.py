"""A folder written is the generator read; whatever does not fit is refused with the place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from medm2g import Generator, folder_digest, preset
from medm2g.errors import ConfigInvalid, EncoderMissing, FolderInvalid
from medm2g.subsets import Subsets
from medm2g.text_encoder import TextEncoder
from tests.medm2g.conftest import chosen


def _state(generator: Generator) -> dict[str, torch.Tensor]:
    return {key: value for key, value in generator.state_dict().items() if not key.startswith("text_encoder.")}


@pytest.fixture()
def folder(generator: Generator, tmp_path: Path) -> Path:
    generator.codecs["ct"].scaling.fit(torch.randn(10, 16, 8, 8) * 1e-5 + 70_000)
    generator.save_pretrained(tmp_path / "generator")
    return tmp_path / "generator"


def test_a_generator_read_back_answers_identically(
    generator: Generator, folder: Path, text_encoder: TextEncoder
) -> None:
    again = Generator.from_pretrained(folder, text_encoder)
    assert again.config == generator.config
    theirs = _state(again)
    assert all(torch.equal(value, theirs[key]) for key, value in _state(generator).items())
    noisy, timesteps, mask = torch.randn(1, 16, 8, 8), torch.tensor([300]), torch.ones(1, 5)
    context, grids = torch.randn(1, 5, 384), torch.randn(1, 1, 16, 96)
    one, other = (
        g.denoise("ct", noisy, timesteps, context, mask, grids, torch.ones(1, 1), ("xray",)) for g in (generator, again)
    )
    assert torch.equal(one, other)


def test_the_digest_is_of_names_and_bytes(generator: Generator, folder: Path, tmp_path: Path) -> None:
    first = folder_digest(folder)
    generator.save_pretrained(tmp_path / "second")
    assert folder_digest(tmp_path / "second") == first
    (folder / "card.md").write_text("Another card.")
    assert folder_digest(folder) != first
    (tmp_path / "second" / "card.md").rename(tmp_path / "second" / "kard.md")
    assert folder_digest(tmp_path / "second") != first
    with pytest.raises(FolderInvalid):
        folder_digest(tmp_path)


def _share_the_network(generator: Generator) -> None:
    """As pre-training leaves it: one network for all image codecs, the rest each one's own."""
    network = {key: value for key, value in generator.codecs["xray"].state_dict().items() if "scaling" not in key}
    for flow in generator.image_flows:
        generator.codecs[flow].load_state_dict(network, strict=False)


def test_a_network_that_image_codecs_share_is_kept_once(
    generator: Generator, tmp_path: Path, text_encoder: TextEncoder
) -> None:
    _share_the_network(generator)
    generator.codecs["ct"].scaling.fit(torch.randn(10, 16, 8, 8) + 3)
    generator.codecs["mri_t1"].grain.table.add_(0.5)
    generator.save_pretrained(tmp_path / "one")
    assert (tmp_path / "one" / "codecs" / "images.safetensors").is_file()
    assert set(load_file(tmp_path / "one" / "codecs" / "ct" / "model.safetensors")) == {
        "scaling.shift",
        "scaling.scale",
        "grain.steps",
        "grain.table",
    }
    again = _state(Generator.from_pretrained(tmp_path / "one", text_encoder))
    assert all(torch.equal(value, again[key]) for key, value in _state(generator).items())
    with torch.no_grad():
        next(generator.codecs["mri_t2"].autoencoder.parameters()).add_(1e-3)  # one codec goes its own way
    generator.save_pretrained(tmp_path / "one")
    assert not (tmp_path / "one" / "codecs" / "images.safetensors").exists()
    again = _state(Generator.from_pretrained(tmp_path / "one", text_encoder))
    assert all(torch.equal(value, again[key]) for key, value in _state(generator).items())


def test_float16_fits_25_megabytes_and_keeps_the_scaling_exact(
    generator: Generator, tmp_path: Path, text_encoder: TextEncoder
) -> None:
    _share_the_network(generator)
    generator.codecs["ct"].scaling.fit(torch.randn(10, 16, 8, 8) * 1e-5 + 70_000)
    generator.save_pretrained(tmp_path / "half", dtype="float16")
    assert sum(path.stat().st_size for path in (tmp_path / "half").rglob("*.*")) < 25e6
    again = Generator.from_pretrained(tmp_path / "half", text_encoder)
    assert torch.equal(again.codecs["ct"].scaling.shift, generator.codecs["ct"].scaling.shift)
    theirs = _state(again)
    for key, value in _state(generator).items():
        torch.testing.assert_close(theirs[key], value, atol=1e-5, rtol=1e-3)
    assert next(again.unets.parameters()).dtype == torch.float32


def test_the_subsets_can_change_and_the_folder_follows(
    generator: Generator, folder: Path, text_encoder: TextEncoder
) -> None:
    before, first = _state(generator), folder_digest(folder)
    for subsets in (chosen(alignment="norms", guidance="gates"), chosen(diffusion="style", guidance="norms"), chosen()):
        generator.set_subsets(subsets)
        generator.save_pretrained(folder)
        again = Generator.from_pretrained(folder, text_encoder)
        assert again.subsets == subsets == Subsets.stored_in(folder)
        assert all(torch.equal(value, before[key]) for key, value in _state(again).items())
        for name in generator.group_names():
            assert set(load_file(folder / "groups" / f"{name}.safetensors")) == set(generator.group(name))
        trunks = {path.name for path in folder.glob("trunks/ct/*")} - {"model.safetensors"}
        families = {"alignment": subsets.alignment, "cross_guidance": subsets.guidance}
        assert trunks == {f"{family}.safetensors" for family, subset in families.items() if subset != "all"}
    generator.set_subsets(chosen(diffusion="attention"))
    generator.save_pretrained(folder)
    assert folder_digest(folder) == first


def test_a_folder_from_before_alignment_and_guidance_had_subsets_is_whole(
    generator: Generator, folder: Path, text_encoder: TextEncoder
) -> None:
    values = json.loads((folder / "config.json").read_text())
    for key in ("alignment_subset", "guidance_subset"):
        assert values.pop(key) == "all"
    (folder / "config.json").write_text(json.dumps(values))
    assert Subsets.stored_in(folder) == chosen(diffusion="attention")
    theirs = _state(Generator.from_pretrained(folder, text_encoder))
    assert all(torch.equal(value, theirs[key]) for key, value in _state(generator).items())


def test_a_trunk_that_is_missing_is_refused_with_its_place(
    generator: Generator, folder: Path, text_encoder: TextEncoder
) -> None:
    generator.set_subsets(chosen(guidance="gates"))
    generator.save_pretrained(folder)
    (folder / "trunks" / "ct" / "cross_guidance.safetensors").unlink()
    with pytest.raises(FolderInvalid, match=r"trunks/ct/cross_guidance.safetensors is missing"):
        Generator.from_pretrained(folder, text_encoder)


def test_an_unknown_key_in_config_json_is_refused(folder: Path, text_encoder: TextEncoder) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"num_train_timestep": 10}))
    with pytest.raises(ConfigInvalid, match="num_train_timestep"):
        Generator.from_pretrained(folder, text_encoder)


@pytest.mark.parametrize("fault", ["missing", "damaged", "renamed", "shape"])
def test_weights_that_do_not_fit_are_refused_with_their_place(
    folder: Path, text_encoder: TextEncoder, fault: str
) -> None:
    path = folder / "groups" / "diffusion" / "ct.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    if fault == "missing":
        path.unlink()
    elif fault == "damaged":
        path.write_bytes(path.read_bytes()[:100])
    elif fault == "renamed":
        save_file({("other" if key == name else key): value for key, value in tensors.items()}, path)
    else:
        save_file(tensors | {name: tensors[name][None].clone()}, path)
    with pytest.raises(FolderInvalid, match="diffusion/ct|diffusion.ct"):
        Generator.from_pretrained(folder, text_encoder)


def test_another_encoder_is_refused(folder: Path, text_encoder: TextEncoder) -> None:
    facts = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps(facts | {"digest": "0" * 64}))
    with pytest.raises(EncoderMissing, match="another text encoder"):
        Generator.from_pretrained(folder, text_encoder)


def test_a_folder_of_something_else_is_never_overwritten(generator: Generator, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(FolderInvalid, match="another folder"):
        generator.save_pretrained(tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    with pytest.raises(FolderInvalid):
        Generator.from_pretrained(tmp_path)
    with pytest.raises(FolderInvalid, match="float32"):
        generator.save_pretrained(tmp_path / "new", dtype="int8")


def test_a_generator_that_is_not_finite_is_not_kept(generator: Generator, folder: Path) -> None:
    before = folder_digest(folder)
    with torch.no_grad():
        generator.unets["ct"].conv_in.weight[0, 0, 0, 0] = 1e6
        generator.save_pretrained(folder.with_name("wide"))
        with pytest.raises(FolderInvalid, match="not finite"):
            generator.save_pretrained(folder, dtype="float16")
    assert folder_digest(folder) == before


def test_importing_the_package_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, medm2g; assert 'torch' not in sys.modules, 'torch'; medm2g.preset; medm2g.FlowConfig; "
    code += "assert 'torch' not in sys.modules, 'config'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_every_export_exists() -> None:
    import medm2g

    assert all(getattr(medm2g, name) is not None for name in medm2g.__all__)
    assert medm2g.preset is preset
    with pytest.raises(AttributeError):
        _ = medm2g.Pipeline
