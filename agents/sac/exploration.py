"""How a task starts when heads of old tasks act in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clrl.agents.transition import Transition


class BestReturn:
    """Lets every old head play an episode of the new task, then the best one all others.

    The exploration of ClonEx-SAC (Wolczyk et al. 2022, arXiv 2209.13900; COOM's
    CL/rl/exploration.py). Best is the highest mean return; of equal ones the oldest head. Each seed
    chooses for itself, when an episode of its own starts.
    """

    def __init__(self, n_seeds: int, n_tasks: int):
        self._shape = (n_seeds, n_tasks)
        self.reset()

    def reset(self) -> None:
        """Forget everything: a task starts."""
        n_seeds = self._shape[0]
        self.arrays = {
            "returns": np.zeros(self._shape),  # summed over a head's finished episodes
            "episodes": np.zeros(self._shape, np.int64),
            "so_far": np.zeros(n_seeds),  # return of the episode that is going on
            "head": np.full(n_seeds, -1),  # that plays it, or played the last one
            "playing": np.zeros(n_seeds, np.uint8),
        }

    def heads(self, old: Sequence[int]) -> np.ndarray:
        """Return the head that acts for each seed, [S], of those of old tasks, oldest first."""
        a = self.arrays
        for seed in np.flatnonzero(a["playing"] == 0).tolist():
            a["head"][seed] = self._choose(seed, old)
            a["so_far"][seed], a["playing"][seed] = 0.0, 1
        return a["head"]

    def _choose(self, seed: int, old: Sequence[int]) -> int:
        returns, episodes = (self.arrays[name][seed, list(old)] for name in ("returns", "episodes"))
        if (episodes == 0).any():
            return old[int((episodes == 0).argmax())]
        return old[int((returns / episodes).argmax())]

    def observe(self, transition: Transition) -> None:
        """Count what the heads earned, but for steps in which a simulation blew up."""
        a = self.arrays
        for seed in np.flatnonzero(a["playing"]):
            if transition.keep[seed]:
                a["so_far"][seed] += transition.rewards[seed]
            if transition.over[seed]:
                head = a["head"][seed]
                a["returns"][seed, head] += a["so_far"][seed]
                a["episodes"][seed, head] += 1
                a["playing"][seed] = 0

    def state(self) -> dict[str, Tensor]:
        """Return everything, {name: [S, ...]}."""
        return {f"exploration.{n}": torch.from_numpy(a.copy()) for n, a in self.arrays.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Set everything to a state returned by `state`."""
        for name, array in self.arrays.items():
            array[:] = state[f"exploration.{name}"].numpy()
