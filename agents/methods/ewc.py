"""Elastic weight consolidation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from clrl.agents.importance import fisher_outputs, squared_gradients
from clrl.agents.methods.quadratic import QuadraticPenalty
from clrl.agents.randomness import METHOD


@dataclass
class EWC(QuadraticPenalty):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796).

    A parameter's importance is its diagonal Fisher information for the policy (or the class
    probabilities), estimated at the end of a task on that task's data. What differs from the paper
    is Continual World's form of the penalty (see `QuadraticPenalty`): coef is half of the paper's
    lambda, and there is one anchor. What differs from Continual World: the floor is applied to the
    mean over examples, not to each example's square, and the estimate is made when the task ends,
    not when the next one starts (the weights are the same).
    """

    paper: ClassVar[str] = "Kirkpatrick et al. 2017, arXiv 1612.00796"

    coef: float = 1e4
    """Strength of the penalty (Continual World, CW20: 1e4)."""
    fisher_batches: int = 10
    """Batches the Fisher information is averaged over (Continual World: 10)."""
    fisher_batch_size: int = 256
    """Examples in each of these batches (Continual World: 256)."""
    fisher_floor: float = 1e-5
    """Least importance of any parameter (Continual World: 1e-5); without it weights of units that
    are silent on the old task would be free."""
    fisher_mean: Literal["squashed", "pre_squash"] = "squashed"
    """Differentiate tanh(mean), as Continual World does, or the mean before squashing, as the
    Fisher information of a Gaussian reads. The published coefficient belongs to the former."""

    def importance(self) -> dict[str, Tensor]:
        """Return the diagonal Fisher information of every protected parameter."""
        names = self.learner.protected_parameters()
        total: dict[str, Tensor] = {}
        for _ in range(self.fisher_batches):
            batch = self.learner.sample(self.fisher_batch_size, METHOD)
            with self.learner.recording() as layers:
                distribution = self.learner.output_distributions(batch)
                outputs = fisher_outputs(distribution, self.fisher_mean == "squashed")
                squares = squared_gradients(layers, outputs)
            for name in names:
                total[name] = total.get(name, torch.zeros(())) + squares[name]
        return {
            name: (value / self.fisher_batches).clamp(min=self.fisher_floor)
            for name, value in total.items()
        }
