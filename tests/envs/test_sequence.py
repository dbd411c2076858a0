"""TaskSequence on a tiny world, whose numbers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from clrl.envs.sequence import TaskSequence, task_seed
from tests.envs.walk import Walk, action, check_restored, play, walks

# Unbounded observations, as Meta-World's objects have.
pytestmark = pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is")


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


def test_names_and_limits_of_numpy_are_plain_ones() -> None:
    names: Any = np.array(["a", "b"])
    limits: Any = np.array([0, 2.0])
    named = TaskSequence([Walk, Walk], 10, names, score_range=limits)
    assert named.task_names == ("a", "b") and named.score_range == (0.0, 2.0)
    assert {type(bound) for bound in named.score_range} == {float}
