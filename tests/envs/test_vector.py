from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from clrl.envs.metaworld import continual_world
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv


def make() -> TaskSequence:
    return continual_world(["push-v3", "window-close-v3"], steps_per_task=12, horizon=5)


def actions(steps: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, n, 4)).astype(np.float32)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b))


def test_it_returns_what_sb3s_dummy_vec_env_returns() -> None:
    ours, theirs = SeedVecEnv([make, make], [0, 1]), DummyVecEnv([make, make])
    theirs.seed(0)  # gives environment i the seed 0 + i
    assert np.array_equal(ours.reset(), theirs.reset())  # type: ignore[arg-type]
    for step in actions(23, 2):
        mine, sb3 = ours.step(step), theirs.step(step)
        for k in range(3):
            assert np.array_equal(mine[k], sb3[k])  # type: ignore[arg-type]
            assert mine[k].dtype == sb3[k].dtype  # type: ignore[union-attr]
        assert all(equal(a, b) for a, b in zip(mine[3], sb3[3], strict=True))
        assert [("terminal_observation" in info) for info in mine[3]] == mine[2].tolist()


def test_an_environments_trajectory_depends_on_its_seed_only() -> None:
    together, alone = SeedVecEnv([make] * 3, [4, 2, 9]), SeedVecEnv([make], [2])
    assert np.array_equal(together.reset()[1], alone.reset()[0])  # type: ignore[index]
    for step in actions(23, 3):
        observations, rewards, _, _ = together.step(step)
        other, reward, _, _ = alone.step(step[1:2])
        assert np.array_equal(observations[1], other[0]) and rewards[1] == reward[0]  # type: ignore


def test_what_it_returned_does_not_change_with_the_next_step() -> None:
    env = SeedVecEnv([make], [0])
    first = env.reset()
    kept = first.copy()  # type: ignore[union-attr]
    second = env.step(actions(1, 1)[0])
    copies = [np.copy(part) for part in second[:3]]  # type: ignore[arg-type]
    env.step(actions(1, 1, seed=1)[0])
    assert np.array_equal(first, kept)  # type: ignore[arg-type]
    assert all(np.array_equal(a, b) for a, b in zip(second[:3], copies, strict=True))  # type: ignore


def test_restored_environments_go_on_bit_for_bit_past_the_switch() -> None:
    env, other = SeedVecEnv([make] * 2, [3, 8]), SeedVecEnv([make] * 2, [0, 0])
    observations = env.reset()
    for step in actions(8, 2):
        observations = env.step(step)[0]
    restored = other.restore(json.loads(json.dumps(env.states())))
    assert np.array_equal(restored, observations)  # type: ignore[arg-type]
    for step in actions(16, 2, seed=1):
        mine, theirs = env.step(step), other.step(step)
        assert all(np.array_equal(a, b) for a, b in zip(mine[:3], theirs[:3], strict=True))  # type: ignore
    assert [sequence["task"] for sequence in other.states()] == [1, 1]


def test_a_seed_is_needed_for_every_environment() -> None:
    with pytest.raises(ValueError, match="got 1 seeds for 2 makers"):
        SeedVecEnv([make, make], [0])
    with pytest.raises(ValueError, match="at least one"):
        SeedVecEnv([], [])
    with pytest.raises(ValueError, match="states must hold 1 states, got 0"):
        SeedVecEnv([make], [0]).restore([])


def test_seeds_may_have_worlds_of_their_own_but_not_schedules() -> None:
    def worlds(*names: str, **told: Any) -> Any:
        return lambda: continual_world(names, told.pop("steps", 12), **told)

    env = SeedVecEnv([worlds("push-v3"), worlds("push-v3", horizon=5)], [0, 1])
    assert [e.make_task(0).unwrapped.horizon for e in env.envs] == [200, 5]  # type: ignore
    for other, message in [
        (worlds("reach-v3"), "schedule of environment 1 is"),
        (worlds("push-v3", steps=13), "schedule of environment 1 is"),
        (worlds("push-v3", "reach-v3"), "observation_space of environment 1"),
        (worlds("push-v3", reveals="nothing"), "reveals of environment 1 is nothing"),
        (worlds("push-v3", score="return"), "score of environment 1 is return"),
    ]:
        with pytest.raises(ValueError, match=message):
            SeedVecEnv([worlds("push-v3"), other], [0, 1])
