"""What Meta-World's rewards spend their time in, faster and with the same bits.

Each function stands in for one of NumPy's, SciPy's or Meta-World's own and returns the same type
as well as the same bits: a NumPy float meeting the float32 action keeps 64 bits, a Python float
does not.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from metaworld.utils import reward_utils
from scipy.spatial.transform import Rotation

_FLOAT64 = np.dtype(np.float64)
# The constant factors of `reward_utils._sigmoids` for value_at_margin=0.1, by its expressions.
_SCALES = {
    "long_tail": float(np.sqrt(1 / 0.1 - 1)),
    "gaussian": float(np.sqrt(-2 * np.log(0.1))),
}


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Compute `np.linalg.norm`: the root of the scalar product for a float64 vector."""
    if ord is None and axis is None and type(x) is np.ndarray and x.dtype is _FLOAT64:
        if x.ndim == 1 and not keepdims:
            return np.float64(math.sqrt(x.dot(x)))
    return np.linalg.norm(x, ord, axis, keepdims)


def hstack(arrays: Any, **settings: Any) -> np.ndarray:
    """Compute `np.hstack`: a plain concatenation for vectors."""
    if not settings and all(type(a) is np.ndarray and a.ndim == 1 for a in arrays):
        return np.concatenate(arrays)
    return np.hstack(arrays, **settings)


def tolerance(
    x: Any,
    bounds: tuple[float, float] = (0.0, 0.0),
    margin: Any = 0.0,
    sigmoid: str = "gaussian",
    value_at_margin: float = 0.1,
) -> Any:
    """Compute `metaworld.utils.reward_utils.tolerance` for one number, without arrays."""
    lower, upper = bounds
    scale = _SCALES.get(sigmoid)
    plain = (type(x) is float or type(x) is np.float64) and lower <= upper and margin > 0
    if not plain or scale is None or value_at_margin != 0.1:
        return reward_utils.tolerance(x, bounds, margin, sigmoid, value_at_margin)  # type: ignore
    if lower <= x <= upper:
        return 1.0
    scaled = float(lower - x if x < lower else x - upper) / float(margin) * scale
    # C's pow in NumPy's scalars as in Python's; a product would round differently.
    if sigmoid == "long_tail":
        return 1 / (scaled**2 + 1)
    return float(np.exp(-0.5 * scaled**2))


def hamacher_product(a: Any, b: Any) -> Any:
    """Compute `metaworld.utils.reward_utils.hamacher_product`."""
    if not (0.0 <= a <= 1.0 and 0.0 <= b <= 1.0):
        raise ValueError(f"a and b must be from 0 to 1, got {a} and {b}")
    product = a * b
    denominator = a + b - product
    return product / denominator if denominator > 0 else 0


class FastRotation:
    """The one use Meta-World makes of SciPy's Rotation: a matrix's quaternion (x, y, z, w)."""

    def __init__(self, quaternion: np.ndarray) -> None:
        self._quaternion = quaternion

    def as_quat(self) -> np.ndarray:
        """Return the quaternion `[4]`."""
        return self._quaternion

    @staticmethod
    def from_matrix(matrix: np.ndarray) -> FastRotation:
        """Compute SciPy's `Rotation.from_matrix` for one matrix `[3, 3]` (Markley 2008)."""
        (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
        # SciPy makes matrices orthogonal that are not so to 1e-12; MuJoCo's are. Its own test is
        # on every product of two rows; three numbers near 1 and 0 tell a matrix of NaN or zeros.
        if not abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) - 1) < 1e-9:
            return FastRotation(Rotation.from_matrix(matrix).as_quat())
        trace = a + e + i
        largest = max(a, e, i, trace)
        if largest == a:
            q = (1 - trace + 2 * a, d + b, g + c, h - f)
        elif largest == e:
            q = (b + d, 1 - trace + 2 * e, h + f, c - g)
        elif largest == i:
            q = (c + g, f + h, 1 - trace + 2 * i, d - b)
        else:
            q = (h - f, c - g, d - b, 1 + trace)
        x, y, z, w = q
        length = math.sqrt(x * x + y * y + z * z + w * w)
        return FastRotation(np.array((x / length, y / length, z / length, w / length)))


FAST_NAMES: dict[str, Any] = {
    "np": SimpleNamespace(
        **{
            **vars(np),
            "hstack": hstack,
            "linalg": SimpleNamespace(**{**vars(np.linalg), "norm": norm}),
        }
    ),
    "reward_utils": SimpleNamespace(
        **{**vars(reward_utils), "tolerance": tolerance, "hamacher_product": hamacher_product}
    ),
    "Rotation": FastRotation,
}
"""The global names of Meta-World's task modules that are replaced."""
