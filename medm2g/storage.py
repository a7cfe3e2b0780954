"""The generator folder: everything public about a generator, in safetensors and JSON, nothing executable.

config.json                          sizes (unknown keys are refused)
encoder.json                         which frozen text encoder, by name and digest; its weights are not copied
codecs/images.safetensors            frozen; the network of all image codecs, where it is one (pre-training trains one)
codecs/<flow>/model.safetensors      frozen; a codec's own: latent shift, scale and grain, always float32, and its
                                     network where it shares none
trunks/<flow>/model.safetensors      the public part of each denoiser
trunks/<flow>/<family>.safetensors   the public part of its alignment and cross-guidance, where not all of it trains
groups/<family>/<flow>.safetensors   what trains, by qualified parameter name
card.md                              what it was trained on, by whom, epsilon, what it must not be used for
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from medm2g.config import read_config, read_json
from medm2g.errors import EncoderMissing, FolderInvalid
from medm2g.text_encoder import DEFAULT_ENCODER, TextEncoder

if TYPE_CHECKING:
    from medm2g.generator import Generator

_DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}
IMAGE_NETWORK = Path("codecs") / "images.safetensors"
_OWN = ("scaling.", "grain.")
"""Of an image codec: what is fitted to each flow."""
_ENCODER_KEYS = {"source", "digest", "max_length"}


def save_pretrained(generator: Generator, folder: Path, *, dtype: str = "float32", card: str | None = None) -> None:
    """Write the folder, whole or not at all. An existing generator folder is replaced, anything else is refused.

    dtype: of the weights on disk; float16 halves the folder and rounds at 1 part in 2000. card: text of `card.md`;
    without one the card of a folder being replaced is not kept: a new one states sizes and limits only.
    """
    if dtype not in _DTYPES:
        raise FolderInvalid(f"`dtype` is {dtype!r}: choose one of {', '.join(_DTYPES)}.")
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise FolderInvalid(f"{folder.name} holds something that is not a generator: choose another folder.")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write_json(partial / "config.json", generator.config.to_dict())
    _write_json(partial / "encoder.json", _encoder_facts(generator.text_encoder))
    networks = [_network_of(generator, flow) for flow in generator.image_flows]
    shared = len(networks) > 1 and all(_equal(networks[0], network) for network in networks[1:])
    if shared:
        _write_tensors(partial / IMAGE_NETWORK, networks[0], _DTYPES[dtype])
    for path, tensors in _weight_files(generator, shared=shared).items():
        _write_tensors(partial / path, tensors, _DTYPES[dtype])
    (partial / "card.md").write_text(card if card is not None else default_card(generator), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def from_pretrained(folder: Path, *, text_encoder: TextEncoder | str | Path | None = None) -> Generator:
    """Read a folder into float32 on the CPU. Raises FolderInvalid, ConfigInvalid, EncoderMissing.

    text_encoder: a loaded encoder or its folder; by default the package that the folder names. Its digest must be the
    one that the generator was made with, for all that it learnt is written in that encoder's space.
    """
    from medm2g.generator import Generator

    config = read_config(folder)
    facts = read_json(folder / "encoder.json")
    if set(facts) != _ENCODER_KEYS:
        raise FolderInvalid(f"encoder.json of {folder.name} must have exactly the keys {sorted(_ENCODER_KEYS)}.")
    if not isinstance(text_encoder, TextEncoder):
        source = text_encoder or str(facts["source"])
        text_encoder = TextEncoder(source, max_length=int(facts["max_length"]))
    if text_encoder.digest != facts["digest"]:
        raise EncoderMissing(f"{folder.name} was made with another text encoder: give that encoder's folder.")
    generator = Generator(config, text_encoder)
    shared = (folder / IMAGE_NETWORK).is_file()
    for flow in generator.image_flows if shared else ():
        _read_tensors(folder / IMAGE_NETWORK, _network_of(generator, flow))
    for path, tensors in _weight_files(generator, shared=shared).items():
        _read_tensors(folder / path, tensors)
    return generator


def folder_digest(folder: str | Path) -> str:
    """Hex SHA-256 over every file's name and bytes, sorted by name. Raises FolderInvalid when there is no generator."""
    root = Path(folder)
    if not (root / "config.json").is_file():
        raise FolderInvalid(f"There is no generator in {root.name}: give a folder that holds config.json.")
    total = hashlib.sha256()
    for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()):
        content = (root / name).read_bytes()
        total.update(f"{name}\n{len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def default_card(generator: Generator) -> str:
    """A card that claims nothing."""
    flows = ", ".join(generator.flows)
    return (
        f"# A MedM2G generator\n\nPreset {generator.config.preset}, {generator.config.image_size} px, flows: {flows}.\n"
        "\nTrained on: not stated. Privacy: none claimed.\n"
        "\nNot for diagnosis, treatment, or training of a device without validation on real patients.\n"
    )


def _network_of(generator: Generator, flow: str) -> dict[str, Tensor]:
    """An image codec but for what is always its own."""
    codec = generator.codecs[flow].state_dict()
    return {key: value for key, value in codec.items() if not key.startswith(_OWN)}


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, second[key]) for key, value in first.items())


