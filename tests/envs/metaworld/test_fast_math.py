"""Meta-World's small functions, faster, against the originals: the same bits, the same types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from metaworld.utils import reward_utils
from scipy.spatial.transform import Rotation

from clrl.envs.metaworld import fast_math


def test_quaternions_are_scipys() -> None:
    generator = np.random.default_rng(0)
    for k in range(2_000):
        q = generator.normal(size=4) if k % 2 else generator.integers(-1, 2, 4).astype(float)
        if k % 5 == 0:  # nearly upright, where MuJoCo's objects lie
            q = np.array([0, 0, 0, 1.0]) + q * 10.0 ** generator.integers(-18, 0)
        if not q.any():
            continue
        matrix = Rotation.from_quat(q).as_matrix()
        ours = fast_math.FastRotation.from_matrix(matrix).as_quat()
        assert ours.tobytes() == Rotation.from_matrix(matrix).as_quat().tobytes()


def test_a_matrix_that_is_no_rotation_is_left_to_scipy() -> None:
    with pytest.raises(ValueError, match="determinant"):
        fast_math.FastRotation.from_matrix(np.zeros((3, 3)))


@pytest.mark.parametrize("sigmoid", ["long_tail", "gaussian", "cosine"])
def test_tolerances_are_meta_worlds_in_value_and_type(sigmoid: Any) -> None:
    generator = np.random.default_rng(0)
    for k in range(2_000):
        x = generator.uniform(-1, 2) if k % 3 else np.float64(generator.uniform(0, 0.1))
        margin = generator.uniform(0, 2) if k % 7 else 0.0
        arguments = (x, (0, 0.05), margin, sigmoid)
        ours, theirs = fast_math.tolerance(*arguments), reward_utils.tolerance(*arguments)
        assert ours == theirs and type(ours) is type(theirs)
    with pytest.raises(ValueError, match="margin"):
        fast_math.tolerance(0.1, (0, 0.05), -1.0, sigmoid)


def test_hamacher_products_and_norms_are_the_originals_in_value_and_type() -> None:
    generator = np.random.default_rng(0)
    for _ in range(500):
        a, b = generator.uniform(size=2)
        for pair in ((a, b), (float(a), np.float32(b)), (0.0, 0.0), (1.0, b)):
            ours, theirs = fast_math.hamacher_product(*pair), reward_utils.hamacher_product(*pair)
            assert ours == theirs and type(ours) is type(theirs)
        vector = generator.normal(size=3)
        assert fast_math.norm(vector) == np.linalg.norm(vector)
        assert type(fast_math.norm(vector)) is np.float64
    matrix = generator.normal(size=(3, 3))
    assert fast_math.norm(matrix, axis=1).tolist() == np.linalg.norm(matrix, axis=1).tolist()
    assert fast_math.hstack((matrix, matrix)).shape == (3, 6)
    with pytest.raises(ValueError, match="from 0 to 1"):
        fast_math.hamacher_product(1.5, 0.5)
