"""A network as the compiled code sees it: its description, its limits, its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clrl.agents.native.library import MAX_LAYERS, CNetwork, CRows
from clrl.agents.native.watched import CLASSES, home_of, hooks_of
from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.layers import (
    LAYER_NORM_EPS,
    LEAKY_SLOPE,
    Core,
    HeadedNetwork,
    SeedBias,
    SeedLayerNorm,
    SeedLinear,
)

MAX_UNITS = 1024
MAX_OUTPUTS = 64
MAX_ROWS = 1024
_ACTIVATIONS = {F.relu: 2, torch.tanh: 3}


def refusal(network: nn.Module, kind: type[HeadedNetwork] = HeadedNetwork) -> str | None:
    """Return why compiled code does not compute a network, None if it does."""
    if type(network) is not kind:
        return f"a network is a {type(network).__name__}"
    if type(network.core) is not Core:
        return f"the core of a network is a {type(network.core).__name__}"
    layers = [*network.core.layers, network.head]
    for layer in layers:
        if type(layer) is not SeedLinear:
            return f"a layer is a {type(layer).__name__}"
    if type(network.core.norm) not in (SeedLayerNorm, type(None)):
        return f"a layer norm is a {type(network.core.norm).__name__}"
    if _activation(network.core) is None:
        return "an activation is none of leaky_relu, relu and tanh"
    for module in network.modules():
        if any(hooks_of(module)) or "forward" in vars(module):
            return f"a {type(module).__name__} has a hook"
        keeps = any(vars(module).get(name) is not None for name in ("tape", "kept"))
        if keeps and not isinstance(module, SeedBias):  # which torch adds
            return f"a {type(module).__name__} keeps what passes through it"
    for written in CLASSES:
        if home_of(vars(written)["forward"]) != written.__module__:
            return f"`forward` of {written.__name__} is not the library's own"
    if len(layers) - 1 > MAX_LAYERS:
        return f"a network has {len(layers) - 1} hidden layers, more than {MAX_LAYERS}"
    if max(network.widths[1:]) > MAX_UNITS:
        return f"a hidden layer has {max(network.widths[1:])} units, more than {MAX_UNITS}"
    if network.outputs > MAX_OUTPUTS:
        return f"a head has {network.outputs} outputs, more than {MAX_OUTPUTS}"
    return None


def misshapen(
    network: HeadedNetwork,
    lead: tuple[int, ...],
    inputs: int,
    outputs: int,
    heads: int,
    more: Mapping[str, tuple[int, ...]] | None = None,
) -> str | None:
    """Return which sizes of a network are not those that a learner has; None if all are.

    Args:
        network: of the learner.
        lead: what it should have, and so on.
        inputs: see `HeadedNetwork`.
        outputs: of one head.
        heads: how many.
        more: parameters beside those of layers, with their shapes.
    """
    shapes: dict[str, tuple[int, ...]] = {"head.bias": (*lead, heads * outputs), **(more or {})}
    above = [*network.widths[1:], heads * outputs]
    names = [f"core.layers.{number}" for number in range(len(above) - 1)]
    for name, width, units in zip([*names, "head"], [inputs, *above], above, strict=False):
        shapes |= {f"{name}.weight": (*lead, units, width), f"{name}.bias": (*lead, units)}
    if network.core.norm is not None:
        shapes |= {f"core.norm.{name}": (*lead, above[0]) for name in ("weight", "bias")}
    found = {name: tuple(p.shape) for name, p in network.named_parameters()}
    own = (network.lead, network.outputs, network.heads)
    if found == shapes and own == (lead, outputs, heads):
        return None
    return "the layers of a network do not fit together"


def describe(network: HeadedNetwork, parameters: FlatParameters) -> CNetwork:
    """Return the description of a network whose parameters lie in a flat tensor.

    It holds addresses in that tensor: the parameters must outlive it.
    """
    core, places = network.core, {name: start for name, (start, _) in parameters.slots.items()}
    activation = _activation(core)
    assert activation is not None
    described = CNetwork(
        layers=len(core.layers),
        inputs=network.widths[0],
        outputs=network.outputs,
        heads=network.heads,
        normed=core.norm is not None,
        activation=activation,
        slope=LEAKY_SLOPE,
        epsilon=LAYER_NORM_EPS,
        gain=places.get("core.norm.weight", 0),
        shift=places.get("core.norm.bias", 0),
        head_weight=places["head.weight"],
        head_bias=places["head.bias"],
        values=parameters.flat.data_ptr(),
        gradients=None if parameters.grad is None else parameters.grad.data_ptr(),
    )
    for number, units in enumerate(network.widths[1:]):
        described.units[number] = units
        described.weight[number] = places[f"core.layers.{number}.weight"]
        described.bias[number] = places[f"core.layers.{number}.bias"]
    return described


def rows(tensor: Tensor) -> CRows:
    """Return where the numbers of a batch [S, B, ...] are."""
    return CRows(tensor.data_ptr(), tensor.stride(0), tensor.stride(1))


def place(description: Any, tensors: Mapping[str, Tensor], task: int | Tensor) -> list[Tensor]:
    """Say in a description where a batch's tensors [S, B, ...] are, and its task.

    Returns:
        what must outlive the call that reads them.
    """
    for name, tensor in tensors.items():
        setattr(description, name, rows(tensor))
    read = list(tensors.values())
    description.rows = read[0].shape[1]
    if isinstance(task, int):
        description.task, description.task_ids = task, None
    else:
        read.append(task.contiguous())
        description.task_ids = read[-1].data_ptr()
    return read


def keep_hidden(network: HeadedNetwork, n: int, pointers: Any) -> list[Tensor]:
    """Return tensors [*lead, n, units] for a network's hidden layers, and say where they are."""
    tensors = [torch.empty(*network.lead, n, units) for units in network.widths[1:]]
    for number, tensor in enumerate(tensors):
        pointers[number] = tensor.data_ptr()
    return tensors


def readable(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Return whether compiled code can read a tensor as one of shape [S, B] or [S, B, n].

    Its result would have no graph to a tensor that needs a gradient.
    """
    if tensor.shape != shape or not tensor.is_cpu or tensor.dtype != torch.float32:
        return False
    return not tensor.requires_grad and (len(shape) < 3 or shape[2] == 1 or tensor.stride(2) == 1)


def known(task: int | Tensor, shape: tuple[int, ...], n_tasks: int) -> bool:
    """Return whether compiled code can read a batch's tasks: one, or ids of shape [S, B].

    Args:
        task: one, or ids.
        shape: (S, B).
        n_tasks: how many there are; of a single one no id is read.
    """
    if isinstance(task, int):
        return n_tasks == 1 or 0 <= task < n_tasks
    if task.shape != shape or not task.is_cpu or task.dtype != torch.int64:
        return False
    if n_tasks == 1:
        return True
    least, most = torch.aminmax(task)
    return 0 <= int(least) and int(most) < n_tasks


def _activation(core: Core) -> int | None:
    """Return the number of an activation in source/products.h."""
    used = core.activation
    if isinstance(used, partial) and used.func is F.leaky_relu:
        return 1 if used.keywords == {"negative_slope": LEAKY_SLOPE} and not used.args else None
    return _ACTIVATIONS.get(used)
