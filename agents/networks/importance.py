"""Gradients per example in closed form: how important a parameter is for what a network does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clrl.agents.learner import Learner
from clrl.agents.native import importance as native
from clrl.agents.native.importance import Magnitude, Scalars
from clrl.agents.networks.distributions import Categorical, Gaussian
from clrl.agents.networks.layers import Recorder, SeedLayerNorm
from clrl.agents.randomness import METHOD

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
    mean, std = _mean(distribution, squashed_mean), distribution.std
    scale = (std.detach().square() + _VARIANCE_EPS).rsqrt()
    return [*(mean * scale).unbind(-1), *(math.sqrt(2.0) * std * scale).unbind(-1)]


def squared_norm(distribution: Gaussian | Categorical, squashed_mean: bool) -> Tensor:
    """Return the squared L2 norm of a row's outputs, [S, B], whose gradient MAS takes.

    The outputs are mean and log standard deviation of a Gaussian, or the logits of classes.

    Args:
        distribution: what the network predicts for the rows.
        squashed_mean: take tanh(mean) instead of the mean, as Continual World does.
    """
    if isinstance(distribution, Categorical):
        return distribution.logits.square().sum(-1)
    mean, log_std = _mean(distribution, squashed_mean), distribution.std.log()
    return mean.square().sum(-1) + log_std.square().sum(-1)


def _mean(distribution: Gaussian, squashed: bool) -> Tensor:
    return torch.tanh(distribution.mean) if squashed and distribution.squash else distribution.mean


def mean_gradients(
    layers: Mapping[str, Recorder],
    outputs: Sequence[Tensor],
    magnitude: Magnitude,
    floor: float = 0.0,
) -> dict[str, Tensor]:
    """Return the mean over rows of the outputs' gradients' magnitudes, summed over outputs.

    By torch, from tapes, and so for any layers; `mean_magnitudes` needs none where it can.

    A row's gradient of a weight is delta x^T, with delta the gradient of the layer's output and x
    its input, so the sum of squares over rows is (delta^2)^T (x^2): one product per layer, and the
    delta^2 of several outputs add up before it. No gradient per example is ever stored. The same
    holds for absolute values.

    Args:
        layers: from `Learner.recording`, after one forward pass; all outputs depend on their tapes.
        outputs: scalars [S, B] per row.
        magnitude: torch.square or torch.abs.
        floor: least value of a single row. It costs a pass over every row's whole matrix, and the
            memory of one such matrix per seed.

    Returns:
        {parameter name: [S, ...]} for weight and bias of every layer.
    """
    tapes = [(name, *layer.tape[0]) for name, layer in layers.items() if layer.tape]
    sums = [torch.zeros_like(y) for _, _, y in tapes]
    for output in outputs:
        deltas = torch.autograd.grad(
            output.sum(), [y for _, _, y in tapes], retain_graph=True, materialize_grads=True
        )
        for total, delta in zip(sums, deltas, strict=True):
            total.add_(magnitude(delta))
    result = {}
    for (name, x, _), delta in zip(tapes, sums, strict=True):
        result[f"{name}.bias"] = delta.clamp(min=floor).mean(-2)
        if x is None:
            continue
        x = magnitude(x.detach())
        if isinstance(layers[name], SeedLayerNorm):
            result[f"{name}.weight"] = (delta * x).clamp(min=floor).mean(-2)
        else:
            result[f"{name}.weight"] = _mean_product(delta, x, floor)
    return result


def _mean_product(delta: Tensor, x: Tensor, floor: float) -> Tensor:
    """Return the mean over rows of max(delta x^T, floor): [*lead, out, in]."""
    rows = delta.shape[-2]
    if floor == 0.0:
        return delta.transpose(-1, -2) @ x / rows
    total = torch.zeros(*delta.shape[:-2], delta.shape[-1], x.shape[-1], device=x.device)
    for d, values in zip(delta.unbind(-2), x.unbind(-2), strict=True):
        total.add_((d.unsqueeze(-1) * values.unsqueeze(-2)).clamp_(min=floor))
    return total / rows


def mean_magnitudes(
    learner: Learner,
    batch: Any,
    scalars_of: Scalars,
    magnitude: Magnitude,
    floor: float = 0.0,
) -> dict[str, Tensor]:
    """Return the mean over a batch's rows of gradients' magnitudes, summed over scalars.

    Compiled code does it where it computes the learner's network, else `mean_gradients`.

    Args:
        learner: whose network is measured.
        batch: rows of the learner.
        scalars_of: returns scalars [S, B] for what the network predicts (`output_distributions`),
            row by row; it may be called with one seed at a time.
        magnitude: torch.square or torch.abs.
        floor: least value of a single row.

    Returns:
        {parameter name: [S, ...]} for weight and bias of every layer.
    """
    found = native.mean_magnitudes(learner, batch, scalars_of, magnitude, floor)
    if found is not None:
        return found
    with learner.recording() as layers:
        scalars = scalars_of(learner.output_distributions(batch))
        return mean_gradients(layers, scalars, magnitude, floor)


def sampled_importance(
    learner: Learner,
    task: int,
    batches: int,
    batch_size: int,
    scalars_of: Scalars,
    magnitude: Magnitude,
    floor: float = 0.0,
) -> dict[str, Tensor]:
    """Return the mean over batches of a task of `mean_magnitudes`.

    Args:
        learner: its current data is sampled, from the streams of a method.
        task: whose rows are sampled.
        batches: how many.
        batch_size: rows of each, per seed.
        scalars_of: see `mean_magnitudes`.
        magnitude: see `mean_magnitudes`.
        floor: see `mean_magnitudes`.

    Returns:
        {parameter name: [S, ...]} for every protected parameter.
    """
    names = learner.protected_parameters()
    total = {name: torch.zeros_like(parameter) for name, parameter in names.items()}
    for _ in range(batches):
        batch = learner.sample(batch_size, METHOD, task)
        found = mean_magnitudes(learner, batch, scalars_of, magnitude, floor)
        for name in names:
            total[name] += found[name]
    return {name: value / batches for name, value in total.items()}
