"""Where on a sequence each task starts and ends."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """The tasks of a sequence, one after the other, and the steps spent on each.

    A step is counted once it is taken: task 0 has the steps 1 to `lengths[0]`, and what is recorded
    at step `lengths[0]` belongs to it.

    Args:
        names: one name per task; a name may come twice.
        lengths: steps of each task, or one number for all.

    Raises:
        ValueError: no task, a length that is no whole number from 1 on, or not one per task.

    Example:
        >>> schedule = Schedule(["reach", "push"], [100, 50])
        >>> schedule.task_at(100), schedule.task_at(101), schedule.total, schedule.changes
        (0, 1, 150, (100,))
        >>> schedule.evaluations(2)
        (50, 100, 125, 150)
    """

    names: tuple[str, ...]
    lengths: tuple[int, ...]

    def __init__(self, names: Sequence[str], lengths: int | Sequence[int]) -> None:
        names, lengths = tuple(map(plain, plain(names))), plain(lengths)
        if not names:
            raise ValueError("a sequence needs at least one task, got none")
        every = tuple(lengths) if isinstance(lengths, Sequence) else (lengths,) * len(names)
        every = tuple(map(plain, every))
        if len(every) != len(names):
            raise ValueError(
                f"steps_per_task must be one number or one per task ({len(names)}), "
                f"got {len(every)}"
            )
        for length in every:
            whole = isinstance(length, int) or (isinstance(length, float) and length.is_integer())
            if isinstance(length, bool) or not whole or length < 1:
                raise ValueError(f"steps_per_task must be whole numbers >= 1, got {length!r}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "lengths", tuple(int(length) for length in every))

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.names)

    @functools.cached_property
    def ends(self) -> tuple[int, ...]:
        """The last step of each task."""
        return tuple(accumulate(self.lengths))

    @property
    def total(self) -> int:
        """The last step of all."""
        return sum(self.lengths)

    @property
    def changes(self) -> tuple[int, ...]:
        """Steps after which the task changes."""
        return self.ends[:-1]

    @property
    def steps_per_task(self) -> int | tuple[int, ...]:
        """The lengths as they are written down: one number where they are equal."""
        return self.lengths[0] if len(set(self.lengths)) == 1 else self.lengths

    def number(self, task: int) -> str:
        """Return a task's position in as many digits, two at least, that texts sort as tasks do."""
        return f"{task:0{max(2, len(str(self.n_tasks - 1)))}d}"

    def start(self, task: int) -> int:
        """Return how many steps were taken before a task's first one."""
        return self.ends[task] - self.lengths[task]

    def end(self, task: int) -> int:
        """Return a task's last step."""
        return self.ends[task]

    def task_at(self, step: int) -> int:
        """Return the task that a step belongs to; 0 before the first, the last beyond the end."""
        return min(bisect_left(self.ends, step), self.n_tasks - 1)

    def evaluations(self, evals_per_task: int) -> tuple[int, ...]:
        """Return the steps of evaluations, evenly spaced in every task, the last at its end.

        Raises:
            ValueError: `evals_per_task` does not divide the steps of every task.
        """
        for name, length in zip(self.names, self.lengths, strict=True):
            if length % evals_per_task:
                raise ValueError(
                    f"evals_per_task is {evals_per_task}; it must divide the steps of every task, "
                    f"and {name} has {length}"
                )
        return tuple(
            end - length + length // evals_per_task * count
            for end, length in zip(self.ends, self.lengths, strict=True)
            for count in range(1, evals_per_task + 1)
        )


def plain(value: Any) -> Any:
    """Return Python's numbers and lists in place of NumPy's and torch's."""
    return value.tolist() if hasattr(value, "tolist") else value
