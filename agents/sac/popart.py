"""PopArt: targets normalised head by head, outputs preserved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clrl.agents.networks.layers import SeedLinear, of_task

SCALE_MIN, SCALE_MAX = 1e-4, 1e6


class PopArt(nn.Module):
    """Running mean and variance of each head's targets, [S, heads].

    PopArt (van Hasselt et al. 2016, arXiv 1602.07714), one pair of statistics per task as in
    Hessel et al. 2019 (arXiv 1809.04474). A head predicts (target - mean) / scale. When the
    statistics move, the head is rescaled so that its outputs in the targets' units stay what they
    were. The variance stands for the papers' second moment: the same recursion, without the
    difference of two large numbers.

    Args:
        n_seeds: S.
        heads: number of heads, 1 or the number of tasks.
        beta: step size of the statistics.
    """

    def __init__(self, n_seeds: int, heads: int, beta: float):
        super().__init__()
        self.beta = beta
        self.mean = nn.Parameter(torch.zeros(n_seeds, heads), requires_grad=False)
        self.variance = nn.Parameter(torch.ones(n_seeds, heads), requires_grad=False)

    def reset(self) -> None:
        """Set means to 0 and variances to 1."""
        self.mean.zero_()
        self.variance.fill_(1.0)

    @property
    def scale(self) -> Tensor:
        """The standard deviation of each head's targets, kept within 1e-4 to 1e6, [S, heads]."""
        return self.variance.clamp(min=0.0).sqrt().clamp(SCALE_MIN, SCALE_MAX)

    def normalise(self, values: Tensor, task: int | Tensor) -> Tensor:
        """Return values [S, B] of a batch's tasks in the units of the heads."""
        return (values - of_task(self.mean, task)) / of_task(self.scale, task)

    def restore(self, values: Tensor, task: int | Tensor) -> Tensor:
        """Return heads' outputs [S, B] in the units of the targets."""
        return values * of_task(self.scale, task) + of_task(self.mean, task)

    @torch.no_grad()
    def update(self, targets: Tensor, task: int | Tensor) -> tuple[Tensor, Tensor]:
        """Move the statistics of the heads that occur in a batch; the others keep every bit.

        Args:
            targets: [S, B].
            task: the task of all rows, or task ids [S, B].

        Returns:
            factor and shift [S, heads] by which `rescale` keeps outputs what they were.
        """
        if not isinstance(task, Tensor):  # made where the targets are: nothing is copied there
            task = torch.full((), task, device=targets.device)
        ids = task.expand(targets.shape)
        every = torch.arange(self.mean.shape[1], device=targets.device).unsqueeze(1)
        mine = (ids.unsqueeze(1) == every).to(targets.dtype)  # [S, heads, B]
        if len(every) == 1:
            mine.fill_(1.0)
        count = mine.sum(-1)
        step = self.beta * (count > 0)
        keep = 1.0 - step
        count.clamp_(min=1.0)
        mean = (mine * targets.unsqueeze(1)).sum(-1) / count
        squares = (targets.unsqueeze(1) - mean.unsqueeze(-1)).square()
        spread = (mine * squares).sum(-1) / count + keep * (mean - self.mean).square()
        old_mean, old_scale = self.mean.clone(), self.scale
        self.mean.copy_(keep * self.mean + step * mean)
        self.variance.copy_(keep * self.variance + step * spread)
        scale = self.scale
        return old_scale / scale, (old_mean - self.mean) / scale


@torch.no_grad()
def rescale(head: SeedLinear, factor: Tensor, shift: Tensor, critics: Sequence[int]) -> None:
    """Give some of the critics' heads, one output each, new units.

    Args:
        head: weight [S, critics, heads, in], bias [S, critics, heads].
        factor: [S, heads].
        shift: [S, heads], in the new units.
        critics: which of them.
    """
    for critic in critics:
        head.bias[:, critic].mul_(factor).add_(shift)
        head.weight[:, critic].mul_(factor.unsqueeze(-1))
