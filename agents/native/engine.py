"""What the engines of learners have in common: what they watch, read and write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clrl.agents.native.calls import Seeds
from clrl.agents.native.network import MAX_ROWS, known, readable
from clrl.agents.native.watched import Watched, like, watched_parameters

_READ_ONCE = ("settings", "spaces", "seeds")


class CompiledEngine:
    """An engine that was made for the networks and parameters that a learner had then.

    Args:
        learner: with its networks and optimizers.
        networks: the names of its networks.
        ours: the names of the methods that compiled code stands in for.
        numbers: the tensors [S, B, ...] of a batch that compiled code reads, with what comes after
            rows: {name: () or (n,)}. The first is without.
        n_tasks: how many tasks a batch may have; of a single one no id is read.
        of_parts: names of methods that it stands in for, by the names of the learner's parts that
            have them.
    """

    def __init__(
        self,
        learner: Any,
        networks: Sequence[str],
        ours: Sequence[str],
        numbers: Mapping[str, tuple[int, ...]],
        n_tasks: int,
        of_parts: Mapping[str, Sequence[str]],
    ):
        own = vars(learner)
        places = [(own, name, own[name]) for name in (*networks, *_READ_ONCE)]
        modules = [own[name] for name in networks]
        places += watched_parameters(learner)
        parts = [(own[name], methods) for name, methods in of_parts.items()]
        self._watched = Watched(learner, ours, places, modules, parts)
        self._numbers, self._n_tasks = dict(numbers), n_tasks
        self._unasked = {part: torch.zeros(0) for part in learner.optimizers}
        self._seeds = Seeds(learner.n_seeds)

    def unchanged(self) -> bool:
        """Return whether networks and parameters are still those that it was made for."""
        return self._watched.unchanged()

    def reads(self, batch: Any) -> bool:
        """Return whether it can compute a batch."""
        shape = tuple(getattr(batch, next(iter(self._numbers))).shape)
        if len(shape) != 2 or shape[0] != self._seeds.n or not 0 < shape[1] <= MAX_ROWS:
            return False
        read = ((getattr(batch, name), (*shape, *n)) for name, n in self._numbers.items())
        return all(readable(*pair) for pair in read) and known(batch.task, shape, self._n_tasks)

    def _inputs(
        self, learner: Any, features: np.ndarray, task: int | Tensor
    ) -> tuple[Tensor, int | Tensor]:
        """Return features [S, K, D] and task, or task ids [S, K], to act on.

        Raises:
            ValueError: features of another shape, or a task that is not there.
        """
        shape, wide = (self._seeds.n, features.shape[1]), learner.spaces.feature_dim
        if features.shape != (*shape, wide):
            raise ValueError(f"features are {features.shape}; allowed are {(*shape, wide)}")
        task = task if isinstance(task, int) else task.expand(shape)
        if not known(task, shape, self._n_tasks):
            raise ValueError(f"task is {task}; allowed are 0 to {self._n_tasks - 1}")
        return torch.from_numpy(np.ascontiguousarray(features, np.float32)), task

    def _drawn(self, noise: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        """Return noise for actions of a shape [S, K, A], which it may leave out axes of."""
        if noise.shape != shape:
            noise = np.broadcast_to(noise, shape)
        return torch.from_numpy(np.array(noise, np.float32))

    def _gradients(self, learner: Any, into: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """Return where the gradients of every part go; some that are not asked for, to nowhere."""
        own = {part: optimizer.grad for part, optimizer in learner.optimizers.items()}
        if into is None:
            return own
        for part, tensor in into.items():
            if part not in own or not like(tensor, own[part]):
                raise ValueError(
                    f"into[{part!r}] is not like the gradients of one of {', '.join(own)}"
                )
        for part in own.keys() - into.keys():
            if self._unasked[part].shape != own[part].shape:
                self._unasked[part] = torch.zeros_like(own[part])
        return self._unasked | dict(into)


def joined(blocks: Sequence[Tensor]) -> np.ndarray:
    """Return what was found of blocks of rows, [S, K, ...]."""
    return (blocks[0] if len(blocks) == 1 else torch.cat(list(blocks), 1)).numpy()


def in_blocks(x: Tensor, task: int | Tensor, *more: Tensor) -> Iterator[tuple[Any, ...]]:
    """Return inputs [S, K, D], their task and more tensors, of as many rows as can be computed.

    Args:
        x: inputs.
        task: one for all rows, or task ids [S, K].
        *more: [S, K, ...].
    """
    if x.shape[1] <= MAX_ROWS:
        yield x, task, *more
        return
    for first in range(0, x.shape[1], MAX_ROWS):
        some = slice(first, first + MAX_ROWS)
        own = task if isinstance(task, int) else task[:, some]
        yield x[:, some], own, *(tensor[:, some] for tensor in more)
