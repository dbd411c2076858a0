"""What a test scripts: a world, a policy, the moment at which a run ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from clrl.envs.sequence import TaskSequence
from clrl.run.protocol import Silent
from clrl.run.simulators import Simulators


class Line(gym.Env):
    """A point on a line, started at a random place; success lies above 1. `horizon` steps."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))
    alive = 0

    def __init__(self, horizon: int = 5) -> None:
        self.horizon = horizon
        Line.alive += 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-0.5, 0.5)), 0
        return np.array([self.place, 0.0]), {}

    def step(self, action: np.ndarray) -> Any:
        self.place += float(action[0])
        self.steps += 1
        success = {"success": float(self.place > 1)}
        return np.array([self.place, self.steps]), 1.0, False, self.steps == self.horizon, success

    def close(self) -> None:
        Line.alive -= 1


class Rewarded(gym.Env):
    """Five steps of one reward; a rich world reports success."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, reward: float) -> None:
        self.reward = reward

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> Any:
        self.steps += 1
        info = {"success": 1.0} if self.reward == 100.0 else {}
        return np.zeros(2, np.float32), self.reward, False, self.steps == 5, info


class Scripted:
    """A policy of S seeds that acts by a function of (seed, observation, noise)."""

    def __init__(self, function: Any, seeds: Sequence[int] = (0,), action_dim: int = 1) -> None:
        self.function, self.seeds, self.action_dim = function, seeds, action_dim
        self.task: int | None = None
        self.tasks: list[int] = []
        self.keys: list[tuple[int, ...]] = []
        self.calls: list[tuple[tuple[int, ...], np.ndarray, np.ndarray]] = []

    def act(self, obs: np.ndarray, deterministic: np.ndarray, noise: np.ndarray) -> np.ndarray:
        self.calls.append((obs.shape, obs.copy(), np.where(deterministic[:, None], 0, noise)))
        actions = np.zeros((*obs.shape[:2], self.action_dim), np.float32)
        for s, k in np.ndindex(obs.shape[:2]):
            quiet = 0.0 if deterministic[k] else noise[s, k]
            actions[s, k] = self.function(self.seeds[s], obs[s, k], quiet)
        return actions

    @contextlib.contextmanager
    def evaluating(self, task: int, *key: int) -> Iterator[None]:
        assert self.task is None
        self.task = task
        self.tasks.append(task)
        self.keys.append((task, *key))
        yield
        self.task = None


def lines(n_tasks: int = 2, horizon: int = 5, names: Sequence[str] | None = None) -> TaskSequence:
    return TaskSequence([partial(Line, horizon) for _ in range(n_tasks)], 100, names)


def simulators_of(sequence: TaskSequence) -> Simulators:
    """Simulators of up to twenty seeds with the same worlds."""
    return Simulators([sequence] * 20)


def up(seed: int, obs: np.ndarray, noise: Any) -> float:
    return 0.6


def noisy(seed: int, obs: np.ndarray, noise: Any) -> float:
    return float(np.sum(noise)) + 0.01 * float(obs[0])


class Stopping(Silent):
    """Ends the run, as a signal would, with the evaluation of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, rows: Any) -> None:
        if rows[0]["step"] == self.step:
            raise KeyboardInterrupt
