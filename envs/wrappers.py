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
        """Begin a new episode."""
        self.steps = 0
        self.total = 0.0
        self.succeeded: bool | None = None

    def add(self, reward: float, info: dict[str, Any], ended: bool) -> None:
        """Count a step; at the episode's end `info` gets the episode's numbers.

        Args:
            reward: the step's reward.
            info: the step's info, changed in place; `success` is read from it.
            ended: whether this was the episode's last step. Then `info` gets `episode` with return
                `r` and length `l` and, if the world reports success at all, `is_success` (any
                step's) and `success_last` (this step's, 0 if it has none).
        """
        self.steps += 1
        self.total += reward
        if "success" in info:
            info["success"] = float(info["success"])
            self.succeeded = bool(self.succeeded) or info["success"] > 0
        if not ended:
            return
        info["episode"] = {"r": self.total, "l": self.steps}
        if self.succeeded is not None:
            info["is_success"] = self.succeeded
            info["success_last"] = info.get("success", 0.0)


class OneTask(gym.Wrapper):
    """One task of a sequence: its observation as float32, then a one-hot of the task.

    Args:
        env: the task's environment, with Box observations and actions of one dimension.
        task: the task's position in the sequence.
        one_hot_size: length of the one-hot; 0 leaves it out.
    """

    def __init__(self, env: gym.Env, task: int, one_hot_size: int) -> None:
        super().__init__(env)
        if one_hot_size and not 0 <= task < one_hot_size:
            raise ValueError(f"task must be from 0 to {one_hot_size - 1}, got {task}")
        space = env.observation_space
        for field, box in (("observation_space", space), ("action_space", env.action_space)):
            if not isinstance(box, Box) or len(box.shape) != 1:
                raise ValueError(f"{field} must be a one-dimensional Box, got {box}")
        assert isinstance(space, Box)
        hot = np.zeros(one_hot_size, dtype=np.float32)
        low = np.concatenate([space.low.astype(np.float32), hot])
        high = np.concatenate([space.high.astype(np.float32), hot + 1])
        self.observation_space = Box(low, high, dtype=np.float32)
        self.task = task
        self._length = space.shape[0]
        self._template = np.zeros(self._length + hot.size, dtype=np.float32)
        if one_hot_size:
            self._template[self._length + task] = 1.0
        self._record = EpisodeRecord()

    def _observation(self, observation: np.ndarray) -> np.ndarray:
        out = self._template.copy()
        out[: self._length] = observation
        return out

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; see `gymnasium.Env.reset`."""
        self._record.start()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observation(observation), {**info, "task": self.task}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step; see `gymnasium.Env.step` and `EpisodeRecord.add`."""
        return self.step_of_sequence(action, last=False)

    def step_of_sequence(
        self, action: np.ndarray, last: bool
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step, truncating the episode if it is the task's `last`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        reward = float(reward)
        truncated = truncated or last
        info = {**info, "task": self.task}
        self._record.add(reward, info, terminated or truncated)
        return self._observation(observation), reward, terminated, truncated, info
