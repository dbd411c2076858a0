"""What every task of a sequence gets: float32, a one-hot, a record of its episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from clrl.envs.sequence import TaskSequence
from tests.envs.walk import Walk, action, walks


def test_an_episode_reports_any_step_and_last_step_success() -> None:
    env = walks(1, 100, length=4)
    for actions, any_step, last_step in (
        ([-1, 1, -1, -0.5], True, 0.0),
        ([-1, -1, -1, 1], True, 1.0),
        ([-1, -1, -1, -1], False, 0.0),
    ):
        env.reset()
        infos = [env.step(action(value))[4] for value in actions]
        assert [info["success"] for info in infos] == [float(value > 0) for value in actions]
        assert all("is_success" not in info for info in infos[:-1])
        assert infos[-1]["is_success"] is any_step
        assert infos[-1]["success_last"] == last_step
        assert infos[-1]["episode"] == {"r": sum(actions), "l": 4}


def test_one_task_alone_looks_as_in_the_sequence() -> None:
    env = walks(3, 7)
    env.reset(seed=0)
    before = env.state()
    alone = env.make_task(2)
    assert alone.observation_space == env.observation_space
    observation, info = alone.reset(seed=3)
    assert observation.dtype == np.float32 and observation[2:].tolist() == [0, 0, 1]
    assert info["task"] == 2
    for _ in range(5):
        _, _, _, truncated, info = alone.step(action())
    assert truncated and info["is_success"] and info["episode"]["l"] == 5
    assert env.state() == before
    with pytest.raises(ValueError, match="task must be from 0 to 2, got 3"):
        env.make_task(3)


def test_spaces_that_are_not_boxes_are_refused() -> None:
    env = Walk()
    env.action_space = Discrete(2)
    with pytest.raises(
        ValueError, match="action_space is Discrete.2.; supported are Boxes of one axis"
    ):
        TaskSequence([lambda: env], 3)


def test_a_world_that_reports_no_success_has_none() -> None:
    class Silent(Walk):
        def step(self, action: np.ndarray) -> Any:
            return (*super().step(action)[:4], {})

    env = TaskSequence([Silent], 5)
    env.reset(seed=0)
    for _ in range(5):
        info = env.step(action())[4]
    assert info["episode"] == {"r": 2.5, "l": 5}
    assert not {"success", "is_success", "success_last"} & info.keys()
