"""Dot products of many tensors, seed by seed, by compiled code (source/sums.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from clrl.agents.native.library import library


def seed_dots(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return the dot product of all tensors [S, ...] together, for each seed: [S], float64.

    A seed's bits depend on nothing but the seed.

    Args:
        first: float32 tensors on the CPU.
        second: as many, of the same shapes.
    """
    pairs = [_same_layout(a, b) for a, b in zip(first, second, strict=True)]
    seeds, n = first[0].shape[0], len(pairs)
    result = torch.empty(seeds, dtype=torch.float64)
    library().seed_dots(
        n,
        (ctypes.c_void_p * n)(*(a.data_ptr() for a, _ in pairs)),
        (ctypes.c_void_p * n)(*(b.data_ptr() for _, b in pairs)),
        (ctypes.c_int64 * n)(*(a.numel() // seeds for a, _ in pairs)),
        seeds,
        ctypes.c_void_p(result.data_ptr()),
    )
    return result


def _same_layout(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two tensors with the seeds one after the other and the rest in one order."""
    if a.is_contiguous() and b.is_contiguous():
        return a, b
    transposed = a.mT, b.mT  # as matrices lie in `FlatParameters`
    if a.dim() > 2 and all(t.is_contiguous() for t in transposed):
        return transposed
    return a.contiguous(), b.contiguous()
