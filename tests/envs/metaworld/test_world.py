from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from clrl.envs.contract.probe import probe
from clrl.envs.metaworld import MetaWorld, continual_world
from clrl.envs.metaworld.tasks import CW10, METAWORLD_TASKS

# Meta-World's bounds of an object's position are infinite, as ours are.
pytestmark = pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is")

OTHERS = tuple(name for name in METAWORLD_TASKS if name not in CW10)
ALL_TASKS = [*CW10, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]


def random_actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 4)).astype(np.float32)


def trajectory(env: gym.Env, actions: np.ndarray, seed: int | None = None) -> list[Any]:
    seen: list[Any] = [env.reset(seed=seed)[0].tobytes()]
    for action in actions:
        observation, reward, _, truncated, info = env.step(action)
        seen.append((observation.tobytes(), reward, info["success"]))
        if truncated:
            seen.append(env.reset()[0].tobytes())
    return seen


@pytest.mark.parametrize("task_name", ALL_TASKS)
def test_both_checkers_pass(task_name: str) -> None:
    env = MetaWorld(task_name)
    gymnasium_check_env(env, skip_render_check=True)
    sb3_check_env(env)


def test_the_checkers_pass_on_the_sequences_too() -> None:
    for env in (gym.make("clrl/CW10-v0"), gym.make("clrl/CW20-v0")):
        gymnasium_check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env)


@pytest.mark.parametrize("task_name", ALL_TASKS)
def test_a_seed_fixes_the_trajectory_of_new_and_used_instances(task_name: str) -> None:
    actions = random_actions(60)
    first, used = MetaWorld(task_name, horizon=25), MetaWorld(task_name, horizon=25)
    trajectory(used, random_actions(30, seed=1), seed=7)
    expected = trajectory(first, actions, seed=0)
    np.random.seed(3)  # noqa: NPY002 - the global generator must not matter
    state = np.random.get_state()  # noqa: NPY002
    assert trajectory(used, actions, seed=0) == expected
    assert np.random.get_state()[1].tolist() == state[1].tolist()  # type: ignore # noqa: NPY002
    assert trajectory(used, actions[:5], seed=1) != expected[:6]


def test_seed_0_is_a_seed() -> None:
    firsts = [MetaWorld("push-v3").reset(seed=seed)[0].tolist() for seed in (0, 0, 1, None)]
    assert firsts[0] == firsts[1]
    assert firsts[1] != firsts[2] and firsts[1] != firsts[3]


@pytest.mark.parametrize("task_name", ALL_TASKS)
def test_the_observation_is_in_its_space_and_shows_the_goal(task_name: str) -> None:
    env = MetaWorld(task_name)
    for episode in range(3):
        observation, _ = env.reset(seed=episode)
        assert observation in env.observation_space and observation.dtype == np.float64
        goal = observation[36:]
        assert goal.any() and np.array_equal(observation[:18], observation[18:36])
        for action in random_actions(10, seed=episode):
            before, observation = observation, env.step(action)[0]
            assert observation in env.observation_space
            assert np.array_equal(observation[36:], goal)
            assert np.array_equal(observation[18:36], before[:18])


@pytest.mark.parametrize("task_name", ALL_TASKS)
def test_a_restored_episode_goes_on_bit_for_bit(task_name: str) -> None:
    def make() -> Any:
        return continual_world(task_name, steps_per_task=1_000, horizon=60)

    env, other = make(), make()
    trajectory(env, random_actions(83), seed=2)  # into the second episode
    state = json.loads(json.dumps(env.state()))
    other.restore(state)
    actions = random_actions(40, seed=5)  # past that episode's end
    for action in actions:
        ours, theirs = env.step(action), other.step(action)
        assert ours[0].tobytes() == theirs[0].tobytes() and ours[1:4] == theirs[1:4]
        if ours[3]:
            assert env.reset()[0].tobytes() == other.reset()[0].tobytes()


@pytest.mark.parametrize("task_name", ALL_TASKS)
def test_a_task_keeps_the_contract_that_others_worlds_are_tried_for(task_name: str) -> None:
    probe(partial(MetaWorld, task_name), task_name)


def test_the_horizon_is_the_episodes_length() -> None:
    assert MetaWorld("push-v3").horizon == 200
    for horizon in (1, 7, 500):
        env = MetaWorld("push-v3", horizon=horizon)
        env.reset(seed=0)
        truncated = [env.step(action)[3] for action in random_actions(horizon)]
        assert truncated == [False] * (horizon - 1) + [True]
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(np.zeros(4, np.float32))


def test_success_of_an_episode_is_any_steps_success(
    make_expert: Callable[[str], Callable[[np.ndarray], np.ndarray]],
) -> None:
    env, expert = MetaWorld("handle-press-side-v3"), make_expert("handle-press-side-v3")
    observation, _ = env.reset(seed=0)
    successes, rewards, truncated = [], [], False
    while not truncated:
        observation, reward, _, truncated, info = env.step(expert(observation))
        successes.append(info["success"])
        rewards.append(reward)
    # The expert presses the handle and lets it go again: a success that is not the last step's.
    assert max(successes) == 1 and successes[-1] == 0
    assert info["is_success"] is True and info["success_last"] == 0.0
    assert info["episode"] == {"r": sum(rewards), "l": 200}


