"""Examples of old tasks that a method keeps in its state, as the learner's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

B = TypeVar("B")
PREFIX = "memory."
"""Start of a memory's names in a method's state. Acting does not need them."""
ENDED = PREFIX + "ended"
"""Name of the tasks [S, tasks] that left examples, in the order of these."""


def remember(state: dict[str, Tensor], rows: Mapping[str, Tensor], task: int) -> None:
    """Put rows {name: [S, n, ...]} (`Learner.rows_of`) into the memory in a method's state.

    Of a task that has ended before they take the place of those of that time.

    Args:
        state: the method's.
        rows: as many for every task.
        task: that ends. (Under `parity` "original" some of its rows are of other tasks.)
    """
    n_seeds, n = next(iter(rows.values())).shape[:2]
    before = range(size(state) // n)  # of states from when every task ended once
    tasks = state[ENDED][0].tolist() if ENDED in state else list(before)
    if task not in tasks:
        tasks.append(task)
    first = tasks.index(task) * n
    for name, new in rows.items():
        old = state.get(PREFIX + name, new[:, :0])
        state[PREFIX + name] = torch.cat([old[:, :first], new, old[:, first + n :]], 1)
    state[ENDED] = torch.tensor([tasks] * n_seeds)


def examples(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the memory's examples {name: [S, n, ...]}."""
    kept = {key: t for key, t in state.items() if key.startswith(PREFIX) and key != ENDED}
    return {key.removeprefix(PREFIX): tensor for key, tensor in kept.items()}


def size(state: Mapping[str, Tensor]) -> int:
    """Return how many examples per seed the memory holds."""
    return next((tensor.shape[1] for tensor in examples(state).values()), 0)


def draw(
    state: Mapping[str, Tensor], n: int, generators: Sequence[np.random.Generator]
) -> dict[str, Tensor]:
    """Draw different examples for every seed, n of them or all there are: {name: [S, n, ...]}."""
    stored = size(state)
    index = np.stack([rng.choice(stored, min(n, stored), replace=False) for rng in generators])
    return gather(examples(state), index)


def split(batch: B, size: int) -> list[B]:
    """Return the batches of the first `size` rows of one, the next ones and so on, as views.

    Args:
        batch: a dataclass of tensors [S, rows, ...] and of what all rows share.
        size: rows of each.
    """
    values = vars(batch).values()
    pieces = [v.split(size, 1) if isinstance(v, Tensor) else repeat(v) for v in values]
    return [type(batch)(*piece) for piece in zip(*pieces, strict=False)]


def gather(tensors: Mapping[str, Tensor], index: np.ndarray) -> dict[str, Tensor]:
    """Return the rows at positions [S, B] of tensors {name: [S, n, ...]}: {name: [S, B, ...]}."""
    starts = next(iter(tensors.values())).shape[1] * np.arange(len(index))[:, None]
    flat = torch.from_numpy((starts + index).ravel())
    return {
        name: tensor.flatten(0, 1)
        .index_select(0, flat.to(tensor.device))
        .view(*index.shape, *tensor.shape[2:])
        for name, tensor in tensors.items()
    }
