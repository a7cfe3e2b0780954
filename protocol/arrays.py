"""The two shapes in which parameters travel and are kept: a group's arrays by qualified name, and groups by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
GroupArrays = Mapping[str, Array]
"""Qualified parameter name (`alignment.xray.head.weight`) to float32 array."""
Groups = Mapping[str, GroupArrays]
"""Group name (`alignment/xray`) to its arrays."""
Shapes = Mapping[str, tuple[int, ...]]
"""Qualified parameter name to shape."""
