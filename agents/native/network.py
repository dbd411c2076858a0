"""A network as the compiled code sees it: its description, its limits, its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clrl.agents.native.library import MAX_LAYERS, CNetwork, CRows
from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.layers import (
    LAYER_NORM_EPS,
    LEAKY_SLOPE,
    Core,
    HeadedNetwork,
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
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return f"a {type(module).__name__} has a forward hook"
    if len(layers) - 1 > MAX_LAYERS:
        return f"a network has {len(layers) - 1} hidden layers, more than {MAX_LAYERS}"
    if max(network.widths[1:]) > MAX_UNITS:
        return f"a hidden layer has {max(network.widths[1:])} units, more than {MAX_UNITS}"
    if network.outputs > MAX_OUTPUTS:
        return f"a head has {network.outputs} outputs, more than {MAX_OUTPUTS}"
    return None


def not_ours(learner: Any, names: Sequence[str], modules: Sequence[str]) -> str | None:
    """Return which of a learner's methods was not written in some modules; None if all were.

    A subclass, an object and a patched class may each have another.
    """
    for name in names:
        module = getattr(getattr(type(learner), name), "__module__", None)
        if name in vars(learner) or module not in modules:
            return f"`{name}` of {type(learner).__name__} is not the library's own"
    return None


def watched_parameters(learner: Any) -> list[tuple[Mapping[str, Any], str, Any]]:
    """Return where a learner has its flat parameters and gradients, for `Watched`."""
    places = [(vars(learner), name, vars(learner)[name]) for name in ("flats", "optimizers")]
    for part, flat in learner.flats.items():
        places.append((learner.flats, part, flat))
        places += [(vars(flat), name, vars(flat)[name]) for name in ("flat", "grad")]
    for part, optimizer in learner.optimizers.items():
        places += [(learner.optimizers, part, optimizer), (vars(optimizer), "grad", optimizer.grad)]
    return places


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


class Watched:
    """Objects that compiled code was made for, to be found unchanged before each of its calls.

    Args:
        places: (attributes, name, value) that must stay; None is for a name that must not appear.
        networks: modules of which every layer, parameter and activation must stay.
    """

    def __init__(
        self, places: Iterable[tuple[Mapping[str, Any], str, Any]], networks: Sequence[nn.Module]
    ):
        modules = [module for network in networks for module in network.modules()]
        self._places = list(places)
        for own in map(vars, modules):
            for kind in ("_modules", "_parameters"):
                self._places += [(own[kind], name, value) for name, value in own[kind].items()]
            self._places += [(own, "forward", None), (own, "activation", own.get("activation"))]
        self._hooks = [hooks for m in modules for hooks in (m._forward_hooks, m._forward_pre_hooks)]

    def unchanged(self) -> bool:
        """Return whether everything is as it was."""
        return all(at.get(name) is value for at, name, value in self._places) and not any(
            self._hooks
        )


def rows(tensor: Tensor) -> CRows:
    """Return where the numbers of a batch [S, B, ...] are."""
    return CRows(tensor.data_ptr(), tensor.stride(0), tensor.stride(1))


def keep_hidden(network: HeadedNetwork, n: int, pointers: Any) -> list[Tensor]:
    """Return tensors [*lead, n, units] for a network's hidden layers, and say where they are."""
    tensors = [torch.empty(*network.lead, n, units) for units in network.widths[1:]]
    for number, tensor in enumerate(tensors):
        pointers[number] = tensor.data_ptr()
    return tensors


def readable(tensor: Tensor) -> bool:
    """Return whether compiled code can read a tensor [S, B] or [S, B, n]."""
    last = tensor.dim() < 3 or tensor.shape[2] == 1 or tensor.stride(2) == 1
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and last


def _activation(core: Core) -> int | None:
    """Return the number of an activation in source/products.h."""
    used = core.activation
    if isinstance(used, partial) and used.func is F.leaky_relu:
        return 1 if used.keywords == {"negative_slope": LEAKY_SLOPE} and not used.args else None
    return _ACTIVATIONS.get(used)
