"""L2: stay near the last task's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clrl.agents.methods.quadratic import QuadraticPenalty
from clrl.agents.settings.fields import number


@dataclass
class L2(QuadraticPenalty):
    """L2 towards the last task's weights (Kirkpatrick et al. 2017, arXiv 1612.00796).

    Every protected parameter has importance 1. Not weight decay, which pulls to zero. With
    `accumulate` the importance is the number of finished tasks, as in Continual World, where
    importances of all tasks are summed: the effective coefficient grows with every task, and again
    when a task that comes back ends again.
    """

    paper: ClassVar[str] = "Kirkpatrick et al. 2017, arXiv 1612.00796"

    coef: float = number(1e5, least=0)
    """Strength of the penalty (Continual World, CW20: 1e5)."""
    accumulate: bool = True
    """Let the strength grow by coef with every end of a task (Continual World: on)."""

    def importance(self, task: int) -> dict[str, Tensor]:
        """Return 1 for every protected parameter."""
        parameters = self.learner.protected_parameters()
        return {name: torch.ones_like(parameter) for name, parameter in parameters.items()}

    def merge(self, old: Tensor, new: Tensor) -> Tensor:
        """Sum over tasks, or keep 1."""
        return old + new if self.accumulate else new
