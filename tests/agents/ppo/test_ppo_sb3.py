"""Without a method, and fed with the same draws, PPO is Stable-Baselines3's bit for bit."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from torch import nn

from clrl.agents.ppo.settings import SLIPPERY_ANT_PRESET
from tests.agents.stable_baselines import ours, theirs, train_both
from tests.agents.tiny import HORIZON, TinyTask, same_bits

PENDULUM = partial(gym.make, "Pendulum-v1")


class Ending(TinyTask):
    """A tiny task whose episodes end at random places or at the time limit."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, _, truncated, info = super().step(action)
        return obs, reward, bool(obs[0] > 0.8), truncated, info


def unequal(stock: dict[str, Any], settings: dict[str, Any], steps: int, **how: Any) -> list[str]:
    """Train both and return the names of the parameters that differ by a bit."""
    make = how.pop("make", PENDULUM)
    model, agent = train_both(make, steps, stock, settings, **how)
    assert model.num_timesteps == agent.num_timesteps == steps
    expected, found = theirs(model), ours(agent)
    assert expected.keys() == found.keys()
    return [name for name in found if not same_bits(expected[name], found[name])]


@pytest.mark.parametrize("n_steps", [64, pytest.param(256, marks=pytest.mark.slow)])
def test_after_ten_rollouts_all_parameters_have_the_same_bits(n_steps: int) -> None:
    same = {"n_steps": n_steps}
    assert unequal(same, same, 10 * n_steps, chunks=4) == []


def test_ends_and_time_limits_of_episodes_are_treated_the_same() -> None:
    same = {"n_steps": 64, "batch_size": 32, "learning_rate": 1e-2}
    model, agent = train_both(Ending, 256, same, same)
    assert all(same_bits(t, ours(agent)[name]) for name, t in theirs(model).items())
    assert agent.rollout.arrays["over"].sum() > 1.2 * 128 / HORIZON  # some before the time limit


def test_value_clipping_schedules_and_entropy_are_the_same() -> None:
    same = {"n_steps": 64, "batch_size": 24, "n_epochs": 3, "ent_coef": 0.01}
    stock: dict[str, Any] = {
        "learning_rate": lambda remaining: remaining * 1e-2,
        "clip_range": lambda remaining: remaining * 0.3,
        "clip_range_vf": lambda remaining: remaining * 0.5,
    }
    settings: dict[str, Any] = {
        "learning_rate": 1e-2,
        "learning_rate_schedule": "linear",
        "clip_range": 0.3,
        "clip_range_vf": 0.5,
        "clip_range_schedule": "linear",
        "schedule_steps": 320,
    }
    assert unequal(same | stock, same | settings, 320, chunks=2) == []


def test_updates_stop_at_the_target_divergence_at_the_same_place() -> None:
    same: dict[str, Any] = {"n_steps": 64, "learning_rate": 3e-3, "target_kl": 0.01}
    model, agent = train_both(PENDULUM, 320, same, same)
    assert agent.n_updates < 50  # 5 rollouts, 10 epochs, one minibatch each
    assert all(same_bits(t, ours(agent)[name]) for name, t in theirs(model).items())


def test_the_settings_published_for_the_slippery_ant_are_the_same_where_they_can_be() -> None:
    small = {"n_steps": 64, "batch_size": 32, "n_epochs": 2}
    settings = SLIPPERY_ANT_PRESET | small | {"hidden_sizes": (32, 32), "adam_beta1": 0.99}
    settings |= {"weight_decay": 1e-3, "adam_beta2": 0.99, "learning_rate": 1e-2}
    # What Stable-Baselines3 does not have: the other normalisation, unclipped actions, no
    # bootstrap. No episode ends here.
    settings |= {"normalize_advantage": "minibatch", "clip_actions": True}
    adam = {"eps": 1e-8, "betas": (0.99, 0.99), "weight_decay": 1e-3}
    net = {"net_arch": [32, 32], "activation_fn": nn.ReLU, "optimizer_kwargs": adam}
    stock = {"learning_rate": 1e-2, "vf_coef": 1.0, "max_grad_norm": 1e9, "policy_kwargs": net}
    assert unequal(small | stock, settings, 192) == []


@pytest.mark.slow
def test_after_four_rollouts_of_an_ant_all_parameters_have_the_same_bits() -> None:
    same = {"n_steps": 2048}
    assert unequal(same, same, 4 * 2048, make=partial(gym.make, "Ant-v5"), chunks=8) == []
