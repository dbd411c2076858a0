"""Examples of old tasks that a method keeps in its state, as the learner's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

PREFIX = "memory."
"""Start of a memory's names in a method's state. Acting does not need them."""


def remember(state: dict[str, Tensor], rows: Mapping[str, Tensor]) -> None:
    """Add rows {name: [S, n, ...]} (`Learner.rows_of`) to the memory in a method's state."""
    for name, new in rows.items():
        key = PREFIX + name
        old = [state[key]] if key in state else []
        state[key] = torch.cat([*old, new], 1)


def size(state: Mapping[str, Tensor]) -> int:
    """Return how many examples per seed the memory holds."""
    return next((t.shape[1] for key, t in state.items() if key.startswith(PREFIX)), 0)


def draw(
    state: Mapping[str, Tensor], n: int, generators: Sequence[np.random.Generator]
) -> dict[str, Tensor]:
    """Draw different examples for every seed, n of them or all there are: {name: [S, n, ...]}."""
    stored = size(state)
    index = np.stack([rng.choice(stored, min(n, stored), replace=False) for rng in generators])
    kept = {key.removeprefix(PREFIX): t for key, t in state.items() if key.startswith(PREFIX)}
    return gather(kept, index)


def gather(tensors: Mapping[str, Tensor], index: np.ndarray) -> dict[str, Tensor]:
    """Return the rows at positions [S, B] of tensors {name: [S, n, ...]}: {name: [S, B, ...]}."""
    starts = next(iter(tensors.values())).shape[1] * np.arange(len(index))[:, None]
    flat = torch.from_numpy((starts + index).ravel())
    return {
        name: tensor.flatten(0, 1).index_select(0, flat.to(tensor.device)).unflatten(0, index.shape)
        for name, tensor in tensors.items()
    }
