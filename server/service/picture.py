"""PNG and JPEG: grey along the flow's tone curve, black to white, as generated pictures are written.

A CT picture that somebody's display window made is not that: for CT upload DICOM, which holds Hounsfield units.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from server.service.decoding import Refused
from server.service.squaring import Plane

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_GREY_TOLERANCE = 8  # lossy colour codecs do not keep three equal planes exactly equal


def is_one(content: bytes) -> bool:
    """By its first bytes; a file's name is never asked for."""
    return content.startswith(_SIGNATURES)


def read(content: bytes, *, max_pixels: int) -> Plane:
    """(rows, columns) in 0..1. Raises Refused before a pixel of too large a picture is decoded."""
    Image.MAX_IMAGE_PIXELS = None  # our own limit stands in its place, and is an error, not a warning
    with Image.open(BytesIO(content), formats=("PNG", "JPEG")) as opened:
        if opened.width * opened.height > max_pixels:
            raise Refused("too-large")
        opened.load()
        grey = _grey(opened)
    if float(grey.max()) <= float(grey.min()):
        raise Refused("blank")
    return grey


def _grey(opened: Image.Image) -> Plane:
    if opened.mode in ("1", "L", "LA"):
        return np.asarray(opened.convert("L"), dtype=np.float32) / np.float32(255.0)
    if opened.mode.startswith("I"):
        return np.asarray(opened, dtype=np.float32) / np.float32(65535.0)
    colours = np.asarray(opened.convert("RGB"), dtype=np.int16)
    if int((colours.max(-1) - colours.min(-1)).max()) > _GREY_TOLERANCE:
        raise Refused("colour")
    return (colours.mean(-1) / 255.0).astype(np.float32)
