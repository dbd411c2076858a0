"""Meta-World's scripted experts: an oracle for success that is not ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from clrl.envs.metaworld import MetaWorld
from clrl.envs.metaworld.tasks import CW10

# Successes in 30 episodes of 200 steps, any step, from seed 0.
OF_30 = dict(zip(CW10, (30, 30, 30, 19, 27, 30, 30, 29, 30, 30), strict=True))
OF_5 = dict(zip(CW10, (5, 5, 5, 4, 4, 5, 5, 5, 5, 5), strict=True))
Policy = Callable[[np.ndarray], np.ndarray]


def successes(task_name: str, expert: Policy, episodes: int) -> int:
    env = MetaWorld(task_name)
    env.reset(seed=0)
    count = 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=None if episode else 0)
        succeeded = truncated = False
        while not succeeded and not truncated:  # one step is enough for an episode
            observation, _, _, truncated, info = env.step(expert(observation))
            succeeded = info["success"] > 0
        count += succeeded
    return count


@pytest.mark.parametrize("task_name", CW10)
def test_experts_succeed(task_name: str, make_expert: Callable[[str], Policy]) -> None:
    assert successes(task_name, make_expert(task_name), 5) >= OF_5[task_name]


@pytest.mark.slow
@pytest.mark.parametrize("task_name", CW10)
def test_experts_succeed_as_often_as_known(
    task_name: str, make_expert: Callable[[str], Policy]
) -> None:
    assert successes(task_name, make_expert(task_name), 30) == OF_30[task_name]
