"""Elastic weight consolidation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from clrl.agents.methods.quadratic import QuadraticPenalty
from clrl.agents.networks.importance import fisher_outputs, sampled_importance
from clrl.agents.settings.fields import number


@dataclass
class FisherPenalty(QuadraticPenalty):
    """A quadratic penalty whose importance is the diagonal Fisher information.

    It is that of the policy (or of the class probabilities), estimated at the end of a task on that
    task's data. What differs from Continual World (continualworld/methods/ewc.py): the floor is
    applied to the mean over examples, not to each example's square (with parity "original" it is),
    and the estimate is made when the task ends, not when the next one starts (the weights are the
    same).
    """

    fisher_batches: int = number(10, above=0)
    """Batches the Fisher information is averaged over (Continual World: 10)."""
    fisher_batch_size: int = number(256, above=0)
    """Examples in each of these batches (Continual World: 256)."""
    fisher_floor: float = number(1e-5, least=0)
    """Least importance of any parameter (Continual World: 1e-5); without it weights of units that
    are silent on the old task would be free."""
    fisher_mean: Literal["squashed", "pre_squash"] = "squashed"
    """Differentiate tanh(mean), as Continual World does, or the mean before squashing, as the
    Fisher information of a Gaussian reads. The published coefficient belongs to the former."""

    def importance(self, task: int) -> dict[str, Tensor]:
        """Return the diagonal Fisher information of every protected parameter."""
        row_floor = self.fisher_floor if self.learner.parity == "original" else 0.0
        fisher = sampled_importance(
            self.learner,
            task,
            self.fisher_batches,
            self.fisher_batch_size,
            partial(fisher_outputs, squashed_mean=self.fisher_mean == "squashed"),
            torch.square,
            row_floor,
        )
        return {name: value.clamp(min=self.fisher_floor) for name, value in fisher.items()}


@dataclass
class EWC(FisherPenalty):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796).

    The penalty has Continual World's form (see `QuadraticPenalty`): coef is half of the paper's
    lambda, and there is one anchor with the sum of all tasks' Fisher information. With
    `anchors="per_task"` it has the paper's, coef * sum_k sum_j F_kj (theta_j - theta_kj)^2 over
    all finished tasks k: two numbers per parameter for every task, in memory and in checkpoints,
    and an update that takes longer with every task. A task that comes back is held to its own old
    weights, too; when it ends again its importance is added once more, or with "per_task" its
    importance and anchor are renewed.
    """

    paper: ClassVar[str] = "Kirkpatrick et al. 2017, arXiv 1612.00796"

    coef: float = number(1e4, least=0)
    """Strength of the penalty (Continual World, CW20: 1e4)."""
    anchors: Literal["last", "per_task"] = "last"
    """Pull to the weights after the last task with the sum of all importances (Continual World), or
    to the weights after each task with that task's importance (the paper)."""

    def copies_of_weights(self, n_tasks: int) -> int:
        """Return importance and anchor, of each task or once."""
        return self.copies * (n_tasks if self.anchors == "per_task" else 1)

    def merge(self, old: Tensor, new: Tensor) -> Tensor:
        """Sum over tasks; a task's own importance is renewed."""
        return new if self.anchors == "per_task" else super().merge(old, new)

    def term(self, task: int) -> str:
        """Return the suffix of a task's own importance and anchor, or of the only ones."""
        return str(task) if self.anchors == "per_task" else ""
