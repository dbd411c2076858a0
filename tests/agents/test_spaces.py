"""How observations are read and actions written."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box

from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from clrl.agents.spaces import TaskSpaces, task_dtype
from tests.agents.telling import TellingWorld
from tests.agents.tiny import PPO_SETTINGS, SETTINGS


def test_spaces_count_what_is_revealed() -> None:
    world = TellingWorld()
    obs, action = world.observation_space, world.action_space
    counted = {
        (reveals, turns): TaskSpaces(obs, action, 2, reveals, turns)
        for reveals in ("task", "boundaries", "nothing")
        for turns in (False, True)
    }
    found = {key: (s.n_ids, s.one_hot_dim, s.n_told) for key, s in counted.items()}
    assert found == {
        ("task", False): (2, 2, 2), ("boundaries", False): (1, 0, 2),
        ("nothing", False): (1, 0, 1), ("task", True): (2, 2, 1),
        ("boundaries", True): (1, 0, 1), ("nothing", True): (1, 0, 1),
    }  # fmt: skip
    with pytest.raises(ValueError, match="reveals is 'all'; allowed are 'task', 'boundaries'"):
        TaskSpaces(obs, action, 2, "all")  # type: ignore[arg-type]


class Shaped(gym.Env):
    def __init__(self, obs: tuple[int, ...], action: tuple[int, ...]):
        self.observation_space = Box(-1.0, 1.0, obs, np.float32)
        self.action_space = Box(-1.0, 1.0, action, np.float32)


@pytest.mark.parametrize("kind, settings", [(ContinualSAC, SETTINGS), (ContinualPPO, PPO_SETTINGS)])
def test_boxes_of_more_than_one_axis_are_refused(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"action_space is Box\(.*\(2, 2\).*needed is a Box of one"
    ):
        kind(Shaped((3,), (2, 2)), **settings)
    with pytest.raises(ValueError, match=r"observation_space is Box.*needed is a Box of one axis"):
        kind(Shaped((3, 2), (2,)), **settings)


@pytest.mark.parametrize("n, bytes_", [(1, 1), (256, 1), (257, 2), (32_768, 2)])
def test_a_task_id_takes_as_few_bytes_as_it_can(n: int, bytes_: int) -> None:
    dtype = task_dtype(n)
    assert dtype.itemsize == bytes_ and np.iinfo(dtype).max >= n - 1


@pytest.mark.parametrize("n", [0, 32_769])
def test_too_many_tasks_are_refused_at_construction(n: int) -> None:
    with pytest.raises(ValueError, match=f"n_tasks is {n}; allowed are 1 to 32768 tasks"):
        task_dtype(n)


def spaces_of(n_tasks: int = 3) -> TaskSpaces:
    """Return spaces of two features, a one-hot, and actions of different bounds."""
    low, high = np.array([-2.0, 0.0], np.float32), np.array([1.0, 10.0], np.float32)
    return TaskSpaces(Box(-np.inf, np.inf, (2 + n_tasks,)), Box(low, high), n_tasks)


def test_actions_from_minus_one_to_one_reach_from_bound_to_bound() -> None:
    to_env = spaces_of().to_env
    for action, expected in ((-1, [-2, 0]), (0, [-0.5, 5]), (1, [1, 10])):
        found = to_env(np.full((4, 2), action, np.float32))
        assert found.dtype == np.float32 and found.tolist() == [expected] * 4


def test_an_observation_is_read_as_features_and_a_task() -> None:
    obs = np.zeros((2, 4, 5))
    obs[..., :2], obs[..., 2 + 1] = 7.0, 1.0
    spaces = spaces_of()
    features = spaces.features(obs)
    assert features.shape == (2, 4, 2) and features.dtype == np.float32 and (features == 7).all()
    assert spaces.tasks(obs) == 1  # one number where all are in one task
    obs[1, 3, 2:] = [0, 0, 1]
    assert np.array_equal(spaces.tasks(obs), [[1, 1, 1, 1], [1, 1, 1, 2]])
    assert TaskSpaces(spaces.observation, spaces.action).tasks(obs) == 0


def test_an_observation_that_is_all_one_hot_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 numbers; needed are more than 3, the length"):
        TaskSpaces(Box(0, 1, (3,)), Box(-1, 1, (1,)), 3)
