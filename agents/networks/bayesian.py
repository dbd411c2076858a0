"""A linear layer whose weights are Gaussians, for variational methods."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clrl.agents.networks.layers import SeedLinear, multiply


class BayesianLinear(SeedLinear):
    """A linear layer per seed with independent Gaussian weights and biases.

    A weight is weight + exp(weight_rho / 2) * noise: `weight` [S, out, in] holds the means,
    `weight_rho` the log variances; `bias` and `bias_rho` [S, out] likewise. Every call draws one
    weight matrix and one bias per seed, shared by the rows of its batch (Blundell et al. 2015,
    arXiv 1505.05424; Continual World's BayesianDense, continualworld/methods/vcl.py). A call for
    some rows of the weight draws noise for those only, where the original draws for all heads: the
    distribution is the same.

    Args:
        layer: the layer whose weights become the means; its leading axes are (S,).
        rho: log variance of all weights and biases.
        noise: returns standard normal numbers [S, *shape] for a shape, or None to use the means.
    """

    def __init__(
        self, layer: SeedLinear, rho: float, noise: Callable[[tuple[int, int]], Tensor | None]
    ):
        nn.Module.__init__(self)
        self.weight, self.bias, self.tape = layer.weight, layer.bias, layer.tape
        self.weight_rho = nn.Parameter(torch.full_like(layer.weight, rho))
        self.bias_rho = nn.Parameter(torch.full_like(layer.bias, rho))
        self.noise = noise

    def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
        """Return the outputs of a draw of the layer, or only those of some rows of the weight."""
        rows = rows or slice(None)
        weight, bias = self.weight[:, rows], self.bias[:, rows]
        noise = self.noise((weight.shape[2] + 1, weight.shape[1]))
        if noise is not None:
            # The transpose lies in memory as the weights do (see `FlatParameters`).
            eps = noise[:, :-1].transpose(1, 2)
            weight = weight + torch.exp(0.5 * self.weight_rho[:, rows]) * eps
            bias = bias + torch.exp(0.5 * self.bias_rho[:, rows]) * noise[:, -1]
        y = multiply(x, weight, bias)
        if self.tape is not None:
            self.tape.append((x, y))
        return y


def kl_divergence(mean: Tensor, rho: Tensor, prior_mean: Tensor, prior_rho: Tensor) -> Tensor:
    """Return KL(N(mean, e^rho) || N(prior_mean, e^prior_rho)), summed over a seed's entries: [S].

    With d = rho - prior_rho an entry has (e^d - 1 - d + (mean - prior_mean)^2 / e^prior_rho) / 2:
    exactly 0 for equal distributions.
    """
    d = rho - prior_rho
    shift = (mean - prior_mean).square() * torch.exp(-prior_rho)
    terms = torch.expm1(d) - d + shift
    # Each seed's sum alone: a sum over rows may be split in another way for other numbers of them.
    return 0.5 * torch.stack([row.sum() for row in terms])
