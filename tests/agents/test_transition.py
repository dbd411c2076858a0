"""What every seed saw, did and got in a step, as it is stored."""

from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from stable_baselines3.common.vec_env import DummyVecEnv

from clrl.agents.learner import NonFinite
from clrl.agents.spaces import TaskSpaces
from clrl.agents.transition import Transition


class Scripted(gym.Env):
    """Shows the number of the step; the episode ends as the script says of it."""

    observation_space, action_space = Box(-np.inf, np.inf, (1,)), Box(-1, 1, (1,))

    def __init__(self, ends: dict[int, str]):
        self.ends, self.steps = ends, 0

    def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**arguments)
        return np.array([-100.0]), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        end = self.ends.get(self.steps, "")
        info = {"sim_warning": end == "blew up"}
        return np.array([self.steps]), 2.0, end == "over", end in ("time", "blew up"), info


def transitions(*scripts: dict[int, str], steps: int = 3) -> list[Transition]:
    """Return what each seed got in some steps of its script."""
    env = DummyVecEnv([partial(Scripted, script) for script in scripts])
    spaces, features = TaskSpaces(env.observation_space, env.action_space), env.reset()
    found, action = [], np.zeros((len(scripts), 1))
    for _ in range(steps):
        result = env.step(action)
        found.append(Transition.of(spaces, np.array(features), action, result))
        features = result[0]
    return found


def test_an_episode_ends_with_its_own_last_observation_and_a_time_limit_is_no_end() -> None:
    first, second, third = transitions({}, {2: "over"}, {2: "time"})
    assert not first.over.any() and not first.ended.any()
    assert second.over.tolist() == [False, True, True]
    assert second.ended.tolist() == [False, True, False]
    assert second.next_features.tolist() == [[2], [2], [2]]  # not what the next episode starts with
    assert third.features.tolist() == [[2], [-100], [-100]]
    assert third.next_features.tolist() == [[3]] * 3 and not third.over.any()


def test_a_step_in_which_the_simulation_blew_up_is_not_kept() -> None:
    kept = [transition.keep for transition in transitions({}, {2: "blew up"})]
    assert kept == [[True, True], [True, False], [True, True]]


@pytest.mark.parametrize("name, field", [("observation", "next_features"), ("reward", "rewards")])
def test_what_is_not_finite_is_named_with_seed_and_task_unless_it_is_left_out(
    name: str, field: str
) -> None:
    (transition,) = transitions({}, {}, steps=1)
    transition.check_finite((4, 9), 0)
    values = getattr(transition, field).copy()
    values[1] = np.nan
    bad = replace(transition, **{field: values})
    with pytest.raises(NonFinite, match=f"{name} of seed 9 is not finite in task 2"):
        bad.check_finite((4, 9), np.array([0, 2]))
    replace(bad, keep=[True, False]).check_finite((4, 9), 2)