@pytest.mark.parametrize("task_name", CW10)
def test_random_init_all_draws_a_new_vector_within_the_space_at_every_reset(task_name: str) -> None:
    env = MetaWorld(task_name)
    env.reset(seed=0)
    vectors = []
    for _ in range(5):
        env.reset()
        vectors.append(tuple(env.simulator._last_rand_vec))
        assert np.array(vectors[-1]) in env.simulator._random_reset_space
    assert len(set(vectors)) == 5


@pytest.mark.parametrize("task_name", CW10)
def test_deterministic_is_one_start_for_every_instance_and_seed(task_name: str) -> None:
    envs = [MetaWorld(task_name, randomization="deterministic") for _ in range(2)]
    first = envs[0].reset(seed=0)[0].tobytes()
    assert first == envs[0].reset()[0].tobytes() == envs[1].reset(seed=5)[0].tobytes()


@pytest.mark.parametrize("kind", ["velocity", "position", "hand action", "gripper action"])
def test_a_simulation_that_blew_up_ends_the_episode_and_is_flagged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env, action = MetaWorld("push-v3"), np.zeros(4, np.float32)
    env.reset(seed=0)
    before, *_, info = env.step(action)
    assert info["sim_warning"] is False
    if kind == "velocity":
        env.simulator.data.qvel[3] = np.nan
    elif kind == "position":
        env.simulator.data.qpos[3] = np.nan
    observation, reward, terminated, truncated, info = env.step(
        np.array([np.nan * (kind == "hand action"), 0, 0, 0], np.float32)
        if kind != "gripper action"
        else np.array([0, 0, 0, np.nan], np.float32)
    )
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["sim_warning"] is True and info["success"] == 0 and env.sim_warnings == 1
    assert info["is_success"] is False and info["episode"]["l"] == 2
    assert observation.tobytes() == before.tobytes()
    sound = MetaWorld("push-v3")
    sound.reset(seed=0)
    expected = trajectory(sound, random_actions(20))
    assert trajectory(env, random_actions(20)) == expected
    assert env.sim_warnings == 1
    assert list(tmp_path.iterdir()) == []  # no MUJOCO_LOG.TXT


def test_the_copies_of_a_cw20_task_differ_only_in_the_one_hot() -> None:
    env = continual_world("CW20")
    assert (env.n_tasks, env.task_names, env.schedule.steps_per_task) == (
        20,
        CW10 + CW10,
        1_000_000,
    )
    assert env.observation_space.shape == (59,)
    one, two = env.make_task(6), env.make_task(16)
    one.reset(seed=1), two.reset(seed=1)
    for action in random_actions(5):
        (a, reward, *_), (b, same, *_) = one.step(action), two.step(action)
        assert np.array_equal(a[:39], b[:39]) and reward == same
        assert a[39:].argmax() == 6 and b[39:].argmax() == 16


def test_a_sequence_is_a_name_a_task_or_a_list() -> None:
    assert continual_world("CW10").observation_space.shape == (49,)
    assert continual_world("push-v3").observation_space.shape == (39,)
    pair = continual_world(["push-v3", "reach-v3"], steps_per_task=5, horizon=500)
    assert pair.task_names == ("push-v3", "reach-v3")
    assert pair.make_task(0).unwrapped.horizon == 500  # type: ignore[attr-defined]


def test_the_float32_observation_is_the_float64_one_rounded() -> None:
    single, bare = continual_world("push-v3").make_task(0), MetaWorld("push-v3")
    assert np.array_equal(single.reset(seed=3)[0], bare.reset(seed=3)[0].astype(np.float32))
    for action in random_actions(5):
        ours, theirs = single.step(action)[0], bare.step(action)[0]
        assert np.array_equal(ours, theirs.astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task_name": "puhs-v3"}, "unknown task 'puhs-v3'; the closest name is 'push-v3'"),
        ({"horizon": 0}, "horizon must be a whole number from 1 to 500, got 0"),
        ({"horizon": 501}, "horizon must be a whole number from 1 to 500, got 501"),
        ({"horizon": 10.5}, "horizon must be a whole number from 1 to 500, got 10.5"),
        ({"randomization": "all"}, "randomization must be one of 'random_init_all', 'determin"),
        ({"fixes": "none"}, "fixes must be one of 'patched', 'upstream', got 'none'"),
        ({"render_mode": "ascii"}, "render_mode must be one of None, 'human'"),
    ],
)
def test_bad_arguments_are_named_with_what_is_allowed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MetaWorld(**{"task_name": "push-v3", **arguments})


def test_unknown_sequences_and_settings_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="unknown task 'CW30'; the closest name is 'CW"):
        continual_world("CW30")
    with pytest.raises(ValueError, match="unknown task 'CW10'"):
        continual_world(["push-v3", "CW10"])
    with pytest.raises(ValueError, match="tasks must name at least one task"):
        continual_world([])
    with pytest.raises(ValueError, match="horizon"):
        continual_world("CW20", horizon=0)


def test_gym_make_returns_our_environments() -> None:
    sequence = gym.make("clrl/CW20-v0", steps_per_task=10, horizon=5).unwrapped
    assert type(sequence).__name__ == "TaskSequence" and sequence.schedule.steps_per_task == 10  # type: ignore
    assert isinstance(gym.make("clrl/MetaWorld-v0", task_name="push-v3").unwrapped, MetaWorld)
