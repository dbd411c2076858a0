"""How an agent reads observations and writes actions."""

from __future__ import annotations

from typing import Literal, get_args

import gymnasium as gym
import numpy as np

Reveals = Literal["task", "boundaries", "nothing"]
"""What a sequence tells an agent: which task it is in, when tasks change, or neither."""

MOST_TASKS = 32_768


def task_dtype(n_tasks: int) -> np.dtype:
    """Return the type that task ids are stored in: one byte up to 256 tasks, two beyond.

    Raises:
        ValueError: more than 32,768 tasks.
    """
    if not 1 <= n_tasks <= MOST_TASKS:
        raise ValueError(f"n_tasks is {n_tasks}; allowed are 1 to {MOST_TASKS} tasks")
    return np.dtype(np.uint8 if n_tasks <= 256 else np.int16)


class TaskSpaces:
    """Observations that may end in the task's one-hot, and actions in [-1, 1].

    Args:
        observation: a Box of one axis.
        action: a bounded Box of one axis.
        n_tasks: tasks of the sequence.
        reveals: what the sequence tells the agent. Only with "task" is there a one-hot.
        interleaved: whether tasks take turns: all together then start and end once.

    Attributes:
        n_ids: tasks that an observation tells apart.
        one_hot_dim: length of the one-hot: `n_ids`, or 0 for a single one.
        n_told: tasks whose start and end the learner is told of.
        feature_dim: how many numbers of an observation are the task's own.
        task_dtype: type that task ids are stored in.

    Raises:
        ValueError: an argument that is not allowed; the message names it.
    """

    def __init__(
        self,
        observation: gym.Space,
        action: gym.Space,
        n_tasks: int = 1,
        reveals: Reveals = "task",
        interleaved: bool = False,
    ):
        if reveals not in get_args(Reveals):
            raise ValueError(
                f"reveals is {reveals!r}; allowed are {', '.join(map(repr, get_args(Reveals)))}"
            )
        self.observation = _one_axis("observation_space", observation)
        self.action = _one_axis("action_space", action)
        self.n_tasks, self.reveals, self.interleaved = n_tasks, reveals, interleaved
        self.n_ids = n_tasks if reveals == "task" else 1
        self.n_told = 1 if reveals == "nothing" or interleaved else n_tasks
        self.task_dtype = task_dtype(max(self.n_ids, self.n_told))
        self.one_hot_dim = self.n_ids if self.n_ids > 1 else 0
        self.feature_dim = self.observation.shape[0] - self.one_hot_dim
        if self.feature_dim < 1:
            raise ValueError(
                f"observation_space has {self.observation.shape[0]} numbers; needed are more than "
                f"{self.one_hot_dim}, the length of the one-hot at its end"
            )
        self.action_dim = self.action.shape[0]
        self._low = self.action.low.astype(np.float32)
        self._range = self.action.high.astype(np.float32) - self._low

    def taking_turns(self) -> TaskSpaces:
        """Return the same spaces with tasks that are interleaved."""
        return TaskSpaces(self.observation, self.action, self.n_tasks, self.reveals, True)

    def check_same_tasks(self, other: TaskSpaces) -> None:
        """Raise ValueError if an agent of these spaces cannot go on in others."""
        mine, others = (self.n_ids, self.n_told), (other.n_ids, other.n_told)
        if mine != others:
            raise ValueError(
                f"env tells {others[0]} tasks apart and the start of {others[1]}; this agent needs "
                f"{mine[0]} and {mine[1]}, as the environment that it was made with"
            )

    def features(self, obs: np.ndarray) -> np.ndarray:
        """Return the task's own numbers of observations [..., D], in float32."""
        return obs[..., : self.feature_dim].astype(np.float32, copy=False)

    def tasks(self, obs: np.ndarray) -> int | np.ndarray:
        """Return the task of observations [..., D]: one number if they share it, else [...].

        Without a one-hot it is 0.
        """
        if self.one_hot_dim == 0:
            return 0
        tasks = obs[..., self.feature_dim :].argmax(-1)
        first = int(tasks.flat[0])
        return first if bool((tasks == first).all()) else tasks

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Map actions in [-1, 1] to the bounds of the action space."""
        return self._low + (actions + 1.0) * 0.5 * self._range


def _one_axis(field: str, space: gym.Space) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"{field} is {space}; needed is a Box of one axis")
    return space
