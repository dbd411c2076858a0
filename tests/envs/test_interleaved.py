"""Tasks in turn on a tiny world, and on Meta-World."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from clrl.envs.interleaved import InterleavedTasks
from clrl.envs.metaworld import continual_world
from clrl.envs.sequence import task_seed
from clrl.envs.vector import SeedVecEnv
from tests.envs.walk import Walk, action, check_restored, play, walks

pytestmark = pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is")


def turns(n_tasks: int = 3, steps_per_task: int = 7, **settings: Any) -> InterleavedTasks:
    return InterleavedTasks([partial(Walk, **settings)] * n_tasks, steps_per_task)


@settings(deadline=None, max_examples=30)
@given(n_tasks=st.integers(1, 4), steps_per_task=st.integers(1, 12), length=st.integers(1, 6))
def test_every_episode_is_the_next_tasks(n_tasks: int, steps_per_task: int, length: int) -> None:
    env, total = turns(n_tasks, steps_per_task, length=length), n_tasks * steps_per_task
    observation, info = env.reset(seed=0)
    for step in range(total):
        task = (1 + step // length) % n_tasks
        assert (env.task, info["task"], env.task_step) == (task, task, step)
        if n_tasks > 1:
            assert observation[2:].tolist() == np.eye(n_tasks)[task].tolist()
        observation, _, terminated, truncated, info = env.step(action())
        assert (terminated or truncated) == ((step + 1) % length == 0 or step + 1 == total)
        if terminated or truncated:
            observation, info = env.reset()
    with pytest.raises(RuntimeError, match=f"all {n_tasks * steps_per_task} steps are used up"):
        env.step(action())


def test_a_tasks_episodes_are_those_of_its_environment_alone() -> None:
    env, alone = turns(3, 100, length=2), Walk(length=2)
    first, _ = env.reset(seed=4)
    expected, _ = alone.reset(seed=task_seed(4, 1))
    for _ in range(3):
        assert first[:2].tolist() == expected.astype(np.float32).tolist()
        for _ in range(2):
            assert env.step(action())[0][:2].tolist() == (
                alone.step(action())[0].astype(np.float32).tolist()
            )
        for _ in range(2):  # the turns of the two others
            env.reset()
            play(env, 1)
        (first, _), (expected, _) = env.reset(), alone.reset()


def test_each_environment_is_made_once() -> None:
    made = []

    def make() -> Walk:
        made.append(1)
        return Walk(length=1)

    env = InterleavedTasks([make] * 3, 100)
    env.reset(seed=0)
    before = len(made)
    play(env, 50)
    assert len(made) == before + 2


@settings(deadline=None, max_examples=30)
@given(before=st.integers(0, 21), seed=st.integers(0, 3))
def test_restored_tasks_go_on_bit_for_bit(before: int, seed: int) -> None:
    check_restored(turns(length=4), turns(length=4), before, seed)


def test_one_seed_gives_one_trajectory_to_new_and_used_environments() -> None:
    new, used = turns(), turns()
    used.reset(seed=5)
    play(used, 17)
    assert new.reset(seed=1)[0].tobytes() == used.reset(seed=1)[0].tobytes()
    assert play(new, 21) == play(used, 21)


def test_the_state_of_a_sequence_is_refused() -> None:
    sequence = walks()
    sequence.reset(seed=0)
    with pytest.raises(ValueError, match="generators of 0 tasks; needed are those of 3 interleav"):
        turns().restore(sequence.state())


def test_both_checkers_pass() -> None:
    gymnasium_check_env(turns(2, 10_000), skip_render_check=True)
    sb3_check_env(turns(2, 10_000))


def test_meta_world_takes_turns_and_is_restored_bit_for_bit() -> None:
    make = partial(continual_world, ["push-v3", "window-close-v3"], 40, interleaved=True, horizon=6)
    env, other = SeedVecEnv([make, make], [3, 8]), SeedVecEnv([make, make], [0, 0])
    actions = np.random.default_rng(0).uniform(-1, 1, (80, 2, 4)).astype(np.float32)
    env.reset()
    tasks = [env.step(action)[3][0]["task"] for action in actions[:39]]
    assert tasks == [(1 + step // 6) % 2 for step in range(39)]
    other.restore(json.loads(json.dumps(env.states())))
    for step in actions[39:]:
        mine, theirs = env.step(step), other.step(step)
        assert all(np.array_equal(a, b) for a, b in zip(mine[:3], theirs[:3], strict=True))  # type: ignore
    assert mine[2].all()


def test_interleaved_tasks_have_no_boundaries_to_reveal() -> None:
    with pytest.raises(ValueError, match="reveals is 'boundaries', but interleaved tasks have"):
        InterleavedTasks([Walk, Walk], 5, reveals="boundaries")
    env = InterleavedTasks([Walk, Walk], [3, 5], reveals="nothing")
    assert env.one_hot_size == 0 and env.schedule.total == 8
