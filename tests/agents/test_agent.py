"""The training loop: budgets, streams, environments, and what it refuses."""

import random
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

from clrl.agents import randomness
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import (
    SETTINGS,
    differences,
    method,
    sac,
    seen,
    sequence,
    total_differences,
    vec,
)


def test_learning_in_parts_is_learning_at_once_bit_for_bit() -> None:
    whole = sac(seeds=(0, 1)).learn(120)
    assert whole.n_updates == 100
    for parts in ((47, 73), (1, 59, 60)):  # over the end of a task, and up to it
        in_parts = sac(seeds=(0, 1))
        for steps in parts:
            in_parts.learn(steps)
        assert total_differences(whole.state_dict(), in_parts.state_dict()) == [], parts


@pytest.mark.parametrize("name", ["ewc", "packnet"])
def test_learning_in_parts_is_learning_at_once_with_a_method(name: str) -> None:
    whole = sac(method=method(name)).learn(90)
    in_parts = sac(method=method(name)).learn(60).learn(30)
    assert differences(whole.state_dict(), in_parts.state_dict()) == []


def test_ending_and_starting_the_task_by_hand_is_what_learn_does() -> None:
    whole = sac(method=method("ewc"), seeds=(0, 1)).learn(90)
    by_hand = sac(method=method("ewc"), seeds=(0, 1)).learn(60)
    by_hand.end_task()
    by_hand.start_task(1)
    by_hand.learn(30)
    assert total_differences(whole.state_dict(), by_hand.state_dict()) == []


def test_budgets_count_steps_of_one_seed() -> None:
    agent = sac(seeds=(0, 1, 2))
    agent.learn(33)
    assert agent.num_timesteps == agent.task_step == 33
    assert agent.buffer.size.tolist() == [33, 33, 33]
    agent.learn(40)
    assert (agent.num_timesteps, agent.task, agent.task_step) == (73, 1, 13)
    assert agent.buffer.size.tolist() == [13, 13, 13]
    assert agent.buffer.only_task() == 1


def test_the_buffer_holds_what_the_environments_gave() -> None:
    agent = sac(seeds=(0, 1)).learn(9)
    arrays = agent.buffer.arrays
    assert np.array_equal(arrays["obs"][:, 1:9], arrays["next_obs"][:, :8])  # one episode
    assert (np.abs(arrays["action"]) <= 1).all() and arrays["obs"].shape[-1] == 3
    env = vec(2)
    env._seeds = [randomness.environment_seed(seed) for seed in (0, 1)]
    assert np.array_equal(np.asarray(env.reset())[:, :3], arrays["obs"][:, 0])
    for step in range(9):
        actions = -2.0 + (arrays["action"][:, step] + 1.0) * 1.5  # the bounds are -2 and 1
        obs, rewards, _, infos = env.step(actions.astype(np.float32))
        np.testing.assert_allclose(rewards, arrays["reward"][:, step], rtol=1e-5)
    last = np.stack([info["terminal_observation"] for info in infos])
    np.testing.assert_allclose(last[:, :3], arrays["next_obs"][:, 8], rtol=1e-5)


def test_a_full_buffer_forgets_the_oldest() -> None:
    agent = sac(buffer_size=20, steps_per_task=200).learn(47)
    longer = sac(buffer_size=100, steps_per_task=200, learning_starts=10**6)
    assert agent.buffer.size.tolist() == [20]
    longer.learn(20)  # uniform actions: the same steps whatever was learned
    short = sac(buffer_size=8, steps_per_task=200, learning_starts=10**6).learn(20)
    kept = {tuple(row) for row in short.buffer.arrays["obs"][0]}
    assert kept == {tuple(row) for row in longer.buffer.arrays["obs"][0, 12:20]}


def test_a_transition_of_a_broken_simulation_is_left_out_for_its_seed_only() -> None:
    agent = sac(vec(2, events=[{}, {7: "warning"}]), seeds=(0, 1)).learn(12)
    assert agent.buffer.size.tolist() == [12, 11]
    healthy = sac(seeds=(0, 1)).learn(12)
    obs, expected = agent.buffer.arrays["obs"], healthy.buffer.arrays["obs"]
    assert np.array_equal(obs[0], expected[0])
    assert np.array_equal(obs[1, :6], expected[1, :6])
    assert np.array_equal(obs[1, 6:11], expected[1, 7:12])


def test_no_global_generator_is_touched() -> None:
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    agent = sac(method=method("ewc"), seeds=(0, 1)).learn(70)
    agent.predict(seen(2))
    agent.take(0)
    after = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    assert torch.equal(before[2], after[2])


def test_global_generators_do_not_matter() -> None:
    torch.manual_seed(5)
    first = sac().learn(30).state_dict()
    torch.manual_seed(6)
    assert differences(first, sac().learn(30).state_dict()) == []