def _weight_files(generator: Generator, *, shared: bool) -> dict[str, dict[str, Tensor]]:
    """Every file of weights with the live tensors that belong in it, but for a network that image codecs share."""
    files: dict[str, dict[str, Tensor]] = {}
    for flow in generator.flows:
        elsewhere = {name.removeprefix(f"codecs.{flow}.") for name in generator.group(f"diffusion/{flow}")}
        if shared and flow in generator.image_flows:
            elsewhere |= set(_network_of(generator, flow))
        codec = generator.codecs[flow].state_dict()
        files[f"codecs/{flow}/model.safetensors"] = {key: codec[key] for key in codec if key not in elsewhere}
    for name in generator.group_names():
        files[f"groups/{name}.safetensors"] = {key: value.data for key, value in generator.group(name).items()}
        trunk = {key: value.data for key, value in generator.trunk(name).items()}
        family, _, flow = name.partition("/")
        if family == "diffusion":
            files[f"trunks/{flow}/model.safetensors"] = trunk
        elif trunk:  # folders from before these families had trunks hold none, and are whole
            files[f"trunks/{flow}/{family}.safetensors"] = trunk
    return files


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    rounded: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        kept = torch.float32 if key.startswith(_OWN) else dtype
        rounded[key] = tensor.detach().to("cpu", kept).contiguous()
        if not bool(torch.isfinite(rounded[key]).all()):
            raise FolderInvalid(
                f"{key} is not finite as {str(kept).removeprefix('torch.')}: do not keep this generator."
            )
    save_file(rounded, path)


@torch.no_grad()
def _read_tensors(path: Path, into: Mapping[str, Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = "/".join(path.parts[-3:])
    try:
        stored = load_file(path)
    except FileNotFoundError:
        raise FolderInvalid(f"{place} is missing: the generator folder is incomplete, copy it again.") from None
    except SafetensorError:
        raise FolderInvalid(f"{place} is damaged: copy the generator folder again.") from None
    if set(stored) != set(into):
        odd = sorted(set(stored) ^ set(into))[0]
        raise FolderInvalid(
            f"{place} does not fit config.json (first difference: {odd}): the two are of different makes."
        )
    for key, tensor in into.items():
        if stored[key].shape != tensor.shape:
            raise FolderInvalid(f"{key} in {place} has shape {tuple(stored[key].shape)}, not {tuple(tensor.shape)}.")
        tensor.copy_(stored[key])


def _encoder_facts(encoder: TextEncoder) -> dict[str, Any]:
    """A package is named; of a local folder only the last part of its path is kept: paths stay at home."""
    source = encoder.source if encoder.source == DEFAULT_ENCODER else Path(encoder.source).name
    return {"source": source, "digest": encoder.digest, "max_length": encoder.max_length}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
