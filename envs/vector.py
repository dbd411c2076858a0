"""S environments stepped together: environment s belongs to seed s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from clrl.envs.sequence import TaskSequence

ALIKE = [
    "schedule", "interleaved", "reveals", "score", "score_range", "name", "worlds",
    "max_episode_steps",
]  # fmt: skip
"""What the sequences of all seeds have in common."""


class SeedVecEnv(DummyVecEnv):
    """Stable-Baselines3's DummyVecEnv whose environments each have a seed of their own.

    Args:
        makers: one function per seed that makes its environment.
        seeds: the environments' seeds, applied at the first `reset()`. SB3's own `seed(k)` would
            give environment i the seed k + i.

    Attributes:
        makers: one per seed. Each seed has its own worlds; those of sequences may differ in
            anything but what one record and one network need to have in common (`ALIKE`, spaces).

    Raises:
        ValueError: unless there is one seed per maker, and at least one; the environments' spaces
            or sequences do not fit together.
    """

    def __init__(self, makers: Sequence[Callable[[], gym.Env]], seeds: Sequence[int]) -> None:
        if not makers or len(makers) != len(seeds):
            raise ValueError(
                f"seeds must hold one number per maker and at least one, got {len(seeds)} seeds "
                f"for {len(makers)} makers"
            )
        super().__init__(list(makers))
        self.makers = tuple(makers)
        self._seeds = [int(seed) for seed in seeds]
        self._check_alike()

    def _check_alike(self) -> None:
        names = ["observation_space", "action_space"]
        if isinstance(self.envs[0], TaskSequence):
            names += ALIKE
        for name in names:
            first = getattr(self.envs[0], name)
            for s, env in enumerate(self.envs):
                if (own := getattr(env, name, None)) != first:
                    raise ValueError(
                        f"{name} of environment {s} is {own}; it must equal that of environment 0, "
                        f"{first}"
                    )

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment, as SB3 does, without its deep copies of observations and infos.

        Nothing is shared with the next step: observations, rewards and dones are copied, and a
        task's `info` is a new dict at every step.
        """
        (observations,) = self.buf_obs.values()
        infos: list[dict[str, Any]] = []
        for s, env in enumerate(self.envs):
            observation, reward, terminated, truncated, info = env.step(self.actions[s])
            done = terminated or truncated
            info["TimeLimit.truncated"] = truncated and not terminated
            if done:
                info["terminal_observation"] = observation
                observation, self.reset_infos[s] = env.reset()
            observations[s] = observation
            self.buf_rews[s] = reward
            self.buf_dones[s] = done
            infos.append(info)
        return observations.copy(), self.buf_rews.copy(), self.buf_dones.copy(), infos

    def states(self) -> list[dict[str, Any]]:
        """Return every environment's `TaskSequence.state()`."""
        return self.env_method("state")

    def restore(self, states: Sequence[dict[str, Any]]) -> np.ndarray:
        """Continue every environment from its state.

        Args:
            states: one per environment, from `states()`.

        Returns:
            the current observations `[S, D]`.

        Raises:
            ValueError: if there is not one state per environment, or one cannot be restored.
        """
        if len(states) != self.num_envs:
            raise ValueError(f"states must hold {self.num_envs} states, got {len(states)}")
        (observations,) = self.buf_obs.values()
        for s, state in enumerate(states):
            observations[s] = self.env_method("restore", state, indices=s)[0]
        self._reset_seeds()
        return observations.copy()
