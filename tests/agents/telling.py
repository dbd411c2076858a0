"""Small worlds that change, and say of it what they are asked to say."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from stable_baselines3.common.vec_env import DummyVecEnv

from clrl.agents.methods.base import Method
from tests.agents.tiny import OBS_DIM, TinyTask


class ChangingTask(TinyTask):
    """One world whose goal moves every so many steps; the episode is truncated there."""

    def __init__(self, steps_per_task: int = 60):
        super().__init__()
        self.steps_per_task = steps_per_task

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.goal = TinyTask(self.steps // self.steps_per_task).goal
        return super().reset(**kwargs)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        *result, truncated, info = super().step(action)
        return *result, truncated or self.steps % self.steps_per_task == 0, info  # type: ignore[return-value]


class TellingWorld(gym.Env):
    """Tiny tasks one after the other, each a world of its own, that says what it is asked to.

    The random numbers of its tasks go on from one to the next. `asked` counts how often it was
    asked for the current task. In `order` a task may come back; the last one stays.
    """

    interleaved = False

    def __init__(
        self,
        reveals: str = "task",
        n_tasks: int = 2,
        steps_per_task: int = 60,
        order: Sequence[int] | None = None,
    ):
        self.reveals, self.n_tasks, self.steps_per_task = reveals, n_tasks, steps_per_task
        self.order = order or range(n_tasks)
        self.task, self.steps, self.asked = self.order[0], 0, 0
        self.one_hot = n_tasks if reveals == "task" and n_tasks > 1 else 0
        self.env = TinyTask(self.task)
        self.observation_space = Box(-np.inf, np.inf, (OBS_DIM + self.one_hot,), np.float64)
        self.action_space = self.env.action_space

    @property
    def told_task(self) -> int:
        self.asked += 1
        return 0 if self.reveals == "nothing" else self.task

    def shown(self, obs: np.ndarray) -> np.ndarray:
        return np.concatenate([obs, np.eye(self.one_hot)[self.task]]) if self.one_hot else obs

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        task = self.order[min(self.steps // self.steps_per_task, len(self.order) - 1)]
        if task != self.task:
            self.task, before = task, self.env
            self.env = TinyTask(task)
            self.env.np_random = before.np_random
        obs, info = self.env.reset(seed=seed)
        return self.shown(obs), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        truncated = truncated or self.steps % self.steps_per_task == 0
        return self.shown(obs), reward, terminated, truncated, info


def telling(
    reveals: str,
    n_seeds: int = 2,
    n_tasks: int = 2,
    steps_per_task: int = 60,
    order: Sequence[int] | None = None,
) -> DummyVecEnv:
    """Return one world per seed that reveals something of its tasks."""
    make: Callable[[], gym.Env] = partial(TellingWorld, reveals, n_tasks, steps_per_task, order)
    return DummyVecEnv([make] * n_seeds)


class Hooks(Method):
    """Notes the calls of its hooks: ("start" | "end" | "evaluate", task)."""

    uses_task_boundaries: ClassVar[bool] = False  # it needs nothing of them

    def __post_init__(self) -> None:
        super().__post_init__()
        self.calls: list[tuple[str, int]] = []

    def on_task_start(self, task: int) -> None:
        self.calls.append(("start", task))

    def on_task_end(self, task: int) -> None:
        self.calls.append(("end", task))

    @contextlib.contextmanager
    def evaluating(self, task: int) -> Iterator[None]:
        self.calls.append(("evaluate", task))
        yield
