"""A network by compiled code inside of autograd."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.native.function import outputs
from clrl.agents.native.network import MAX_ROWS
from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.layers import Activation, HeadedNetwork
from tests.agents.paths import needs_compiled_code
from tests.agents.tiny import fill, sac

pytestmark = needs_compiled_code

SEEDS, INPUTS, OUTPUTS, HEADS = 3, 5, 4, 3


def make(
    hidden: tuple[int, ...] = (20, 7), heads: int = HEADS, **more: Any
) -> tuple[HeadedNetwork, FlatParameters]:
    network = HeadedNetwork((SEEDS,), INPUTS, OUTPUTS, heads, hidden, **more)
    parameters = FlatParameters(dict(network.named_parameters()), (SEEDS,))
    parameters.flat.copy_(numbers(len(parameters.flat)) * 0.4)
    return network, parameters


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def tasks(n: int) -> Tensor:
    return torch.arange(SEEDS * n).view(SEEDS, n) % HEADS


def gradients(network: HeadedNetwork, found: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 2, found.numel()).view(found.shape)
    return list(torch.autograd.grad((found * weights).sum(), list(network.parameters())))


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "tanh"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("n", [1, 3, 17, MAX_ROWS + 3])
def test_outputs_and_gradients_are_those_of_the_network(
    activation: Activation, layer_norm: bool, n: int
) -> None:
    network, parameters = make(activation=activation, layer_norm=layer_norm)
    x = numbers(SEEDS, n, INPUTS)
    for task in (2, tasks(n)):
        found, expected = outputs(network, parameters, x, task), network(x, task)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
        pairs = zip(gradients(network, found), gradients(network, expected), strict=True)
        for mine, other in pairs:
            assert (mine - other).norm() <= (2e-6 if n < MAX_ROWS else 5e-6) * other.norm()


def test_any_task_is_that_of_a_single_head() -> None:
    network, parameters = make(heads=1)
    x = numbers(SEEDS, 4, INPUTS)
    first = outputs(network, parameters, x, 7)
    assert torch.equal(first, outputs(network, parameters, x, torch.full((SEEDS, 4), -3)))


def test_inputs_that_lie_across_memory_are_copied() -> None:
    network, parameters = make()
    x = numbers(SEEDS, INPUTS, 7).mT
    assert torch.equal(
        outputs(network, parameters, x, 0), outputs(network, parameters, x.contiguous(), 0)
    )


def test_inputs_may_be_views() -> None:
    network, parameters = make()
    x = numbers(SEEDS, 8, INPUTS + 3)[:, ::2, 1 : 1 + INPUTS]
    of_views = outputs(network, parameters, x, tasks(8)[:, ::2])
    whole = outputs(network, parameters, x.contiguous(), tasks(8)[:, ::2].contiguous())
    assert torch.equal(of_views, whole)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(SEEDS, 4, INPUTS - 1),
        torch.zeros(SEEDS - 1, 4, INPUTS),
        torch.zeros(SEEDS, 0, INPUTS),
        torch.zeros(SEEDS, 4, INPUTS, dtype=torch.float64),
        torch.zeros(SEEDS, 4, INPUTS, requires_grad=True),
    ],
)
def test_inputs_that_it_would_misread_are_refused(x: Tensor) -> None:
    network, parameters = make()
    with pytest.raises(ValueError, match=r"inputs are .*needed is float32 \(S, B, 5\)"):
        outputs(network, parameters, x, 0)


@pytest.mark.parametrize("task", [3, -1, tasks(4) + 1, tasks(4).int(), tasks(3), tasks(4)[:1]])
def test_heads_that_are_not_there_are_refused(task: int | Tensor) -> None:
    network, parameters = make()
    with pytest.raises(ValueError, match="allowed are 0 to 2 for every row"):
        outputs(network, parameters, torch.zeros(SEEDS, 4, INPUTS), task)


@pytest.mark.parametrize("what", ["weights", "inputs", "tasks"])
def test_what_was_changed_before_the_way_back_is_an_error_as_in_torch(what: str) -> None:
    network, parameters = make()
    x, ids = numbers(SEEDS, 4, INPUTS), tasks(4)
    found = outputs(network, parameters, x, ids)
    {"weights": parameters.flat, "inputs": x, "tasks": ids}[what].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


def test_weights_may_be_replaced_before_the_way_back() -> None:
    network, parameters = make()
    x = numbers(SEEDS, 4, INPUTS)
    expected = gradients(network, outputs(network, parameters, x, 1))
    found = outputs(network, parameters, x, 1)
    parameters.flat = torch.zeros_like(parameters.flat)  # the old ones must stay alive
    assert all(map(torch.equal, gradients(network, found), expected))


def test_the_way_back_can_be_taken_twice_but_only_if_asked_for() -> None:
    network, parameters = make()
    found = outputs(network, parameters, numbers(SEEDS, 4, INPUTS), tasks(4)).sum()
    leaves = list(network.parameters())
    first = torch.autograd.grad(found, leaves, retain_graph=True)
    assert all(map(torch.equal, first, torch.autograd.grad(found, leaves)))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(found, leaves)


def test_passes_beside_each_other_do_not_share_memory() -> None:
    network, parameters = make()
    x, y = numbers(SEEDS, 4, INPUTS), numbers(SEEDS, 9, INPUTS)
    alone = gradients(network, outputs(network, parameters, x, 0))
    first, second = outputs(network, parameters, x, 0), outputs(network, parameters, y, 1)
    gradients(network, second)
    assert all(map(torch.equal, gradients(network, first), alone))


def test_a_gradient_of_a_gradient_is_refused() -> None:
    network, parameters = make()
    found = outputs(network, parameters, numbers(SEEDS, 4, INPUTS), 0).square().sum()
    (first,) = torch.autograd.grad(found, [network.head.bias], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_large_batch_is_predicted_by_compiled_code_and_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    agent = sac(seeds=(0, 1, 2), update="native")
    fill(agent)
    passes: list[Any] = []
    agent.actor.passes = passes
    agent.output_distributions(agent.sample(2 * MAX_ROWS + 1, 6, 0))
    assert [len(made.x[0]) for made, _ in passes] == [MAX_ROWS, MAX_ROWS, 1]
    assert not recwarn.list
