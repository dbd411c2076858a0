"""Memory aware synapses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from clrl.agents.methods.quadratic import QuadraticPenalty
from clrl.agents.networks.importance import sampled_importance, squared_norm
from clrl.agents.settings.fields import number


@dataclass
class MAS(QuadraticPenalty):
    """Memory aware synapses (Aljundi et al. 2018, arXiv 1711.09601).

    A parameter is as important as the squared L2 norm of the outputs is sensitive to it: the mean
    over examples of |d norm / d theta|, estimated at the end of a task on that task's data. The
    outputs of a policy are the squashed mean and the log standard deviation of its Gaussian, as in
    Continual World (continualworld/methods/mas.py); those of a classifier its logits. The
    importance of a task that comes back is added once more when it ends again.
    """

    paper: ClassVar[str] = "Aljundi et al. 2018, arXiv 1711.09601"

    coef: float = number(1e4, least=0)
    """Strength of the penalty (Continual World, CW20: 1e4)."""
    mas_batches: int = number(10, above=0)
    """Batches the importance is averaged over (Continual World: 10)."""
    mas_batch_size: int = number(256, above=0)
    """Examples in each of these batches (Continual World: 256)."""
    mas_mean: Literal["squashed", "pre_squash"] = "squashed"
    """Take tanh(mean) as output, as Continual World does, or the mean before squashing."""

    def importance(self, task: int) -> dict[str, Tensor]:
        """Return the mean absolute gradient of the outputs' squared norm."""
        squashed = self.mas_mean == "squashed"
        return sampled_importance(
            self.learner,
            task,
            self.mas_batches,
            self.mas_batch_size,
            lambda distribution: [squared_norm(distribution, squashed)],
            torch.abs,
        )
