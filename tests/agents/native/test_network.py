"""A network as compiled code sees it."""

import ctypes
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clrl.agents.native.network import (
    describe,
    keep_hidden,
    known,
    misshapen,
    readable,
    refusal,
    rows,
)
from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.layers import LEAKY_SLOPE, HeadedNetwork, SeedLinear

LEAD = (3,)


def network(
    hidden: tuple[int, ...] = (20, 7), outputs: int = 2, heads: int = 4, **more: Any
) -> HeadedNetwork:
    return HeadedNetwork(LEAD, 5, outputs, heads, hidden, **more)


def test_a_description_says_where_every_parameter_is() -> None:
    net = network()
    flat = FlatParameters(dict(net.named_parameters()), LEAD)
    described = describe(net, flat)
    assert (described.layers, described.inputs, described.outputs, described.heads) == (2, 5, 2, 4)
    assert (described.normed, described.activation, list(described.units)[:3]) == (1, 1, [20, 7, 0])
    assert described.slope == pytest.approx(LEAKY_SLOPE)
    starts = {
        "core.layers.0.weight": described.weight[0], "core.layers.0.bias": described.bias[0],
        "core.layers.1.weight": described.weight[1], "core.layers.1.bias": described.bias[1],
        "core.norm.weight": described.gain, "core.norm.bias": described.shift,
        "head.weight": described.head_weight, "head.bias": described.head_bias,
    }  # fmt: skip
    named = dict(net.named_parameters())
    assert starts.keys() == named.keys()
    for name, start in starts.items():
        assert named[name].data_ptr() == described.values + 4 * start
    assert flat.grad is not None and described.gradients == flat.grad.data_ptr()


def test_a_network_that_is_not_trained_has_no_place_for_gradients() -> None:
    net = network(layer_norm=False, activation="tanh")
    flat = FlatParameters(dict(net.named_parameters()), LEAD, gradients=False)
    described = describe(net, flat)
    assert (described.gradients, described.normed, described.activation) == (None, 0, 3)


class Own(HeadedNetwork):
    pass


class OwnLayer(SeedLinear):
    pass


def with_own_layer() -> HeadedNetwork:
    net = network()
    net.core.layers[1] = OwnLayer(LEAD, 20, 7)
    return net


def with_own_core() -> HeadedNetwork:
    net = network()
    net.core = nn.Identity()  # type: ignore[assignment]
    return net


def with_own_norm() -> HeadedNetwork:
    net = network()
    net.core.norm = nn.LayerNorm(20)  # type: ignore[assignment]
    return net


def with_hook() -> HeadedNetwork:
    net = network()
    net.head.register_forward_hook(lambda *_: None)
    return net


def with_tape() -> HeadedNetwork:
    net = network()
    net.head.tape = []
    return net


def with_activation() -> HeadedNetwork:
    net = network()
    net.core.activation = torch.sigmoid
    return net


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Own(LEAD, 5, 2, 1, (8,)), "a network is a Own"),
        (with_own_core(), "the core of a network is a Identity"),
        (with_own_layer(), "a layer is a OwnLayer"),
        (with_own_norm(), "a layer norm is a LayerNorm"),
        (with_activation(), "an activation is none of leaky_relu, relu and tanh"),
        (with_hook(), "a SeedLinear has a hook"),
        (with_tape(), "a SeedLinear keeps what passes through it"),
        (network((4,) * 9), "a network has 9 hidden layers, more than 8"),
        (network((4, 1025)), "a hidden layer has 1025 units, more than 1024"),
        (network(outputs=65), "a head has 65 outputs, more than 64"),
        (nn.Linear(2, 2), "a network is a Linear"),
    ],
)
def test_what_compiled_code_does_not_compute_is_named(net: nn.Module, reason: str) -> None:
    assert refusal(net) == reason


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "tanh"])
def test_networks_of_ours_are_computed_up_to_the_limits(activation: Any) -> None:
    assert refusal(network((4,) * 8, activation=activation)) is None
    assert refusal(network((1024, 1), outputs=64, layer_norm=False)) is None
    assert refusal(Own(LEAD, 5, 2, 1, (8,)), Own) is None


