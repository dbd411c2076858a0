"""A tiny world, whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from clrl.envs.sequence import TaskSequence


class Walk(gym.Env):
    """A point moved by the action and by noise; the episode ends after `length` steps.

    A step succeeds when the action is positive, and its reward is the action.
    """

    def __init__(self, length: int = 5, terminates: bool = False, size: int = 2) -> None:
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = Box(-1, 1, (1,), np.float32)
        self.length, self.terminates, self.size = length, terminates, size

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self.point = self.np_random.normal(size=self.size)
        return self.point, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.point = self.point + action + self.np_random.normal(size=self.size)
        over = self.steps == self.length
        end = (self.terminates and over, not self.terminates and over)
        return self.point, float(action[0]), *end, {"success": float(action[0] > 0)}


def walks(n_tasks: int = 3, steps_per_task: int = 7, **settings: Any) -> TaskSequence:
    return TaskSequence([lambda: Walk(**settings)] * n_tasks, steps_per_task)


def action(value: float = 0.5) -> np.ndarray:
    return np.array([value], np.float32)


def play(env: gym.Env, steps: int, seed: int = 0) -> list[tuple[bytes, float, bool, bool]]:
    """Plays with fixed actions, resetting when an episode ends; what was seen, as bytes."""
    generator, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        act = generator.uniform(-1, 1, 1).astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(act)
        seen.append((observation.tobytes(), float(reward), terminated, truncated))
        if terminated or truncated:
            observation, _ = env.reset()
            seen.append((observation.tobytes(), 0.0, False, False))
    return seen


def check_restored(env: TaskSequence, other: TaskSequence, before: int, seed: int) -> None:
    """Check that after `before` of 21 steps a used environment can take over."""
    env.reset(seed=seed)
    play(env, before, seed)
    state = json.loads(json.dumps(env.state()))
    other.reset(seed=99)
    play(other, 11)
    assert other.restore(state).tolist() == state["observation"]
    assert other.state() == env.state()
    left = 21 - before
    assert play(env, left, 7) == play(other, left, 7)
