"""Pictures of a report as data URIs, so that the page needs no file beside it: image grids and three charts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

#: Colour-blind safe (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def strip_uri(images: npt.NDArray[np.floating], *, columns: int = 8, scale: int = 2) -> str:
    """One row of unit images (n, s, s) as a PNG data URI, enlarged without smoothing."""
    shown = np.asarray(images, dtype=np.float32).reshape(-1, *np.shape(images)[-2:])[:columns]
    grey = np.clip((shown + 1.0) * 127.5, 0, 255).astype(np.uint8)  # (n, s, s)
    gap = np.full((grey.shape[1], 2), 255, dtype=np.uint8)
    row = np.hstack([part for image in grey for part in (image, gap)][:-1])
    return _png_uri(Image.fromarray(row.repeat(scale, axis=0).repeat(scale, axis=1)))


def quality_by_round(curves: Mapping[str, Sequence[tuple[int, float]]], stages: Sequence[tuple[str, int]]) -> str:
    """Fréchet distance per flow against rounds done; `stages` are (name, last round) and drawn as lines."""
    figure, axes = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
    for colour, (flow, points) in zip(COLOURS * 3, curves.items(), strict=False):
        axes.plot(*zip(*points, strict=True), marker="o", label=flow, color=colour)
    for name, last in stages:
        axes.axvline(last, color="#999999", linewidth=0.8, linestyle=":")
        axes.annotate(name, (last, 1.0), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=8)
    axes.set_xlabel("rounds done")
    axes.set_ylabel("Fréchet distance (lower is better)")
    axes.set_yscale("log")
    if curves:
        axes.legend(fontsize=8)
    return _figure_uri(figure)


def epsilon_by_site(spent: Mapping[str, float | None], caps: Mapping[str, float]) -> str:
    """A bar per private site, with its cap as a line; sites without privacy are left out and named in the text."""
    private = {name: value for name, value in spent.items() if value is not None}
    figure, axes = plt.subplots(figsize=(7.2, 0.5 * len(private) + 1.0), layout="constrained")
    axes.barh(list(private), list(private.values()), color=COLOURS[0])
    for row, name in enumerate(private):
        axes.plot([caps[name]] * 2, [row - 0.45, row + 0.45], color=COLOURS[1], linewidth=2)
    axes.set_xlabel("ε spent (bar) and the site's cap (line)")
    axes.invert_yaxis()
    return _figure_uri(figure)


def bytes_by_site(up: Mapping[str, int], down: Mapping[str, int]) -> str:
    """What each site sent and received, in megabytes."""
    figure, axes = plt.subplots(figsize=(7.2, 0.6 * len(up) + 1.0), layout="constrained")
    rows = np.arange(len(up))
    axes.barh(rows - 0.2, [value / 1e6 for value in up.values()], 0.38, color=COLOURS[2], label="sent (noised updates)")
    axes.barh(rows + 0.2, [value / 1e6 for value in down.values()], 0.38, color=COLOURS[5], label="received")
    axes.set_yticks(rows, list(up))
    axes.set_xlabel("megabytes")
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    return _figure_uri(figure)


def _figure_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    return _uri(buffer)


def _png_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return _uri(buffer)


def _uri(buffer: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
