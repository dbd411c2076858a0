"""Draws from the generators that a process shares are seen, and can be taken back."""

# ruff: noqa: NPY002 - this is about them

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from clrl.envs.contract.shared import drawn_since, shared_generators_kept, shared_states


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (np.random.rand, "NumPy's"), (np.random.randn, "NumPy's"), (random.random, "Python's"),
        (lambda: np.random.seed(0), "NumPy's"), (lambda: torch.rand(1), "torch's"),
        (lambda: random.seed(1), "Python's"),
    ],
)  # fmt: skip
def test_a_draw_changes_its_state_and_no_other(draw: Callable[[], Any], name: str) -> None:
    with shared_generators_kept():
        before = shared_states()
        assert shared_states() == before
        draw()
        after = shared_states()
        assert f"draws from {name} global generator, which" in str(drawn_since(before))
    assert drawn_since(before) is None
    changed = [key for key in before if before[key] != after[key]]
    assert changed == [f"{name} global generator"]
    assert shared_states() == before
