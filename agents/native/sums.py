"""Dot products and norms of many tensors, seed by seed, by compiled code (source/sums.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clrl.agents.native.library import CPart, library

if TYPE_CHECKING:
    from clrl.agents.networks.adam import FlatParameters


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
        _address(result),
    )
    return result


def clip(parts: Sequence[FlatParameters], max_norm: float, eps: float = 0.0) -> Tensor:
    """Scale each seed's gradient, of some networks together, to a norm of at most max_norm.

    Args:
        parts: the networks; their `grad` is changed.
        max_norm: the largest norm.
        eps: added to the norm.

    Returns:
        the norms [S] before.
    """
    seeds = parts[0].lead[0]
    norms, described = torch.empty(seeds), [_described(part) for part in parts]
    library().clip_norms(
        len(parts), (CPart * len(parts))(*described), seeds,
        ctypes.c_float(max_norm), ctypes.c_float(eps), _address(norms),
    )  # fmt: skip
    return norms


def _described(part: FlatParameters) -> CPart:
    """Return where the gradients of a network are, and those of each seed in them."""
    assert part.grad is not None
    return CPart(len(part.seed_slots), part.seed_slots.data_ptr(), part.grad.data_ptr())


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _same_layout(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two tensors with the seeds one after the other and the rest in one order."""
    if a.is_contiguous() and b.is_contiguous():
        return a, b
    transposed = a.mT, b.mT  # as matrices lie in `FlatParameters`
    if a.dim() > 2 and all(t.is_contiguous() for t in transposed):
        return transposed
    return a.contiguous(), b.contiguous()
