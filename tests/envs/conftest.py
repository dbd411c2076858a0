from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metaworld.policies import ENV_POLICY_MAP

Policy = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def make_expert() -> Callable[[str], Policy]:
    """Makes Meta-World's scripted expert of a task, its actions float32 within [-1, 1]."""

    def make(task_name: str) -> Policy:
        policy_class: Any = ENV_POLICY_MAP[task_name]
        policy = policy_class()

        def act(observation: np.ndarray) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "Constant(s) may be too high"
                return np.clip(policy.get_action(observation), -1, 1).astype(np.float32)

        return act

    return make
