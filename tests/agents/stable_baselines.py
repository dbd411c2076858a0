"""Stable-Baselines3's PPO and ours, fed with the same draws."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from clrl.agents import randomness
from clrl.agents.networks.layers import exact_linear
from clrl.agents.ppo import ContinualPPO

ENVIRONMENT_SEED = 7


class GlobalDraws:
    """A generator that shuffles with numpy's process-wide one, as SB3's buffer does."""

    permutation = staticmethod(np.random.permutation)


def share_draws(agent: ContinualPPO) -> None:
    """Let an agent draw from torch's and numpy's process-wide generators, as SB3 does."""
    streams = agent.streams
    normal = streams.normal

    def drawn(role: int, shape: tuple[int, ...]) -> np.ndarray:
        assert role == randomness.POLICY_NOISE
        return torch.normal(torch.zeros(1, *shape), torch.ones(1, *shape)).numpy()

    assert normal(randomness.EVALUATION, (1, 1)).shape == drawn(4, (1, 1)).shape
    streams.normal = drawn  # type: ignore[method-assign]
    streams._generators[randomness.MINIBATCHES] = [GlobalDraws()]  # type: ignore[list-item]


def layers(policy: Any) -> dict[str, nn.Linear]:
    """Return SB3's linear layers under our names."""
    parts = {"policy": policy.mlp_extractor.policy_net, "value": policy.mlp_extractor.value_net}
    found = {
        f"{part}.core.layers.{i}": layer
        for part, net in parts.items()
        for i, layer in enumerate(module for module in net if isinstance(module, nn.Linear))
    }
    return {**found, "policy.head": policy.action_net, "value.head": policy.value_net}


def theirs(model: PPO) -> dict[str, Tensor]:
    """Return SB3's parameters under our names, [1, ...]."""
    named = {f"{name}.weight": layer.weight for name, layer in layers(model.policy).items()}
    named |= {f"{name}.bias": layer.bias for name, layer in layers(model.policy).items()}
    named["policy.log_std.bias"] = model.policy.log_std
    return {name: parameter.detach().clone().unsqueeze(0) for name, parameter in named.items()}


def ours(agent: ContinualPPO) -> dict[str, Tensor]:
    """Return our parameters, [1, ...]."""
    return {
        f"{part}.{name}": view.clone().contiguous()
        for part, flat in agent.flats.items()
        for name, view in flat.views(flat.flat).items()
    }


def train_both(
    make: Callable[[], gym.Env],
    steps: int,
    stock: dict[str, Any],
    settings: dict[str, Any],
    chunks: int = 1,
) -> tuple[PPO, ContinualPPO]:
    """Train both from the same weights with the same draws; ours in `chunks` calls of `learn`."""
    model = PPO("MlpPolicy", DummyVecEnv([make]), device="cpu", **stock)
    agent = ContinualPPO(DummyVecEnv([make]), device="cpu", update="torch", **settings)
    start = theirs(model)
    for part, flat in agent.flats.items():
        for name, view in flat.views(flat.flat).items():
            view.copy_(start[f"{part}.{name}"])
    share_draws(agent)
    for learner, calls in ((model, 1), (agent, chunks)):
        assert learner.env is not None
        learner.env._seeds = [ENVIRONMENT_SEED]
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 - SB3 draws from it
        with exact_linear():
            for _ in range(calls):
                learner.learn(steps // calls, reset_num_timesteps=False)
    return model, agent
