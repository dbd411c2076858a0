"""TaskSequence on a tiny world, whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from clrl.envs.sequence import TaskSequence, task_seed

# Unbounded observations, as Meta-World's objects have.
pytestmark = pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is")


class Walk(gym.Env):
    """A point moved by the action and by noise; the episode ends after `length` steps.

    A step succeeds when the action is positive, and its reward is the action.
    """

    def __init__(self, length: int = 5, terminates: bool = False, size: int = 2) -> None:
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = Box(-1, 1, (1,), np.float32)
        self.length, self.terminates, self.size = length, terminates, size

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self.point = self.np_random.normal(size=self.size)
        return self.point, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.point = self.point + action + self.np_random.normal(size=self.size)
        over = self.steps == self.length
        end = (self.terminates and over, not self.terminates and over)
        return self.point, float(action[0]), *end, {"success": float(action[0] > 0)}


def walks(n_tasks: int = 3, steps_per_task: int = 7, **settings: Any) -> TaskSequence:
    return TaskSequence([lambda: Walk(**settings)] * n_tasks, steps_per_task)


def action(value: float = 0.5) -> np.ndarray:
    return np.array([value], np.float32)


def play(env: gym.Env, steps: int, seed: int = 0) -> list[tuple[bytes, float, bool, bool]]:
    """Plays with fixed actions, resetting when an episode ends; what was seen, as bytes."""
    generator, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        act = generator.uniform(-1, 1, 1).astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(act)
        seen.append((observation.tobytes(), float(reward), terminated, truncated))
        if terminated or truncated:
            observation, _ = env.reset()
            seen.append((observation.tobytes(), 0.0, False, False))
    return seen


@settings(deadline=None, max_examples=30)
@given(n_tasks=st.integers(1, 4), steps_per_task=st.integers(1, 12), length=st.integers(1, 6))
def test_every_task_gets_exactly_its_steps(n_tasks: int, steps_per_task: int, length: int) -> None:
    env = walks(n_tasks, steps_per_task, length=length)
    env.reset(seed=0)
    for step in range(n_tasks * steps_per_task):
        assert (env.task, env.task_step) == divmod(step, steps_per_task)
        observation, _, terminated, truncated, info = env.step(action())
        assert info["task"] == step // steps_per_task
        assert observation in env.observation_space
        if n_tasks > 1:
            assert observation[2:].tolist() == np.eye(n_tasks)[info["task"]].tolist()
        assert truncated or (step + 1) % steps_per_task != 0
        if terminated or truncated:
            observation, _ = env.reset()
            next_task = min(env.n_tasks - 1, (step + 1) // steps_per_task)
            if n_tasks > 1:
                assert observation[2:].argmax() == next_task
    with pytest.raises(RuntimeError, match=f"all {n_tasks * steps_per_task} steps are used up"):
        env.step(action())


@pytest.mark.parametrize("terminates", [False, True])
def test_the_switch_truncates_in_the_middle_of_an_episode(terminates: bool) -> None:
    env = walks(2, 7, length=5, terminates=terminates)
    env.reset(seed=0)
    ends = []
    for step in range(14):
        _, _, terminated, truncated, info = env.step(action())
        if terminated or truncated:
            ends.append((step, info["episode"]["l"], truncated))
            env.reset()
    assert ends == [(4, 5, not terminates), (6, 2, True), (11, 5, not terminates), (13, 2, True)]


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


def test_a_reset_in_mid_episode_counts_no_step_and_keeps_the_task() -> None:
    env = walks(2, 7)
    env.reset(seed=0)
    env.step(action())
    env.reset()
    assert (env.task, env.task_step) == (0, 1)
    assert env.step(action())[4]["task"] == 0
    assert env.task_step == 2


def test_a_step_without_an_episode_is_refused() -> None:
    env = walks(2, 3)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(action())
        env.reset(seed=0)
        for _ in range(3):
            env.step(action())


def test_after_the_last_step_reset_still_returns_the_last_tasks_observation() -> None:
    env = walks(2, 3)
    env.reset(seed=0)
    play(env, 6)
    observation, _ = env.reset()
    assert observation[2:].tolist() == [0, 1]
    assert (env.task, env.task_step) == (1, 3)
    with pytest.raises(RuntimeError, match="sequence is over"):
        env.step(action())


@pytest.mark.parametrize("seed", [0, 1])
def test_one_seed_gives_one_trajectory_to_new_and_used_sequences(seed: int) -> None:
    new, used = walks(), walks()
    used.reset(seed=5)
    play(used, 17)
    first, again = new.reset(seed=seed)[0], used.reset(seed=seed)[0]
    assert first.tobytes() == again.tobytes()
    assert (used.task, used.task_step) == (0, 0)
    assert play(new, 21) == play(used, 21)


def test_seeds_give_different_trajectories_and_so_do_unseeded_sequences() -> None:
    firsts = [walks().reset(seed=seed)[0].tobytes() for seed in (0, 1, None, None)]
    assert len(set(firsts)) == 4


def test_each_tasks_environment_gets_a_seed_of_its_own() -> None:
    env = walks(2, 3)
    env.reset(seed=4)
    play(env, 3)
    alone = Walk()
    alone.reset(seed=task_seed(4, 1))
    assert env.state()["observation"][:2] == alone.point.astype(np.float32).tolist()
    sequence = np.random.SeedSequence(entropy=4, spawn_key=(1,))
    assert task_seed(4, 1) == sequence.generate_state(1)[0]


def check_restored(env: TaskSequence, other: TaskSequence, before: int, seed: int) -> None:
    """Check that after `before` of 21 steps a used environment can take over."""
    env.reset(seed=seed)
    play(env, before, seed)
    state = json.loads(json.dumps(env.state()))
    other.reset(seed=99)
    play(other, 11)
    assert other.restore(state).tolist() == state["observation"]
    assert other.state() == env.state()
    left = 21 - before
    assert play(env, left, 7) == play(other, left, 7)


@settings(deadline=None, max_examples=30)
@given(before=st.integers(0, 21), seed=st.integers(0, 3))
def test_a_restored_sequence_goes_on_bit_for_bit(before: int, seed: int) -> None:
    check_restored(walks(), walks(), before, seed)


def test_an_episode_that_ended_before_the_state_was_taken_is_restored_as_ended() -> None:
    env, other = walks(2, 7, length=5), walks(2, 7, length=5)
    env.reset(seed=0)
    for _ in range(5):
        env.step(action())
    other.restore(env.state())
    with pytest.raises(RuntimeError, match="call reset"):
        other.step(action())
    assert other.reset()[0].tobytes() == env.reset()[0].tobytes()


class Forgetful(Walk):
    """Keeps something from one episode to the next besides its generator."""

    episodes = 0.0

    def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super().reset(**arguments)
        self.episodes += 1
        return observation + self.episodes, info


def test_a_task_that_cannot_be_replayed_is_refused_instead_of_restored_wrongly() -> None:
    makers: list[Callable[[], gym.Env]] = [Forgetful]
    env = TaskSequence(makers, 100)
    env.reset(seed=0)
    env.reset()
    with pytest.raises(ValueError, match="task 0 .task-0. cannot be restored"):
        TaskSequence(makers, 100).restore(env.state())


def test_no_state_or_another_sequences_is_refused() -> None:
    env = walks(3, 7)
    with pytest.raises(RuntimeError, match="no state before the first reset"):
        env.state()
    env.reset(seed=0)
    play(env, 20)
    with pytest.raises(ValueError, match="task must be from 0 to 1, got 2"):
        walks(2, 7).restore(env.state())
    with pytest.raises(ValueError, match="task_step must be from 0 to 4, got 6"):
        walks(3, 4).restore(env.state())


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


def test_blown_up_simulations_are_counted_and_the_count_is_restored() -> None:
    class Fragile(Walk):
        def step(self, action: np.ndarray) -> Any:
            observation, reward, terminated, _, info = super().step(action)
            info["sim_warning"] = bool(action[0] < 0)
            return observation, reward, terminated, info["sim_warning"], info

    makers: list[Callable[[], gym.Env]] = [Fragile]
    env, other = TaskSequence(makers, 100), TaskSequence(makers, 100)
    env.reset(seed=0)
    for value in (1, -1, 1, -1, 1):
        if env.step(action(value))[3]:
            env.reset()
    assert env.sim_warnings == 2
    other.restore(env.state())
    assert other.sim_warnings == 2
    env.reset(seed=0)
    assert env.sim_warnings == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"makers": []}, "makers must hold at least one task"),
        ({"steps_per_task": 0}, "steps_per_task must be whole numbers >= 1, got 0"),
        ({"steps_per_task": 2.5}, "steps_per_task must be whole numbers >= 1, got 2.5"),
        ({"task_names": ["a"]}, "task_names must hold 2 names, got 1"),
        ({"makers": [Walk, lambda: Walk(size=3)]}, "observation_space of task 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSequence(**{"makers": [Walk, Walk], "steps_per_task": 3, **arguments})


def test_spaces_that_are_not_boxes_are_refused() -> None:
    env = Walk()
    env.action_space = Discrete(2)
    with pytest.raises(ValueError, match="action_space must be a one-dimensional Box"):
        TaskSequence([lambda: env], 3)


def test_both_checkers_pass() -> None:
    gymnasium_check_env(walks(2, 10_000), skip_render_check=True)
    sb3_check_env(walks(2, 10_000))


def test_tasks_may_differ_in_length() -> None:
    env = TaskSequence([Walk] * 3, [7, 2, 4])
    env.reset(seed=0)
    tasks = []
    for _ in range(13):
        info = env.step(action())[4]
        tasks.append(info["task"])
        if "episode" in info:
            env.reset()
    assert tasks == [0] * 7 + [1] * 2 + [2] * 4


@pytest.mark.parametrize(
    ("reveals", "one_hot", "told"), [("task", 2, 1), ("boundaries", 0, 1), ("nothing", 0, 0)]
)
def test_an_agent_sees_what_the_sequence_reveals(reveals: Any, one_hot: int, told: int) -> None:
    env = TaskSequence([Walk, Walk], 5, reveals=reveals)
    assert env.observation_space.shape == (2 + one_hot,)
    env.reset(seed=0)
    assert env.told_task == 0
    for _ in range(5):
        last = env.step(action())
    env.reset()
    assert env.task == 1 and env.told_task == told  # the world itself has changed
    assert last[3] and last[4]["task"] == 0
    assert env.make_task(1).observation_space == env.observation_space


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reveals": "all"}, "reveals must be one of 'task', 'boundaries', 'nothing', got 'all'"),
        ({"score": "points"}, "score must be one of 'success', 'return', got 'points'"),
        ({"score_range": (1.0, 1.0)}, r"score_range must be \(low, high\), got \(1.0, 1.0\)"),
        ({"steps_per_task": [1, 2, 3]}, "one number or one per task .2., got 3"),
    ],
)
def test_what_a_sequence_says_of_itself_is_checked(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSequence(**{"makers": [Walk, Walk], "steps_per_task": 5, **arguments})
