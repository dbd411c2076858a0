"""What a learner asks of supervised tasks."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Stream(Protocol):
    """Supervised tasks, one after the other, for every seed its own.

    It may have an attribute `reveals`, as a sequence of worlds has; without one it is "task".
    """

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""

    @property
    def dim(self) -> int:
        """Width of the inputs."""

    @property
    def classes(self) -> int:
        """Number of classes of a task."""

    @property
    def examples(self) -> int:
        """Training examples of a task; there are as many for testing."""

    def task(self, seed: int, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs [2 * examples, dim], those for testing last, and labels."""
