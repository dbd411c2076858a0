"""Squared gradients per example in closed form, for the diagonal Fisher information."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from clrl.agents.learner import Categorical, Gaussian
from clrl.agents.networks import SeedLayerNorm, SeedLinear

_VARIANCE_EPS = 1e-6  # continualworld/methods/ewc.py adds it to the variance


def fisher_outputs(distribution: Gaussian | Categorical, squashed_mean: bool) -> list[Tensor]:
    """Return scalars [S, B] whose squared gradients add up to the Fisher information of a row.

    For a Gaussian the information of a parameter is the sum over outputs of
    ((d mean)^2 + 2 (d std)^2) / std^2; for class probabilities p the sum of p (d log p)^2.

    Args:
        distribution: what the network predicts for the rows.
        squashed_mean: differentiate tanh(mean) instead of the mean, as Continual World does.
    """
    if isinstance(distribution, Categorical):
        log_p = distribution.logits.log_softmax(-1)
        return list((log_p.detach().exp().sqrt() * log_p).unbind(-1))
    mean, std = distribution.mean, distribution.std
    if squashed_mean and distribution.squash:
        mean = torch.tanh(mean)
    scale = (std.detach().square() + _VARIANCE_EPS).rsqrt()
    return [*(mean * scale).unbind(-1), *(math.sqrt(2.0) * std * scale).unbind(-1)]


def squared_gradients(
    layers: Mapping[str, SeedLinear | SeedLayerNorm], outputs: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Return the mean over rows of the squared gradients of the outputs, summed over outputs.

    A row's gradient of a weight is delta x^T, with delta the gradient of the layer's output and x
    its input, so the sum of squares over rows is (delta^2)^T (x^2): one product per layer, and the
    delta^2 of several outputs add up before it. No gradient per example is ever stored.

    Args:
        layers: from `Learner.recording`, after one forward pass; all outputs depend on their tapes.
        outputs: scalars [S, B] per row.

    Returns:
        {parameter name: [S, ...]} for weight and bias of every layer.
    """
    tapes = [(name, *layer.tape[0]) for name, layer in layers.items() if layer.tape]
    squares = [torch.zeros_like(y) for _, _, y in tapes]
    for output in outputs:
        deltas = torch.autograd.grad(
            output.sum(), [y for _, _, y in tapes], retain_graph=True, materialize_grads=True
        )
        for square, delta in zip(squares, deltas, strict=True):
            square.add_(delta.square())
    result = {}
    for (name, x, _), square in zip(tapes, squares, strict=True):
        rows = square.shape[-2]
        x = x.detach().square()
        if isinstance(layers[name], SeedLinear):
            result[f"{name}.weight"] = square.transpose(-1, -2) @ x / rows
        else:
            result[f"{name}.weight"] = (square * x).mean(-2)
        result[f"{name}.bias"] = square.mean(-2)
    return result
