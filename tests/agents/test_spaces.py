"""How observations are read and actions written."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
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


def test_tasks_are_read_anew_whatever_was_read_before() -> None:
    spaces = spaces_of()
    first, second = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
    first[:, 2], second[:, 4] = 1, 1
    both = np.stack([first[0], second[0]])
    wrong = first.copy()
    wrong[1, 4] = 1
    for _ in range(2):
        assert spaces.tasks(first) == 0 and spaces.tasks(first.astype(np.float64)) == 0
        assert spaces.tasks(second[0]) == 2 and spaces.tasks(second) == 2
        assert spaces.tasks(both).tolist() == [0, 2]  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="must end in the one-hot"):
            spaces.tasks(wrong)


def test_an_observation_that_is_all_one_hot_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 numbers; needed are more than 3, the length"):
        TaskSpaces(Box(0, 1, (3,)), Box(-1, 1, (1,)), 3)


FLOATS = (np.float16, np.float32, np.float64)
BOUNDS: dict[str, tuple[Any, Any]] = {
    "small": (-0.1, 0.1),
    "asymmetric": (-2.0, 1.0),
    "thin": (0.3, 0.3005),
    "no width": (0.7, 0.7),
    "each its own": ([-1.0, 0.0, -0.3], [0.7, 1e-3, 10.0]),
    "wide": (-6e4, 6e4),
}


def bounded(bounds: str, dtype: Any) -> Box:
    low, high = (np.full(3, bound) * np.ones(3) for bound in map(np.array, BOUNDS[bounds]))
    return Box(low.astype(dtype), high.astype(dtype), dtype=dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_every_action_lies_in_the_space_in_its_own_type(bounds: str, dtype: Any) -> None:
    box, rng = bounded(bounds, dtype), np.random.default_rng(0)
    spaces = TaskSpaces(Box(-1, 1, (2,)), box)
    corners = np.array([[1, -1, 1], [-1, 1, -1]], np.float32)
    squashed = np.concatenate([corners, rng.uniform(-1, 1, (2000, 3)).astype(np.float32)])
    drawn = np.concatenate([squashed, np.float32(1e30) * corners])
    for actions in (spaces.to_env(squashed), spaces.clip(drawn)):
        assert actions.dtype == dtype and all(map(box.contains, actions))
    assert spaces.to_env(corners).tolist() == [
        [box.high[0], box.low[1], box.high[2]], [box.low[0], box.high[1], box.low[2]]
    ]  # fmt: skip


@pytest.mark.parametrize("bounds", BOUNDS)
def test_actions_of_float32_are_what_they_always_were(bounds: str) -> None:
    box = bounded(bounds, np.float32)
    actions = np.random.default_rng(1).uniform(-1, 1, (2000, 3)).astype(np.float32)
    before = box.low + (actions + 1.0) * 0.5 * (box.high - box.low)
    found = TaskSpaces(Box(-1, 1, (2,)), box).to_env(actions)
    assert found.tobytes() == np.clip(before, box.low, box.high).tobytes()


def test_actions_are_a_copy_whatever_is_done_to_them() -> None:
    spaces, actions = spaces_of(), np.zeros((4, 2), np.float32)
    for write in (spaces.to_env, spaces.clip, spaces.unclipped):
        write(actions)[:] = 9.0
    assert not actions.any()


class Strict(gym.Env):
    """Refuses actions that its space does not contain, and changes those that it gets."""

    observation_space = Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, action_space: Box, strict: bool = True) -> None:
        self.action_space, self.strict = action_space, strict

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> Any:
        assert not self.strict or self.action_space.contains(action)
        reward = float(action.sum())
        action *= 0.5
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), reward, False, False, {}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bounds", ["small", "thin", "each its own"])
@pytest.mark.parametrize("kind, settings", [(ContinualSAC, SETTINGS), (ContinualPPO, PPO_SETTINGS)])
def test_agents_send_only_actions_of_the_space(
    kind: Any, settings: dict[str, Any], bounds: str, dtype: Any
) -> None:
    box = bounded(bounds, dtype)
    agent = kind(Strict(box), **settings).learn(40)
    agent.flats[agent.protected_part].flat.mul_(30.0)  # until tanh is 1, and the noise too large
    agent.learn(3)
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    actions, _ = agent.predict(obs)
    assert actions.dtype == dtype and all(map(box.contains, actions))
    assert box.contains(agent.predict(obs[0], deterministic=True)[0])


def test_what_ppo_stores_is_what_it_drew_whatever_a_world_does_to_it() -> None:
    stored = []
    for box in (bounded("small", np.float32), bounded("wide", np.float32)):
        agent = ContinualPPO(Strict(box, False), **PPO_SETTINGS, clip_actions=False).learn(8)
        stored.append(agent.rollout.arrays["action"][:, :8].copy())
    assert np.array_equal(stored[0], stored[1]) and np.abs(stored[0]).max() > 0.5


FINE = Box(-1.0, 1.0, (3,), np.float32)
NO_BOXES: dict[str, gym.Space] = {
    "discrete": gym.spaces.Discrete(4),
    "multidiscrete": gym.spaces.MultiDiscrete([2, 3]),
    "multibinary": gym.spaces.MultiBinary(3),
    "dict": gym.spaces.Dict({"a": FINE}),
    "tuple": gym.spaces.Tuple([FINE]),
    "image": Box(0, 255, (64, 64, 3), np.uint8),
    "axes": Box(-1.0, 1.0, (1, 3), np.float32),
    "no axis": Box(-1.0, 1.0, (), np.float32),
    "empty": Box(-1.0, 1.0, (0,), np.float32),
    "whole numbers": Box(-2, 2, (3,), np.int64),
    "bytes": Box(0, 255, (3,), np.uint8),
}
UNBOUNDED: dict[str, gym.Space] = {
    "infinite": Box(-np.inf, np.inf, (2,), np.float32),
    "half": Box(np.array([-1, 0], np.float32), np.array([1, np.inf], np.float32)),
    "huge": Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,), np.float32),
    "beyond float32": Box(-1e39, 1e39, (2,), np.float64),
}


class Spaced(gym.Env):
    def __init__(self, observation: gym.Space, action: gym.Space) -> None:
        self.observation_space, self.action_space = observation, action


@pytest.mark.parametrize("kind", [ContinualSAC, ContinualPPO])
@pytest.mark.parametrize("name", NO_BOXES)
def test_spaces_that_are_no_vectors_of_numbers_are_refused(kind: Any, name: str) -> None:
    supported = "supported is a Box of one axis of floating-point numbers"
    with pytest.raises(ValueError, match=f"action_space is .*{supported}"):
        kind(Spaced(FINE, NO_BOXES[name]))
    with pytest.raises(ValueError, match=f"observation_space is .*{supported}"):
        kind(Spaced(NO_BOXES[name], FINE))


@pytest.mark.parametrize("kind", [ContinualSAC, ContinualPPO])
@pytest.mark.parametrize("name", UNBOUNDED)
def test_actions_without_finite_bounds_are_refused(kind: Any, name: str) -> None:
    with pytest.raises(ValueError, match="action_space is .*finite in float32"):
        kind(Spaced(FINE, UNBOUNDED[name]))
    assert kind(Spaced(UNBOUNDED[name], FINE)).n_tasks == 1  # observations may be unbounded


@pytest.mark.parametrize("n", [True, 2.0, "2", None, np.array([2, 2]), np.bool_(True)])
def test_a_number_of_tasks_that_is_none_is_refused(n: Any) -> None:
    with pytest.raises(ValueError, match="n_tasks is .*it must be a whole number"):
        task_dtype(n)


@pytest.mark.parametrize(
    "hot", [[0, 0, 0], [1, 1, 0], [0, 0.5, 0], [0, 2, 0], [1, 0, 1e-3], [0, 1, np.nan], [-1, 1, 1]]
)
def test_what_is_no_one_hot_is_refused(hot: list[float]) -> None:
    obs = np.zeros((2, 4, 5))
    obs[..., 3] = 1.0
    spaces = spaces_of()
    assert spaces.tasks(obs) == 1
    obs[1, 2, 2:] = hot
    with pytest.raises(ValueError, match="n_tasks of the environment is 3, so an observation must"):
        spaces.tasks(obs)


@pytest.mark.parametrize("shape", [(), (4,), (6,), (2, 4), (2, 6), (1, 2, 5), (5, 1)])
def test_observations_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"Unexpected observation shape .*needed is \(5,\) for one"
    ):
        spaces_of().check_observation(np.zeros(shape))


def test_observations_may_be_lists_but_no_dicts_nor_what_a_reset_returns() -> None:
    spaces = spaces_of()
    assert spaces.check_observation([0.0] * 5).shape == (5,)
    assert spaces.check_observation([[0.0] * 5] * 3).shape == (3, 5)
    wrong: Any
    for wrong in ({"a": np.zeros(5)}, (np.zeros(5), {})):
        with pytest.raises(ValueError, match="observation is a (dict|tuple); needed is an array"):
            spaces.check_observation(wrong)


@pytest.mark.parametrize(
    "obs",
    [np.zeros((0, 5)), np.array(["a"] * 5), np.zeros(5, complex), [[1.0, 2.0], [3.0]],
     torch.zeros(5, requires_grad=True)],
    ids=["none", "words", "complex", "ragged", "gradients"],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused(obs: Any) -> None:
    with pytest.raises(ValueError, match="(Unexpected o|o)bservation"):
        spaces_of().check_observation(obs)
