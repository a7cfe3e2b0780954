"""How fast the server checks and folds replies, against a naive sum in torch. Prints GB/s of fp32-equivalent.

    OMP_NUM_THREADS=1 python benchmarks/server_fold.py [REPLIES] [MEGABYTES]

One encoded reply (8 bits a number) of MEGABYTES (100) is checked and folded REPLIES (100) times as the
ServerApp does it; the naive way decodes each tensor, asks torch whether it is finite, and adds it up. In turns of ten,
medians; the first and the last tenth of the turns tell whether time grows with the number of replies.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from server_memory import MEGABYTE, shapes_of

from protocol.codec import EncodedGroup, encode_update
from server.aggregation import GroupMean, check_update

GROUP = "diffusion/ct"


def main(replies: int, megabytes: int) -> None:
    """Time both and print them."""
    shapes = shapes_of(megabytes * MEGABYTE, GROUP)
    random = np.random.default_rng(0)
    encoded = encode_update({name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()})
    reply = {GROUP: EncodedGroup(encoded, max_bytes=1 << 40)}
    size = 4e-9 * sum(int(np.prod(shape)) for shape in shapes.values())
    mean = GroupMean()

    def ours() -> None:
        assert check_update(reply, asked=[GROUP], shapes={GROUP: shapes}, max_norm=1e9) is None
        mean.fold(reply, aggregation_weight=1.0)

    naive = _naive(reply[GROUP])
    found: dict[str, list[float]] = {"ours": [], "naive torch": []}
    for _ in range(max(1, replies // 10)):
        for name, way in (("ours", ours), ("naive torch", naive)):
            found[name].append(_seconds(way, 10 if name == "ours" else 3))
    for name, seconds in found.items():
        first, last = seconds[0], seconds[-1]
        print(
            f"{name:12} {size / statistics.median(seconds):5.2f} GB/s  "
            f"({statistics.median(seconds) * 1e3:.0f} ms a reply; first {first * 1e3:.0f}, last {last * 1e3:.0f})"
        )


def _naive(group: EncodedGroup) -> Callable[[], None]:
    import torch

    sums: dict[str, torch.Tensor] = {}

    def fold() -> None:
        arrays = {name: torch.from_numpy(group[name]) for name in group}
        norm = sum(float(array.double().square().sum()) for array in arrays.values())
        assert norm < float("inf") and all(bool(torch.isfinite(array).all()) for array in arrays.values())
        for name, array in arrays.items():
            sums[name] = sums[name] + 1.0 * array if name in sums else array

    return fold


def _seconds(call: Callable[[], None], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [100, 100][len(given) :]))
