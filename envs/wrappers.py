"""What every task of a sequence gets: float32 observations, a task one-hot, a record of success."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box


class EpisodeRecord:
    """Return, length and success of the running episode, written into `info`.

    An episode succeeds when any of its steps does, as in Continual World (Wolczyk et al. 2021,
    section 4); the last step's success stands beside it.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begins a new episode."""
        self.steps = 0
        self.total = 0.0
        self.succeeded = False

    def add(self, reward: float, info: dict[str, Any], ended: bool) -> None:
        """Counts a step; `info` gets `success`, and at the episode's end the episode's numbers.

        Args:
            reward: the step's reward.
            info: the step's info, changed in place; `success` is read from it (0 where missing).
            ended: whether this was the episode's last step. Then `info` gets `is_success` (any
                step's), `success_last` (this step's) and `episode` with return `r`, length `l`.
        """
        success = float(info.get("success", 0.0))
        info["success"] = success
        self.steps += 1
        self.total += reward
        self.succeeded = self.succeeded or success > 0
        if ended:
            info["is_success"] = self.succeeded
            info["success_last"] = success
            info["episode"] = {"r": self.total, "l": self.steps}


class OneTask(gym.Wrapper):
    """One task of a sequence: its observation as float32, then a one-hot of the task.

    Args:
        env: the task's environment, with one-dimensional Box observations.
        task: the task's position in the sequence.
        n_tasks: the sequence's length; of a sequence of one task the one-hot is left out.
    """

    def __init__(self, env: gym.Env, task: int, n_tasks: int) -> None:
        super().__init__(env)
        if not 0 <= task < n_tasks:
            raise ValueError(f"task must be from 0 to {n_tasks - 1}, got {task}")
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise ValueError(f"observation_space must be a one-dimensional Box, got {space}")
        if not isinstance(env.action_space, Box):
            raise ValueError(f"action_space must be a Box, got {env.action_space}")
        hot = np.zeros(n_tasks if n_tasks > 1 else 0, dtype=np.float32)
        low = np.concatenate([space.low.astype(np.float32), hot])
        high = np.concatenate([space.high.astype(np.float32), hot + 1])
        self.observation_space = Box(low, high, dtype=np.float32)
        self.task = task
        self._length = space.shape[0]
        self._template = np.zeros(self._length + hot.size, dtype=np.float32)
        if n_tasks > 1:
            self._template[self._length + task] = 1.0
        self._record = EpisodeRecord()

    def _observation(self, observation: np.ndarray) -> np.ndarray:
        out = self._template.copy()
        out[: self._length] = observation
        return out

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode; see `gymnasium.Env.reset`."""
        self._record.start()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observation(observation), {**info, "task": self.task}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes a step; see `gymnasium.Env.step` and `EpisodeRecord.add`."""
        return self.step_of_sequence(action, last=False)

    def step_of_sequence(
        self, action: np.ndarray, last: bool
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes a step, truncating the episode if it is the task's `last`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        reward = float(reward)
        truncated = truncated or last
        info = {**info, "task": self.task}
        self._record.add(reward, info, terminated or truncated)
        return self._observation(observation), reward, terminated, truncated, info
