"""Streams of supervised tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

_ENVIRONMENT = 1  # the role of that name: a stream's tasks are drawn as environments are seeded


@dataclass(frozen=True)
class ToyStream:
    """Tasks that one small network can learn each, and all: labels by a random quadratic rule.

    Task k of a seed draws inputs from a standard normal, and the label is the sign of
    x^T A x + b^T x with A and b drawn for that task and seed.

    Args:
        n_tasks: number of tasks.
        dim: width of the inputs.
        examples: examples per task, and as many for testing.
        reveals: what a classifier is told, see `TaskSequence`.

    Attributes:
        classes: of the labels.

    Raises:
        ValueError: a number below 1.
    """

    n_tasks: int = 2
    dim: int = 8
    examples: int = 512
    reveals: str = "task"
    classes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name in ("n_tasks", "dim", "examples"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")

    def task(self, seed: int, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs [2 * examples, dim] (the second half is for testing) and labels."""
        sequence = np.random.SeedSequence(entropy=seed, spawn_key=(_ENVIRONMENT, task))
        rng = np.random.default_rng(sequence)
        quadratic = rng.standard_normal((self.dim, self.dim)) / self.dim
        linear = rng.standard_normal(self.dim)
        x = rng.standard_normal((2 * self.examples, self.dim))
        score = np.einsum("ni,ij,nj->n", x, quadratic, x) + x @ linear
        return x.astype(np.float32), (score > 0).astype(np.int64)
