"""Networks: initial weights, heads, and agreement with torch's own layers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clrl.agents.networks.layers import (
    LAYER_NORM_EPS,
    LEAKY_SLOPE,
    Core,
    HeadedNetwork,
    SeedLayerNorm,
    SeedLinear,
    exact_linear,
    frozen,
    full_precision,
)


def rngs(n: int = 1) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(n)]


def network(lead: Sequence[int] = (2,), heads: int = 3, **kwargs: Any) -> HeadedNetwork:
    """Return a small network whose parameters are all random."""
    made = HeadedNetwork(lead, 5, 4, heads, (8, 6), **kwargs)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return made


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Bounds of Keras' Glorot-uniform initialiser in Continual World's networks.
@pytest.mark.parametrize(
    "inputs, outputs, fan_out, bound",
    [
        (12, 256, None, 0.1496),
        (39, 256, None, 0.1426),
        (256, 256, None, 0.1083),
        (256, 8, 4, 0.1519),
        (256, 8 * 20, 80, 0.1336),
        (256, 1, 1, 0.1528),
        (256, 20, 20, 0.1474),
    ],
)
def test_weights_are_glorot_uniform_and_biases_zero(
    inputs: int, outputs: int, fan_out: int | None, bound: float
) -> None:
    layer = SeedLinear((2,), inputs, outputs)
    layer.glorot_(rngs(2), fan_out)
    for weight in layer.weight.detach():
        largest = float(weight.abs().max())
        assert largest <= bound + 5e-5
        assert largest > 0.95 * bound
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3.0), rel=0.1)
    assert bool((layer.bias == 0).all())
    assert not torch.equal(layer.weight[0], layer.weight[1])


def test_a_multi_head_network_draws_its_heads_with_the_bound_of_one_wide_matrix() -> None:
    made = HeadedNetwork((1,), 12, 8, 20, (256, 256))
    made.initialise(rngs(), head_fan_out=80)
    assert float(made.head.weight.detach().abs().max()) == pytest.approx(0.1336, abs=2e-4)
    weights = dict(made.named_parameters())
    assert float(weights["core.layers.0.weight"].detach().abs().max()) == pytest.approx(
        0.1496, abs=2e-3
    )
    assert float(weights["core.layers.1.weight"].detach().abs().max()) == pytest.approx(
        0.1083, abs=2e-4
    )
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            assert bool((parameter == 0).all())
    assert made.core.norm is not None and bool((made.core.norm.weight == 1).all())


def test_initialising_again_gives_a_fresh_network() -> None:
    made = network()
    made.initialise(rngs(2), head_fan_out=12)
    assert made.core.norm is not None
    assert bool((made.core.norm.weight == 1).all()) and bool((made.core.norm.bias == 0).all())


def test_slope_and_epsilon_are_the_published_ones() -> None:
    assert LEAKY_SLOPE == 0.2
    assert LAYER_NORM_EPS == 1e-3


@pytest.mark.parametrize("lead", [(1,), (3,), (2, 2)])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_a_core_is_torchs_layers_for_every_seed(lead: tuple[int, ...], layer_norm: bool) -> None:
    made = network(lead, layer_norm=layer_norm)
    x = draw(*lead, 7, 5)
    y = made.core(x)
    for index in np.ndindex(*lead):
        w = {name: parameter[index] for name, parameter in made.core.named_parameters()}
        hidden = F.linear(x[index], w["layers.0.weight"], w["layers.0.bias"])
        if layer_norm:
            normal = F.layer_norm(hidden, (8,), w["norm.weight"], w["norm.bias"], 1e-3)
            hidden = torch.tanh(normal)
        else:
            hidden = F.leaky_relu(hidden, 0.2)
        outputs = F.linear(hidden, w["layers.1.weight"], w["layers.1.bias"])
        torch.testing.assert_close(y[index], F.leaky_relu(outputs, 0.2), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("lead", [(2,), (2, 2)])
def test_head_h_owns_its_rows_and_the_gathered_path_equals_the_one_task_path(
    lead: tuple[int, ...],
) -> None:
    made = network(lead)
    x = draw(*lead, 6, 5)
    hidden = made.core(x)
    for task in range(3):
        one = made(x, task)
        rows = slice(4 * task, 4 * (task + 1))
        weight, bias = made.head.weight[..., rows, :], made.head.bias[..., rows]
        expected = hidden @ weight.transpose(-1, -2) + bias.unsqueeze(-2)
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)
        gathered = made(x, torch.full((2, 6), task))
        torch.testing.assert_close(gathered, one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lead", [(2,), (2, 2)])
def test_mixed_tasks_select_row_by_row(lead: tuple[int, ...]) -> None:
    made = network(lead)
    x = draw(*lead, 6, 5)
    tasks = torch.tensor([[0, 1, 2, 2, 1, 0], [1, 1, 0, 2, 0, 2]])
    mixed = made(x, tasks)
    for seed in range(2):
        for row in range(6):
            one = made(x, int(tasks[seed, row]))[seed, ..., row, :]
            torch.testing.assert_close(mixed[seed, ..., row, :], one, rtol=1e-6, atol=1e-6)


def test_other_heads_get_no_gradient() -> None:
    for task in (1, torch.ones(2, 6, dtype=torch.int64)):
        made = network()
        made(draw(2, 6, 5), task).sum().backward()
        gradient = made.head.weight.grad
        assert gradient is not None
        assert bool((gradient[:, 4:8] != 0).all())
        assert bool((gradient[:, :4] == 0).all()) and bool((gradient[:, 8:] == 0).all())


def test_the_head_index_does_not_matter_when_head_weights_are_identical() -> None:
    made = network()
    with torch.no_grad():
        made.head.weight.copy_(made.head.weight[:, :4].repeat(1, 3, 1))
        made.head.bias.copy_(made.head.bias[:, :4].repeat(1, 3))
    x = draw(2, 6, 5)
    assert torch.equal(made(x, 0), made(x, 2))


def test_with_one_head_every_task_uses_it() -> None:
    made = network(heads=1)
    x = draw(2, 6, 5)
    assert torch.equal(made(x, 0), made(x, 2))
    assert torch.equal(made(x, torch.ones(2, 6, dtype=torch.int64)), made(x, 0))


@pytest.mark.parametrize("batch, inputs, outputs", [(128, 12, 256), (5, 64, 8), (1, 3, 7)])
def test_exact_linear_is_torchs_linear_bit_for_bit(batch: int, inputs: int, outputs: int) -> None:
    ours, theirs = SeedLinear((1,), inputs, outputs), nn.Linear(inputs, outputs)
    ours.glorot_(rngs())
    with torch.no_grad():
        theirs.weight.copy_(ours.weight[0])
        theirs.bias.zero_()
    x = draw(batch, inputs)
    left = x.clone().requires_grad_(True)
    right = x.clone().requires_grad_(True)
    with exact_linear():
        y = ours(left.unsqueeze(0))
    expected = theirs(right)
    assert torch.equal(y[0], expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    assert ours.weight.grad is not None and theirs.weight.grad is not None
    assert torch.equal(ours.weight.grad[0], theirs.weight.grad)
    assert torch.equal(left.grad, right.grad)  # type: ignore[arg-type]


def test_frozen_passes_gradients_through_but_not_to_parameters() -> None:
    made, x = network(), draw(2, 6, 5).requires_grad_(True)
    with frozen(made):
        y = made(x, 0)
    y.sum().backward()
    assert x.grad is not None and bool((x.grad != 0).any())
    assert all(p.grad is None for p in made.parameters())
    assert all(p.requires_grad for p in made.parameters())


def test_frozen_leaves_alone_what_was_not_trained_before() -> None:
    made = Core((1,), 3, (4,), True)
    made.layers[0].bias.requires_grad_(False)
    with frozen(made):
        assert not any(p.requires_grad for p in made.parameters())
    assert not made.layers[0].bias.requires_grad
    assert made.layers[0].weight.requires_grad


def test_full_precision_is_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_layer_norm_is_torchs_with_its_own_gain_per_seed() -> None:
    layer = SeedLayerNorm((2,), 6)
    layer.weight.data, layer.bias.data = draw(2, 6), draw(2, 6, seed=1)
    x = draw(2, 5, 6, seed=2)
    for seed in range(2):
        expected = F.layer_norm(x[seed], (6,), layer.weight[seed], layer.bias[seed], eps=1e-3)
        torch.testing.assert_close(layer(x)[seed], expected, rtol=1e-5, atol=1e-6)