def test_sizes_that_do_not_fit_are_found() -> None:
    net = network()
    assert misshapen(net, LEAD, 5, 2, 4) is None
    for wrong in (((2,), 5, 2, 4), ((3, 2), 5, 2, 4), (LEAD, 6, 2, 4), (LEAD, 5, 4, 2)):
        assert misshapen(net, *wrong) == "the layers of a network do not fit together"
    net.core.layers[1] = SeedLinear(LEAD, 19, 7)
    assert misshapen(net, LEAD, 5, 2, 4) is not None
    net = network()
    net.heads = 1
    assert misshapen(net, LEAD, 5, 2, 4) is not None
    net = network()
    assert net.core.norm is not None
    net.core.norm.bias = nn.Parameter(torch.zeros(*LEAD, 19))
    assert misshapen(net, LEAD, 5, 2, 4) is not None


def test_rows_are_where_a_tensor_has_them() -> None:
    tensor = torch.zeros(3, 10, 8)[:, 2:, 1:5]
    found = rows(tensor)
    assert (found.at, found.seed, found.row) == (tensor.data_ptr(), 80, 8)


def test_hidden_activations_get_tensors_of_their_own() -> None:
    pointers = (ctypes.c_void_p * 8)()
    tensors = keep_hidden(network(), 6, pointers)
    assert [tuple(t.shape) for t in tensors] == [(3, 6, 20), (3, 6, 7)]
    assert list(pointers)[:3] == [tensors[0].data_ptr(), tensors[1].data_ptr(), None]


@pytest.mark.parametrize(
    ("tensor", "readable_as"),
    [
        (torch.zeros(3, 6, 4), True),
        (torch.zeros(3, 6, 9)[..., 2:6], True),
        (torch.zeros(6, 3, 4).transpose(0, 1), True),
        (torch.zeros(1, 1, 4).expand(3, 6, 4), True),
        (torch.zeros(3, 4, 6).transpose(1, 2), False),
        (torch.zeros(3, 6, 8)[..., ::2], False),
        (torch.zeros(3, 6, 1).expand(3, 6, 4), False),
        (torch.zeros(3, 6, 3), False),
        (torch.zeros(3, 7, 4), False),
        (torch.zeros(2, 6, 4), False),
        (torch.zeros(3, 24), False),
        (torch.zeros(3, 6, 4, dtype=torch.float64), False),
        (torch.zeros(3, 6, 4, device="meta"), False),
        (torch.zeros(3, 6, 4, requires_grad=True), False),
    ],
)
def test_only_what_lies_as_compiled_code_reads_it_is_read(
    tensor: Tensor, readable_as: bool
) -> None:
    assert readable(tensor, (3, 6, 4)) is readable_as


def test_numbers_one_by_row_are_read_with_any_stride() -> None:
    assert readable(torch.zeros(6, 3).t(), (3, 6))
    assert readable(torch.zeros(3, 6, 5)[..., 2], (3, 6))
    assert readable(torch.zeros(3, 6, 5)[..., 2:3], (3, 6, 1))


IDS = torch.tensor([[0, 3], [1, 2]])


@pytest.mark.parametrize(
    ("task", "n_tasks", "expected"),
    [
        (0, 4, True), (3, 4, True), (4, 4, False), (-1, 4, False), (2**40, 4, False),
        (9, 1, True), (-9, 1, True),
        (IDS, 4, True), (IDS, 3, False), (IDS - 1, 4, False), (IDS, 1, True),
        (IDS.t(), 4, True), (IDS[:1].expand(2, 2), 4, True),
        (IDS.int(), 4, False), (IDS.to(torch.uint8), 4, False), (IDS.bool(), 4, False),
        (IDS[:1], 4, False), (IDS[:, :1], 4, False), (IDS.flatten(), 4, False),
        (IDS[:, :1], 1, False), (IDS.float(), 1, False), (IDS.to("meta"), 1, False),
    ],
)  # fmt: skip
def test_only_tasks_that_are_there_are_known(
    task: int | Tensor, n_tasks: int, expected: bool
) -> None:
    assert known(task, (2, 2), n_tasks) is expected
