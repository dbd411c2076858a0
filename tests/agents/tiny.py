"""Small worlds and agents that the tests of `agents` share."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.learner import Learner
from clrl.agents.methods import METHODS, Method
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from clrl.agents.transition import Transition
from clrl.envs.interleaved import InterleavedTasks
from clrl.envs.sequence import TaskSequence

OBS_DIM, ACTION_DIM, HORIZON = 3, 2, 9

SETTINGS: dict[str, Any] = {
    "hidden_sizes": (16, 16),
    "batch_size": 16,
    "exploration_steps": 20,
    "learning_starts": 10,
    "train_freq": 5,
    "gradient_steps": 5,
    "buffer_size": 500,
    "device": "cpu",
}
# Rollouts of 32 steps: one goes over the end of a task of 60, and one stays unfinished at step 120.
PPO_SETTINGS: dict[str, Any] = {
    "hidden_sizes": (16, 16),
    "n_steps": 32,
    "batch_size": 16,
    "n_epochs": 2,
    "learning_rate": 3e-3,
    "device": "cpu",
}


class TinyTask(gym.Env):
    """A point pushed by the action and by noise; every task wants it elsewhere.

    Args:
        task: sets the goal.
        events: what goes wrong at which step of this environment: "nan" in the reward, a "warning"
            of the simulation, or the episode is "over".
    """

    def __init__(self, task: int = 0, events: dict[int, str] | None = None):
        self.observation_space = Box(-np.inf, np.inf, (OBS_DIM,), np.float64)
        self.action_space = Box(np.float32(-2.0), np.float32(1.0), (ACTION_DIM,), np.float32)
        self.goal = np.array([0.5, -0.5, 1.0]) * (1 - 2 * (task % 2)) * (1 + task)
        self.events, self.steps = events or {}, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=OBS_DIM)
        self.time = 0
        return self.position, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        push = np.array([action[0], action[1], action[0] * action[1]])
        self.position = 0.9 * self.position + 0.2 * push + 0.05 * self.np_random.normal(size=3)
        self.steps += 1
        self.time += 1
        distance = float(np.abs(self.position - self.goal).sum())
        event = self.events.get(self.steps)
        reward = float("nan") if event == "nan" else -distance
        info = {"success": float(self.time == 3), "sim_warning": event == "warning"}
        truncated = self.time == HORIZON or event == "over"
        return self.position, reward, distance < 0.2, truncated, info


def sequence(
    n_tasks: int = 2,
    steps_per_task: int = 60,
    events: dict[int, str] | None = None,
    interleaved: bool = False,
) -> TaskSequence:
    """Return a sequence of tiny tasks; `events` happen in every task."""
    makers = [partial(TinyTask, task, events) for task in range(n_tasks)]
    return (InterleavedTasks if interleaved else TaskSequence)(makers, steps_per_task)


def vec(
    n_seeds: int = 1,
    n_tasks: int = 2,
    steps_per_task: int = 60,
    events: Sequence[dict[int, str]] | None = None,
    interleaved: bool = False,
) -> DummyVecEnv:
    """Return one sequence per seed."""
    makers: list[Callable[[], gym.Env]] = [
        partial(sequence, n_tasks, steps_per_task, events[s] if events else None, interleaved)
        for s in range(n_seeds)
    ]
    return DummyVecEnv(makers)


def seen(*rows: int, n_tasks: int = 2) -> np.ndarray:
    """Return observations of a tiny task, [*rows, D]: zeros, and the one-hot of the first task."""
    obs = np.zeros((*rows, OBS_DIM + n_tasks), np.float32)
    obs[..., OBS_DIM] = 1.0
    return obs


def little(number: int) -> int:
    """Return little work in place of a published amount: 2 batches of 16, 30 examples."""
    return 30 if number > 1_000 else 16 if number > 100 else min(number, 2)


def method(name: str) -> Method:
    """Return a method with little work to do."""
    kind = METHODS[name]
    numbers = {f.name: f.default for f in fields(kind) if type(f.default) is int}
    return kind(**{name: little(number) for name, number in numbers.items()})


def sac(
    env: Any = None,
    method: Method | None = None,
    seeds: Sequence[int] = (0,),
    n_tasks: int = 2,
    steps_per_task: int = 60,
    **settings: Any,
) -> ContinualSAC:
    """Return a tiny SAC agent."""
    if env is None:
        interleaved = method is not None and method.interleaved
        env = vec(len(seeds), n_tasks, steps_per_task, interleaved=interleaved)
    return ContinualSAC(env, method, seeds=seeds, **(SETTINGS | settings))


def ppo(
    env: Any = None,
    method: Method | None = None,
    seeds: Sequence[int] = (0,),
    n_tasks: int = 2,
    steps_per_task: int = 60,
    **settings: Any,
) -> ContinualPPO:
    """Return a tiny PPO agent."""
    if env is None:
        env = vec(len(seeds), n_tasks, steps_per_task)
    return ContinualPPO(env, method, seeds=seeds, **(PPO_SETTINGS | settings))


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors hold the same bits (so nan equals nan)."""
    a, b = a.detach().contiguous(), b.detach().contiguous()
    return a.shape == b.shape and a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


