"""Reset: a fresh learner for every task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clrl.agents.methods.base import Method


@dataclass
class Reset(Method):
    """Start every task with a fresh learner: nothing is kept and nothing is transferred.

    Weights, optimizers and data are those of a run that starts; only the random streams go on. So
    each task is learned as in its reference run (arXiv 2105.10919): forward transfer is 0 up to
    chance, and what is forgotten is all that was learned. It is done when the next task starts, so
    that the evaluation at a task's end sees what was learned. A task that comes back starts with a
    fresh learner, too.
    """

    paper: ClassVar[str] = "Wolczyk et al. 2021, arXiv 2105.10919"

    def on_task_start(self, task: int) -> None:
        """Draw a fresh learner, unless no task has ended yet."""
        if self.learner.ended:
            self.learner.reinitialise()
