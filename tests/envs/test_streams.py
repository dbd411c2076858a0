"""The toy stream: reproducible, learnable, two classes."""

import numpy as np
import pytest

from clrl.envs.streams import ToyStream


def test_a_task_depends_on_its_seed_and_place_only() -> None:
    few, many = ToyStream(n_tasks=2), ToyStream(n_tasks=5, reveals="nothing")
    for mine, other in zip(few.task(3, 1), many.task(3, 1), strict=True):
        assert np.array_equal(mine, other)
    assert not np.array_equal(few.task(3, 1)[0], few.task(3, 0)[0])
    assert not np.array_equal(few.task(3, 1)[0], few.task(4, 1)[0])


def test_both_classes_occur() -> None:
    inputs, labels = ToyStream(dim=4, examples=100).task(0, 0)
    assert inputs.shape == (200, 4) and inputs.dtype == np.float32
    assert set(labels.tolist()) == set(range(ToyStream.classes)) == {0, 1}
    assert 0.1 < labels.mean() < 0.9


@pytest.mark.parametrize("field", ["n_tasks", "dim", "examples"])
def test_sizes_below_one_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 0; it must be at least 1"):
        ToyStream(**{field: 0})  # type: ignore[arg-type]