def test_predict_keeps_shapes_at_one_seed() -> None:
    agent = sac()
    assert agent.predict(seen())[0].shape == (2,)
    assert agent.predict(seen(1))[0].shape == (1, 2)
    actions, state = agent.predict(seen(7))
    assert actions.shape == (7, 2) and state is None
    assert (actions >= -2).all() and (actions <= 1).all()


def test_predict_takes_the_rows_of_each_seed_in_order() -> None:
    agent = sac(seeds=(0, 1))
    rows = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    rows[:, 3:] = [1, 0]
    actions, _ = agent.predict(rows, deterministic=True)
    assert actions.shape == (6, 2)
    for s in range(2):
        alone, _ = agent.take(s).predict(rows[3 * s : 3 * s + 3], deterministic=True)
        np.testing.assert_allclose(actions[3 * s : 3 * s + 3], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_predict_refuses_rows_that_do_not_divide_among_the_seeds(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="allowed are multiples of 2"):
        sac(seeds=(0, 1)).predict(np.zeros(shape, np.float32))


def test_predicting_never_changes_training() -> None:
    first, second = sac(), sac()
    for agent in (first, second):
        agent.learn(40)
        if agent is second:
            for _ in range(7):
                agent.predict(seen(3))
        agent.learn(40)
    assert differences(first.state_dict(), second.state_dict()) == ["streams"]
    streams = [agent.streams.state() for agent in (first, second)]
    assert [name for name in streams[0] if streams[0][name] != streams[1][name]] == ["evaluation"]


def test_act_is_deterministic_where_asked() -> None:
    agent = sac(seeds=(0, 1))
    obs = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    obs[..., 3:] = [1, 0]
    noise = np.ones((2, 3, 2), np.float32)
    mode = agent.act(obs, True)
    mixed = agent.act(obs, np.array([True, False, True]), noise)
    assert np.array_equal(mode[:, [0, 2]], mixed[:, [0, 2]])
    assert not np.isclose(mode[:, 1], mixed[:, 1]).any()
    assert np.array_equal(agent.act(obs, False, noise), agent.act(obs, np.zeros(3, bool), noise))


def test_one_environment_of_its_own_kind_works_too() -> None:
    agent = ContinualSAC(gym.make("Pendulum-v1"), **(SETTINGS | {"hidden_sizes": (8, 8)}))
    agent.learn(30)
    assert agent.n_tasks == 1 and agent.buffer.size.tolist() == [30]


def test_an_unknown_setting_is_refused_with_the_closest_name() -> None:
    with pytest.raises(TypeError, match="no setting batchsize; did you mean batch_size?"):
        ContinualSAC(vec(), batchsize=3)
    with pytest.raises(TypeError, match=r"no setting zzz \(it has learning_rate, "):
        ContinualSAC(vec(), zzz=3)


def test_a_method_brings_its_settings_and_the_user_wins() -> None:
    assert sac(method=method("packnet")).max_grad_norm == 2e-5
    assert sac(method=method("packnet"), max_grad_norm=1.0).max_grad_norm == 1.0
    assert sac(method=method("ewc")).max_grad_norm is None


def test_the_agent_keeps_a_method_of_its_own() -> None:
    shared = method("ewc")
    first, second = sac(method=shared), sac(method=shared)
    assert first.method is not second.method and first.method == shared
    first.learn(70)
    assert first.method.state and not second.method.state


def test_environments_in_different_tasks_are_refused() -> None:
    env = DummyVecEnv([lambda: sequence(2, 10), lambda: sequence(2, 20)])
    with pytest.raises(ValueError, match=r"the environments are in tasks \[1 0\]"):
        sac(env, seeds=(0, 1)).learn(30)


def test_another_environment_set_later_is_seeded_like_the_first() -> None:
    states = []
    for _ in range(2):
        agent = sac().learn(20)
        agent.set_env(vec())
        states.append(agent.learn(20).state_dict())
    assert differences(states[0], states[1]) == []


def test_an_agent_taken_alone_can_be_given_an_environment() -> None:
    agent = sac(seeds=(0, 1)).learn(20).take(1)
    agent.set_env(vec())
    assert agent.learn(5).num_timesteps == 25


def test_counting_anew_at_a_switch_still_starts_the_task_afresh() -> None:
    agent = sac().learn(60)
    agent.learn(20, reset_num_timesteps=True)  # SB3's default
    assert (agent.num_timesteps, agent.task) == (20, 1)
    assert agent.buffer.only_task() == 1
    assert agent.optimizers["actor"].step_count == 10


def test_a_task_that_ends_without_an_update_is_said_to_have_taught_nothing() -> None:
    with pytest.warns(
        UserWarning, match="task 0 ends after 60 steps without an update, so nothing"
    ):
        sac(learning_starts=70).learn(61)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sac().learn(61)
