"""How an agent reads observations and writes actions, and which spaces it can do that for."""

from __future__ import annotations

from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np

Reveals = Literal["task", "boundaries", "nothing"]
"""What a sequence tells an agent: which task it is in, when tasks change, or neither."""

MOST_TASKS = 32_768
FLOATS = (np.float16, np.float32, np.float64)


def task_dtype(n_tasks: int) -> np.dtype:
    """Return the type that task ids are stored in: one byte up to 256 tasks, two beyond.

    Raises:
        ValueError: more than 32,768 tasks, or no whole number of them from 1 on.
    """
    if isinstance(n_tasks, (bool, np.bool_)) or not isinstance(n_tasks, (int, np.integer)):
        raise ValueError(f"n_tasks is {n_tasks!r}; it must be a whole number")
    if not 1 <= n_tasks <= MOST_TASKS:
        raise ValueError(f"n_tasks is {n_tasks}; allowed are 1 to {MOST_TASKS} tasks")
    return np.dtype(np.uint8 if n_tasks <= 256 else np.int16)


class TaskSpaces:
    """Observations that may end in the task's one-hot, and actions in [-1, 1].

    Args:
        observation: a Box of one axis of floating-point numbers.
        action: the same, between bounds that have a width in float32.
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
        self.observation = check_box("observation_space", observation)
        self.action = check_bounded("action_space", action)
        task_dtype(n_tasks)
        self.n_tasks, self.reveals, self.interleaved = int(n_tasks), reveals, interleaved
        self.n_ids = self.n_tasks if reveals == "task" else 1
        self.n_told = 1 if reveals == "nothing" or interleaved else self.n_tasks
        self.task_dtype = task_dtype(max(self.n_ids, self.n_told))
        self.one_hot_dim = self.n_ids if self.n_ids > 1 else 0
        self.feature_dim = self.observation.shape[0] - self.one_hot_dim
        if self.feature_dim < 1:
            raise ValueError(
                f"observation_space has {self.observation.shape[0]} numbers; needed are more than "
                f"{self.one_hot_dim}, the length of the one-hot at its end"
            )
        self.action_dim = self.action.shape[0]
        # Of float16 the width alone can be too large for its own type.
        wide = np.result_type(self.action.dtype, np.float32)
        self._low, self._high = self.action.low.astype(wide), self.action.high.astype(wide)
        self._half = (self._high - self._low) * wide.type(0.5)
        # The last one-hots that were of one task, and this.
        self._seen: tuple[tuple[int, ...], np.dtype, bytes] | None = None
        self._shared = 0

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

        Raises:
            ValueError: the entries that should be the one-hot are none.
        """
        if self.one_hot_dim == 0 or obs.size == 0:
            return 0
        hot = obs[..., self.feature_dim :]
        seen = (hot.shape, hot.dtype, hot.tobytes())
        if seen == self._seen:  # as at nearly every step
            return self._shared
        tasks = hot.argmax(-1)
        if np.count_nonzero(hot) != tasks.size or not (hot.max(-1) == 1).all():
            raise ValueError(self._no_one_hot(hot))
        first = int(tasks.flat[0])
        if not (tasks == first).all():
            return tasks
        self._seen, self._shared = seen, first
        return first

    def _no_one_hot(self, hot: np.ndarray) -> str:
        rows = hot.reshape(-1, self.one_hot_dim)
        wrong = (np.count_nonzero(rows, axis=1) != 1) | (rows.max(1) != 1)
        return (
            f"n_tasks of the environment is {self.n_tasks}, so an observation must end in the "
            f"one-hot of the task (a 1 and {self.one_hot_dim - 1} zeros), but its last "
            f"{self.one_hot_dim} entries are {rows[wrong.argmax()].tolist()}; an attribute n_tasks "
            "that means something else needs another name"
        )

    def check_observation(self, obs: Any) -> np.ndarray:
        """Return observations, one [D] or several [K, D], as Stable-Baselines3's `predict` does.

        Raises:
            ValueError: they have another shape, or are no array.
        """
        if isinstance(obs, (dict, tuple)):
            raise ValueError(
                f"observation is a {type(obs).__name__}; needed is an array of shape "
                f"{self.observation.shape} (`env.reset()` of Gymnasium returns it with an info)"
            )
        try:
            found, shape = np.asarray(obs), self.observation.shape
        except (TypeError, ValueError, RuntimeError) as error:  # ragged, or a tensor with gradients
            raise ValueError(f"observation is no array of numbers: {error}") from error
        if found.dtype.kind not in "biuf":
            raise ValueError(f"observation is of {found.dtype}; needed are real numbers")
        if shape not in (found.shape, found.shape[1:]) or not found.size:
            raise ValueError(
                f"Unexpected observation shape {found.shape}; needed is {shape} for one, or "
                f"(n, {shape[0]}) for several"
            )
        return found

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Map actions in [-1, 1] to the bounds of the action space, in its own type; an own copy.

        It contains them whatever rounding does.
        """
        scaled = actions + self._low.dtype.type(1)
        scaled *= self._half
        scaled += self._low
        return self.clip(scaled)

    def clip(self, actions: np.ndarray) -> np.ndarray:
        """Clip actions to the bounds of the action space, in its own type; an own copy."""
        wide = np.minimum(np.maximum(actions, self._low), self._high)
        return wide.astype(self.action.dtype, copy=False)

    def unclipped(self, actions: np.ndarray) -> np.ndarray:
        """Return actions as they are, in the action space's type; an own copy."""
        return actions.astype(self.action.dtype)


def check_box(field: str, space: gym.Space) -> gym.spaces.Box:
    """Return a space if an agent can read or write it.

    Raises:
        ValueError: it is no Box of one axis of float16, float32 or float64.
    """
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.shape[0] > 0:
        if space.dtype is not None and space.dtype.type in FLOATS:
            return space
    text = f"{space} of {space.dtype}" if isinstance(space, gym.spaces.Box) else str(space)
    raise ValueError(
        f"{field} is {text}; supported is a Box of one axis of floating-point numbers (float16, "
        "float32, float64), so no Discrete, MultiDiscrete, Dict, Tuple, image or integer space; "
        "needed is a Box of one axis, which a wrapper can often make"
    )


def check_bounded(field: str, space: gym.Space) -> gym.spaces.Box:
    """Return a space if an agent can act in all of it.

    Raises:
        ValueError: as `check_box`, or bounds or their width are not finite in float32.
    """
    box = check_box(field, space)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = box.low.astype(np.float32), box.high.astype(np.float32)
        finite = bool(np.isfinite([low, high, high - low]).all())
    if not finite or (box.low > box.high).any():
        raise ValueError(
            f"{field} is {box}; supported are bounds that are finite in float32, and so is the "
            "width between them (gymnasium.wrappers.RescaleAction or a Box of your own narrows it)"
        )
    return box
