"""The quadratic penalty that L2, EWC and their relatives share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clrl.agents.methods.base import Method, laid_out_like


@dataclass
class QuadraticPenalty(Method):
    """Pull the protected parameters to their values at the end of the last task.

    Adds coef * sum_j importance_j (theta_j - anchor_j)^2, from the second task on. As in Continual
    World (continualworld/methods/regularization.py) there is no 1/2, one anchor, and the
    importances of all finished tasks are summed. A subclass says how important each parameter is.
    """

    uses_task_boundaries: ClassVar[bool] = True

    coef: float = 1.0
    """Strength of the penalty."""

    @abstractmethod
    def importance(self) -> dict[str, Tensor]:
        """Return the importance of every protected parameter for the task that just ended."""

    def merge(self, old: Tensor, new: Tensor) -> Tensor:
        """Combine the importance for all earlier tasks with that for the last one."""
        return old + new

    def on_task_end(self, task: int) -> None:
        """Measure importances and move the anchor."""
        importance = self.importance()
        for name, parameter in self.learner.protected_parameters().items():
            key = f"importance.{name}"
            new = laid_out_like(parameter, importance[name])
            self.state[key] = self.merge(self.state[key], new) if key in self.state else new
            self.state[f"anchor.{name}"] = parameter.detach().clone()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set importances and anchors."""
        parameters = self.learner.protected_parameters()
        super().load_state(
            {key: laid_out_like(parameters[key.split(".", 1)[1]], t) for key, t in state.items()}
        )

    def penalty(self) -> Tensor | None:
        """Return the penalty of each seed, [S]; None in the first task."""
        if not self.state:
            return None
        terms = []
        for name, parameter in self.learner.protected_parameters().items():
            distance = parameter - self.state[f"anchor.{name}"]
            terms.append((self.state[f"importance.{name}"] * distance.square()).flatten(1).sum(1))
        return self.coef * torch.stack(terms).sum(0)
