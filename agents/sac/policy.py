"""The squashed Gaussian of SAC's policy, and the coefficients of its entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clrl.agents.networks.layers import of_task

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return tanh(mean + std * noise) and its log-probability.

    Args:
        mean: [..., A].
        log_std: [..., A].
        noise: standard normal [..., A].

    Returns:
        actions [..., A] and log-probabilities [...]. The correction for tanh is exact for large
        arguments too: log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)).
    """
    u = torch.addcmul(mean, log_std.exp(), noise)
    normal = -0.5 * noise.square() - log_std - _LOG_SQRT_2PI
    correction = 2.0 * (math.log(2.0) - u - _softplus(-2.0 * u))
    return torch.tanh(u), (normal - correction).sum(-1)


def _softplus(x: Tensor) -> Tensor:
    # torch's own rounds the last few elements of a tensor differently from the others, so that a
    # seed's loss would depend on how many seeds stand beside it.
    return x.clamp(min=0.0) + torch.log1p(torch.exp(-x.abs()))


def target_entropy(action_dim: int, output_std: float) -> float:
    """Return the entropy of a Gaussian of this standard deviation in every action dimension."""
    return action_dim * math.log(output_std * math.sqrt(2.0 * math.pi * math.e))


class LogAlpha(nn.Module):
    """The log entropy coefficient of every task, or one for all: [S, tasks]."""

    def __init__(self, n_seeds: int, n_tasks: int):
        super().__init__()
        self.lead, self.heads = (n_seeds,), n_tasks
        self.value = nn.Parameter(torch.zeros(n_seeds, n_tasks))

    def of(self, task: int | Tensor) -> Tensor:
        """Return the coefficients of a batch: [S, 1], or [S, B] for task ids [S, B]."""
        return of_task(self.value, task)
