"""One step of every seed, as a learner stores it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clrl.agents.learner import NonFinite
from clrl.agents.spaces import TaskSpaces


@dataclass
class Transition:
    """What every seed saw, did and got.

    Attributes:
        features: [S, D], without the task's one-hot.
        actions: [S, A] in [-1, 1].
        rewards: [S].
        next_features: [S, D]; where an episode ended, its own last observation.
        ended: [S]; whether the episode really ended (a time limit is no end).
        over: [S]; whether the episode is over, for any reason.
        keep: for each seed, whether to learn from it (not where the simulation blew up).
    """

    features: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_features: np.ndarray
    ended: np.ndarray
    over: np.ndarray
    keep: list[bool]

    @classmethod
    def of(
        cls, spaces: TaskSpaces, features: np.ndarray, actions: np.ndarray, result: Sequence[Any]
    ) -> Transition:
        """Return the transition of a VecEnv's step.

        Args:
            spaces: how to read observations.
            features: what was seen before.
            actions: what was done.
            result: what `VecEnv.step` returned. It has reset ended episodes already.
        """
        next_obs, rewards, dones, infos = result
        ended = dones
        if True in dones.tolist():
            next_obs, ended = next_obs.copy(), dones.copy()
            for s in np.flatnonzero(dones):
                next_obs[s] = infos[s]["terminal_observation"]
                ended[s] = not infos[s].get("TimeLimit.truncated", False)
        keep = [not info.get("sim_warning", False) for info in infos]
        return cls(features, actions, rewards, spaces.features(next_obs), ended, dones, keep)

    def check_finite(self, seeds: Sequence[int], task: int | np.ndarray) -> None:
        """Raise NonFinite if something that would be learned from is not finite.

        Args:
            seeds: the seeds.
            task: their task, or the task of each [S].
        """
        if np.isfinite(self.next_features).all() and all(map(math.isfinite, self.rewards.tolist())):
            return
        for name, values in (("observation", self.next_features), ("reward", self.rewards)):
            if np.isfinite(values).all():
                continue
            tasks = np.broadcast_to(task, len(seeds))
            for seed, own, row, kept in zip(seeds, tasks, values, self.keep, strict=True):
                if kept and not np.isfinite(row).all():
                    raise NonFinite(f"{name} of seed {seed} is not finite in task {own}")
