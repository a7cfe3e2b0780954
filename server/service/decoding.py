"""The process that decodes one upload and nothing else: bytes on standard input, a small square on standard output.

Foreign files meet foreign decoders here, so it runs apart from the service: no torch, no generator, no token, no files
(RLIMIT_FSIZE 0), no core dump, bounded memory and time, and nobody listens to what a library may say of the header.
A bomb or a crash ends this process and no other.

    python -m server.service.decoding FLOW SIZE MAX_PIXELS CPU_SECONDS CURVE < upload > square

CURVE is the generator's tone curve of the flow, JSON of (stored value, unit) knots.
Exit status 0: SIZE * SIZE little-endian float32 in [-1, 1]. Otherwise 10 and more: a place in `REFUSALS`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence

#: Address space of the process, bytes: numpy and the decoders take 0.5 GiB of it before the first pixel.
MEMORY = 3 << 29
FIRST_REFUSAL = 10
#: What is wrong with an upload, in the order of the exit status.
REFUSALS: tuple[tuple[str, str], ...] = (
    ("not-an-image", "is no PNG, JPEG or DICOM file: upload one of these."),
    ("damaged", "cannot be decoded: it is damaged, or of a kind that is not read here."),
    ("too-large", "has more pixels than this service takes: make it smaller."),
    ("colour", "is in colour: upload a grey image."),
    ("blank", "shows one grey only: upload an image."),
    ("several-frames", "holds several frames: upload a single slice."),
    ("no-pixels", "is a DICOM file without pixels: upload an image."),
    ("wrong-modality", "is of another modality than this source: choose the source that it belongs to."),
    ("not-hounsfield", "is a CT without Hounsfield units (no rescale): upload the original slice."),
)


class Refused(Exception):
    """Why an upload is not taken: a word of `REFUSALS`."""


def main(words: list[str]) -> int:
    """Decode standard input; returns the exit status."""
    flow, (size, max_pixels, seconds), curve = words[0], map(int, words[1:4]), json.loads(words[4])
    _confine(seconds)
    content = sys.stdin.buffer.read()
    try:
        square = _square(content, flow, size=size, max_pixels=max_pixels, curve=curve)
    except Refused as refused:
        return FIRST_REFUSAL + [word for word, _ in REFUSALS].index(str(refused))
    except Exception:  # whatever a decoder raises over a file
        return FIRST_REFUSAL + 1
    sys.stdout.buffer.write(square)
    return 0


def _confine(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _square(
    content: bytes, flow_name: str, *, size: int, max_pixels: int, curve: Sequence[tuple[float, float]] = ()
) -> bytes:
    from protocol.intensity import to_unit
    from protocol.study import flow_spec
    from server.service import dicom, picture
    from server.service.squaring import squared

    flow = flow_spec(flow_name, tuple(curve))
    if picture.is_one(content):
        unit = squared(picture.read(content, max_pixels=max_pixels) * 2.0 - 1.0, size=size, least=-1.0)
    elif dicom.is_one(content):
        plane = dicom.read(content, flow, max_pixels=max_pixels)
        unit = to_unit(squared(plane.values, size=size, least=plane.least, spacing=plane.spacing), flow.intensity)
    else:
        raise Refused("not-an-image")
    return unit.clip(-1.0, 1.0).astype("<f4").tobytes()


if __name__ == "__main__":
    # Loaded by name, so that `Refused` is one class whoever raises it.
    from server.service.decoding import main as decode

    sys.exit(decode(sys.argv[1:]))
