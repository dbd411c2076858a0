"""How an agent reads observations and writes actions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


class TaskSpaces:
    """Observations that end in the task's one-hot, and actions in [-1, 1].

    Args:
        observation: a Box of one axis.
        action: a bounded Box of one axis.
        n_tasks: length of the one-hot; 1 means there is none.
    """

    def __init__(self, observation: gym.Space, action: gym.Space, n_tasks: int):
        assert isinstance(observation, gym.spaces.Box) and isinstance(action, gym.spaces.Box)
        self.observation, self.action, self.n_tasks = observation, action, n_tasks
        self.one_hot_dim = n_tasks if n_tasks > 1 else 0
        self.feature_dim = int(np.prod(observation.shape)) - self.one_hot_dim
        self.action_dim = int(np.prod(action.shape))
        self._low = action.low.astype(np.float32)
        self._range = action.high.astype(np.float32) - self._low

    def features(self, obs: np.ndarray) -> np.ndarray:
        """Return the task's own numbers of observations [..., D], in float32."""
        return obs[..., : self.feature_dim].astype(np.float32, copy=False)

    def tasks(self, obs: np.ndarray) -> int | np.ndarray:
        """Return the task of observations [..., D]: one number if they share it, else [...]."""
        if self.one_hot_dim == 0:
            return 0
        tasks = obs[..., self.feature_dim :].argmax(-1)
        first = int(tasks.flat[0])
        return first if bool((tasks == first).all()) else tasks

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Map actions in [-1, 1] to the bounds of the action space."""
        return self._low + (actions + 1.0) * 0.5 * self._range
