"""Online elastic weight consolidation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clrl.agents.methods.ewc import FisherPenalty
from clrl.agents.networks.adam import seed_norms
from clrl.agents.settings.fields import number


@dataclass
class OnlineEWC(FisherPenalty):
    """Online EWC (Schwarz et al. 2018, "Progress & Compress", arXiv 1805.06370).

    One anchor, and a Fisher information that fades: F <- gamma F + F_task (equation 9). Each task's
    is scaled to norm 1 per tensor before it is added, so that tasks with large gradients do not
    dominate. Defaults are those of CORA (continual_rl/policies/ewc/ewc_policy_config.py), which
    writes lambda / 2 where we write coef and normalises the faded sum, not its new part. With gamma
    1 and without normalisation this is `EWC`. A task that comes back is held to the anchor like any
    other; at its end all fades, its own old part too, and the new part is added.
    """

    paper: ClassVar[str] = "Schwarz et al. 2018, arXiv 1805.06370"

    coef: float = number(12.5, least=0)
    """Strength of the penalty, half of the paper's lambda (CORA: lambda 25; Schwarz et al. chose
    among 25, 75, 125 and 175). Without normalisation the scale is that of EWC."""
    gamma: float = number(0.99, least=0, most=1)
    """Share of the old Fisher information that a task leaves (CORA: 0.99); from 0 to 1."""
    normalize: bool = True
    """Scale each task's Fisher information to norm 1 per tensor (Schwarz et al.; CORA: on)."""

    def importance(self, task: int) -> dict[str, Tensor]:
        """Return the diagonal Fisher information, with norm 1 per tensor if so chosen."""
        fisher = super().importance(task)
        if not self.normalize:
            return fisher
        compiled = self.learner.compiled
        return {name: _unit(value, compiled) for name, value in fisher.items()}

    def merge(self, old: Tensor, new: Tensor) -> Tensor:
        """Let the old importance fade."""
        return self.gamma * old + new


def _unit(values: Tensor, compiled: bool) -> Tensor:
    """Return values [S, ...] with norm 1 for every seed; 0 where all are 0."""
    norms = seed_norms([values], compiled).clamp(min=1e-30)
    return values / norms.view(-1, *[1] * (values.dim() - 1))
