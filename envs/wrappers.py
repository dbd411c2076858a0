"""What every task of a sequence gets: float32 observations, a task one-hot, a record of success."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from clrl.envs.contract.answers import read_observation, read_reset, read_step, read_success
from clrl.envs.contract.identity import time_limit

OURS = ("episode", "is_success", "success_last", "terminal_observation", "TimeLimit.truncated")
"""Keys of `info` that are written here, by `SeedVecEnv` or by Stable-Baselines3: a world's own
would be taken for them."""


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

    def add(self, reward: float, info: dict[str, Any], ended: bool, success: float | None) -> None:
        """Count a step; at the episode's end `info` gets the episode's numbers.

        Args:
            reward: the step's reward.
            info: the step's info, changed in place.
            ended: whether this was the episode's last step. Then `info` gets `episode` with return
                `r` and length `l` and, if the world reports success at all, `is_success` (any
                step's) and `success_last` (this step's, 0 if it has none).
            success: what the step reports, None for nothing; `info` gets it as `success`.
        """
        self.steps += 1
        if not info.get("sim_warning"):  # what a simulation that blew up pays is no reward
            self.total += reward
        info.pop("success", None)
        if success is not None:
            info["success"] = success
            self.succeeded = bool(self.succeeded) or success > 0
        if not ended:
            return
        info["episode"] = {"r": self.total, "l": self.steps}
        if self.succeeded is not None:
            info["is_success"] = self.succeeded
            info["success_last"] = info.get("success", 0.0)


class OneTask(gym.Wrapper):
    """One task of a sequence: its observation as float32, then a one-hot of the task.

    What the world returns is checked at every step (`clrl.envs.contract.answers`), and the action
    that it gets is a copy. Success is read under `success` or `is_success`.

    Args:
        env: the task's environment, with Box observations and actions of one axis.
        task: the task's position in the sequence.
        one_hot_size: length of the one-hot; 0 leaves it out.
        where: what messages call it.
        max_episode_steps: where an episode of a world without a time limit is truncated.

    Attributes:
        limit: where this truncates an episode; None where the world has a time limit.

    Raises:
        ValueError: an argument that is not allowed, or other spaces.
    """

    def __init__(
        self,
        env: gym.Env,
        task: int,
        one_hot_size: int,
        where: str = "the world",
        max_episode_steps: int | None = None,
    ) -> None:
        super().__init__(env)
        if one_hot_size and not 0 <= task < one_hot_size:
            raise ValueError(f"task must be from 0 to {one_hot_size - 1}, got {task}")
        self.task, self.where = task, where
        space = _space_of(env, "observation_space", where)
        _space_of(env, "action_space", where)
        hot = np.zeros(one_hot_size, dtype=np.float32)
        low = np.concatenate([space.low.astype(np.float32), hot])
        high = np.concatenate([space.high.astype(np.float32), hot + 1])
        self.observation_space = Box(low, high, dtype=np.float32)
        self.limit = None if time_limit(env) else max_episode_steps
        self._shape = space.shape
        self._length = space.shape[0]
        self._template = np.zeros(self._length + hot.size, dtype=np.float32)
        if one_hot_size:
            self._template[self._length + task] = 1.0
        self._record = EpisodeRecord()

    def _observation(self, observation: Any) -> np.ndarray:
        out = self._template.copy()
        out[: self._length] = read_observation(observation, self._shape, self.where)
        return out

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; see `gymnasium.Env.reset`.

        Raises:
            BrokenWorld: the world returned what it may not return.
        """
        self._record.start()
        if seed is not None:
            # For a world that passes no seed on, whose generator would be the operating system's.
            with contextlib.suppress(AttributeError):
                self.env.unwrapped.np_random = np.random.default_rng(seed)
        observation, info = read_reset(self.env.reset(seed=seed, options=options), self.where)
        return self._observation(observation), {**info, "task": self.task}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step; see `gymnasium.Env.step` and `EpisodeRecord.add`.

        Raises:
            BrokenWorld: the world returned what it may not return.
        """
        return self.step_of_sequence(action, last=False)

    def step_of_sequence(
        self, action: np.ndarray, last: bool
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step, truncating the episode if it is the task's `last`."""
        result = self.env.step(np.array(action))
        observation, reward, terminated, truncated, info = read_step(result, self.where)
        out = self._observation(observation)
        success = read_success(info, self.where)
        for key in OURS:
            info.pop(key, None)
        info["task"] = self.task
        truncated = truncated or last or self._record.steps + 1 == self.limit
        self._record.add(reward, info, terminated or truncated, success)
        return out, reward, terminated, truncated, info

    def close(self) -> None:
        """Close the world; nothing is lost if it fails to."""
        with contextlib.suppress(Exception):
            self.env.close()

    def render(self) -> Any:
        """Render the world.

        Raises:
            RuntimeError: there is no display, or no graphics library.
        """
        return rendered(self.env.render, self.where)


def rendered(render: Callable[[], Any], where: str) -> Any:
    """Return what a call renders.

    Raises:
        RuntimeError: there is no display, or no graphics library; the message says what to set.
    """
    try:
        return render()
    except Exception as error:  # MuJoCo's, GLFW's, OpenGL's, each in its own words
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:  # OpenGL's may have no words at all
            text = type(error).__name__
        if not re.search("OpenGL|EGL|GLFW|OSMesa|glGetError", text):
            raise
        raise RuntimeError(
            f"{where} cannot be rendered ({text}); without a display set the environment variable "
            "MUJOCO_GL to egl or osmesa before Python starts, and install that library"
        ) from error


def _space_of(env: gym.Env, field: str, where: str) -> Box:
    """Return a space of a world; raises ValueError unless it is a Box of one axis."""
    try:
        space = getattr(env, field)
    except Exception as error:  # the user's code
        raise ValueError(f"{where} has no {field}: {error}") from error
    if isinstance(space, Box) and len(space.shape) == 1:
        return space
    several = isinstance(space, Box) and field == "observation_space"
    hint = "; gymnasium.wrappers.FlattenObservation makes one axis of several" if several else ""
    raise ValueError(
        f"{where}: {field} is {space}; supported are Boxes of one axis with floating numbers, so "
        f"no discrete actions, dictionaries or images{hint}"
    )
