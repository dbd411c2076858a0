"""Fisher information and MAS importance against definitions."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents.networks.distributions import Gaussian
from clrl.agents.networks.importance import (
    fisher_outputs,
    mean_gradients,
    mean_magnitudes,
    squared_norm,
)
from clrl.agents.networks.layers import SeedBias, SeedLinear
from clrl.agents.randomness import METHOD
from tests.agents.tiny import fill, randomise, sac


def linear(x: np.ndarray, weight: float, outputs: int) -> tuple[SeedLinear, Tensor]:
    """Return a layer whose first output is weight * x, on tape, and its outputs."""
    layer = SeedLinear((1,), 1, outputs)
    with torch.no_grad():
        layer.weight[0, 0, 0] = weight
    layer.tape = []
    return layer, layer(torch.tensor(x, dtype=torch.float32).view(1, -1, 1))


def linear_gaussian(x: np.ndarray, w: float, sigma: float, squashed: bool) -> dict[str, Tensor]:
    """Return the closed form's Fisher for mean = w x and log std = b."""
    layer, y = linear(x, w, outputs=2)
    y = y + torch.tensor([0.0, math.log(sigma)])
    distribution = Gaussian(y[..., :1], y[..., 1:].exp(), squash=True)
    return mean_gradients({"layer": layer}, fisher_outputs(distribution, squashed), torch.square)


@pytest.mark.parametrize("x, w, sigma", [(1.7, 0.4, 0.3), (0.5, -1.0, 2.0)])
def test_the_fisher_of_a_linear_gaussian_is_the_worked_one(
    x: float, w: float, sigma: float
) -> None:
    fisher = linear_gaussian(np.array([x]), w, sigma, squashed=False)
    weight, bias = fisher["layer.weight"][0], fisher["layer.bias"][0]
    assert float(weight[0, 0]) == pytest.approx(x**2 / sigma**2, rel=1e-4)
    assert float(bias[1]) == pytest.approx(2.0, rel=1e-4)
    action = np.random.default_rng(0).normal(w * x, sigma, 1_000_000)
    scores = (action - w * x) / sigma**2 * x, ((action - w * x) / sigma) ** 2 - 1
    assert float(weight[0, 0]) == pytest.approx(np.mean(scores[0] ** 2), rel=0.01)
    assert float(bias[1]) == pytest.approx(np.mean(scores[1] ** 2), rel=0.02)


def test_the_printed_value_of_the_linear_gaussian() -> None:
    fisher = linear_gaussian(np.array([1.7]), 0.4, 0.3, squashed=False)
    assert float(fisher["layer.weight"][0, 0, 0]) == pytest.approx(32.11, abs=0.01)


def test_squashing_scales_the_means_term_only() -> None:
    x, w, sigma = np.array([1.7, -0.3, 0.8]), 0.4, 0.3
    fisher = linear_gaussian(x, w, sigma, squashed=True)
    expected = np.mean((1 - np.tanh(w * x) ** 2) ** 2 * x**2) / sigma**2
    assert float(fisher["layer.weight"][0, 0, 0]) == pytest.approx(expected, rel=1e-4)
    assert float(fisher["layer.bias"][0, 1]) == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, -3.0])
def test_mas_of_a_linear_output_is_the_worked_one_and_grows_with_the_scale_squared(
    scale: float,
) -> None:
    x, w = np.array([1.7, -0.3, 0.8]), -0.4
    layer, y = linear(x, w, outputs=1)
    norm = squared_norm(Gaussian(scale * y, torch.ones_like(y)), squashed_mean=False)
    found = mean_gradients({"layer": layer}, [norm], torch.abs)
    expected = scale**2 * 2 * abs(w) * np.mean(x**2)
    assert float(found["layer.weight"]) == pytest.approx(expected, rel=1e-5)


def test_the_fisher_of_a_deviation_that_no_input_changes_is_two() -> None:
    layer, y = linear(np.array([1.7, -0.3]), 0.4, outputs=1)
    log_std = SeedBias((1,), 1)
    rows = log_std.bias.unsqueeze(-2).expand(1, 2, 1)
    log_std.tape = [(None, rows)]
    outputs = fisher_outputs(Gaussian(y, rows.exp()), squashed_mean=False)
    found = mean_gradients({"mean": layer, "std": log_std}, outputs, torch.square)
    assert found.keys() == {"mean.weight", "mean.bias", "std.bias"}
    assert float(found["std.bias"]) == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_a_method_that_records_layers_itself_measures_the_same(floor: float) -> None:
    agent = sac(seeds=(0, 1), multi_head=False)
    randomise(agent)
    fill(agent)
    batch = agent.sample(12, METHOD)
    scalars_of = partial(fisher_outputs, squashed_mean=True)
    with agent.recording() as layers:
        scalars = scalars_of(agent.output_distributions(batch))
        taped = mean_gradients(layers, scalars, torch.square, floor)
    found = mean_magnitudes(agent, batch, scalars_of, torch.square, floor)
    assert taped.keys() == agent.protected_parameters().keys()
    for name, expected in taped.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)
