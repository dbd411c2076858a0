"""Environments that evaluations play in, kept from one to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import chain

import gymnasium as gym

from clrl.config.evaluation import KEPT, together
from clrl.envs.makers import world_key
from clrl.envs.sequence import TaskSequence


class Simulators:
    """Environments of every seed's tasks, kept from one evaluation to the next.

    Two tasks share them if equal makers make their worlds, whoever's tasks they are: only the
    one-hot differs, and the evaluator writes that itself.

    Args:
        sequences: the worlds of each seed.

    Attributes:
        together: how many of one task play at the same time. The number of a seed's tasks decides
            it and not the number of seeds: see `_Batch`.
    """

    def __init__(self, sequences: Sequence[TaskSequence]) -> None:
        self.sequences = list(sequences)
        self.together = together(len(set(self.first.task_names)))
        self._keys = [[world_key(maker) for maker in s.makers] for s in self.sequences]
        self._kept: dict[Hashable, list[gym.Env]] = {}

    @property
    def first(self) -> TaskSequence:
        """The first seed's sequence, for what all have in common."""
        return self.sequences[0]

    def lend(self, task: int, seeds: Sequence[int]) -> list[gym.Env]:
        """Return environments of a task, one for each of the seeds' positions."""
        lent: Counter[Hashable] = Counter()
        envs = []
        for s in seeds:
            key = self._keys[s][task]
            pool = self._kept.setdefault(key, [])
            if lent[key] == len(pool):
                pool.append(self.sequences[s].make_task(task))
            envs.append(pool[lent[key]])
            lent[key] += 1
        return envs

    def trim(self, task: int) -> None:
        """Close what `task` has beyond the bound, so that tasks visited in turn keep theirs."""
        surplus = sum(map(len, self._kept.values())) - KEPT
        for key in {keys[task]: None for keys in self._keys}:
            pool = self._kept.get(key, [])
            for _ in range(min(len(pool), surplus)):
                pool.pop().close()
                surplus -= 1

    def close(self) -> None:
        """Close all of them."""
        for env in chain.from_iterable(self._kept.values()):
            env.close()
        self._kept = {}