def column(state: dict[str, Any], seed: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what one seed has in an agent's state: tensors, and the rest."""
    tensors = {name: tensor[seed] for name, tensor in state["tensors"].items()}
    json = state["json"]
    rest = {
        "streams": {name: rngs[seed] for name, rngs in json["streams"].items()},
        "report": {name: values[seed] for name, values in json["report"].items()},
        "gradient_norms": {name: values[seed] for name, values in json["gradient_norms"].items()},
        "counters": json["counters"],
        "optimizers": json["optimizers"],
    }
    return tensors, rest


def differences(
    first: dict[str, Any], second: dict[str, Any], seed: int = 0, other: int = 0
) -> list[str]:
    """Return the names of what differs by a bit between seeds of two agents' states."""
    (a, a_rest), (b, b_rest) = column(first, seed), column(second, other)
    names = [name for name in sorted(a.keys() | b.keys()) if name not in a or name not in b]
    names += [name for name in a.keys() & b.keys() if not same_bits(a[name], b[name])]
    return names + [name for name in a_rest if a_rest[name] != b_rest[name]]


def total_differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the names of what differs by a bit between two agents' states, all seeds."""
    n_seeds = len(first["json"]["streams"]["weights"])
    return [f"{s}: {name}" for s in range(n_seeds) for name in differences(first, second, s, s)]


def weights(agent: Agent) -> dict[str, Tensor]:
    """Return copies of all weights by part, [S, ...]."""
    return {
        f"{part}.{name}": view.detach().clone()
        for part, flat in agent.flats.items()
        for name, view in flat.views(flat.flat).items()
    }


def finite_seeds(learner: Learner) -> list[bool]:
    """Return for each seed whether all its parameters are finite numbers."""
    views = [v for flat in learner.flats.values() for v in flat.views(flat.flat).values()]
    return [all(bool(torch.isfinite(v[s]).all()) for v in views) for s in range(learner.n_seeds)]


def fill(agent: ContinualSAC, rows: int = 40, task: int = 0) -> None:
    """Put random transitions of a task into the buffer, different for every seed."""
    rng = np.random.default_rng(task)
    n = agent.n_seeds
    for _ in range(rows):
        obs, after = (rng.normal(size=(n, agent.spaces.feature_dim)) for _ in range(2))
        action = rng.uniform(-1, 1, (n, agent.spaces.action_dim))
        reward, ended = rng.normal(size=n), rng.random(n) < 0.2
        keep = [True] * n
        agent.buffer.add(Transition(obs, action, reward, after, ended, ended, keep), task)


def randomise(agent: Agent, scale: float = 0.3) -> None:
    """Add noise to all weights, so that no bias is 0 and no gain 1."""
    generator = torch.Generator().manual_seed(0)
    for flat in agent.flats.values():
        flat.flat.add_(scale * torch.randn(flat.flat.shape, generator=generator))


def after_a_task(method: Method, n_tasks: int = 3, **settings: Any) -> ContinualSAC:
    """Return an agent that finished its first task on random data, with random weights."""
    agent = sac(method=method, seeds=(0, 1), n_tasks=n_tasks, **settings)
    randomise(agent)
    fill(agent)
    agent.start_task(0)
    agent.end_task()
    return agent
