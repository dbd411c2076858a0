"""What compiled code was made for, and whether it is still so before each of its calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor, nn

from clrl.agents.networks.layers import Core, HeadedNetwork, SeedBias, SeedLayerNorm, SeedLinear

Place = tuple[dict[str, Any], str, Any]
"""Attributes or items, a name in them, and what must stay there."""
CLASSES = (HeadedNetwork, Core, SeedLinear, SeedLayerNorm)
"""What compiled code does the `forward` of."""
_SET_ON_LAYERS = ("activation", "tape", "kept", "lead", "outputs", "heads")
_NEEDS_GRADIENT, _HOOKS = attrgetter("requires_grad"), attrgetter("_backward_hooks")


def not_ours(learner: Any, names: Sequence[str], modules: Sequence[str]) -> str | None:
    """Return which of a learner's methods was not written in some modules; None if all were.

    The same of a part of it, such as a network.

    A subclass, an object and a patched class may each have another.
    """
    for name in names:
        if name in vars(learner) or home_of(getattr(type(learner), name)) not in modules:
            return f"`{name}` of {type(learner).__name__} is not the library's own"
    return None


def home_of(function: Any) -> str:
    """Return the module that a function was written in.

    `__module__` would not tell: `functools.wraps` copies it. Torch's `no_grad` counts as what it
    decorates.
    """
    home = getattr(function, "__globals__", {}).get("__name__", "")
    inside = getattr(function, "__wrapped__", None)
    return home_of(inside) if inside is not None and home.startswith("torch.") else home


def misplaced(learner: Any) -> str | None:
    """Return what a learner's flat tensors do not hold as compiled code takes it; None if all is.

    Addresses are made of them, so each parameter must be exactly its part of one.
    """
    modules = learner.modules()
    for part, flat in learner.flats.items():
        named, views = dict(modules[part].named_parameters()), flat.views(flat.flat)
        if named.keys() != views.keys():
            return f"the parameters of {part} are not those of its flat tensor"
        if not all(named[name].is_set_to(view) for name, view in views.items()):
            return f"a parameter of {part} lies outside of its flat tensor"
        trained = part in learner.optimizers
        if any(_differentiated(p) is not trained for p in named.values()):
            return f"a parameter of {part} has a hook, or needs no gradient"
        tensors = [flat.flat, flat.grad, learner.optimizers[part].grad] if trained else [flat.flat]
        if not all(like(tensor, flat.flat) for tensor in tensors):
            return f"values or gradients of {part} are not contiguous float32 on the CPU"
        if trained and (
            tensors[1] is not tensors[2] or learner.optimizers[part].parameters is not flat
        ):
            return f"the optimizer of {part} trains other parameters"
    return None


def like(tensor: Tensor, other: Tensor) -> bool:
    """Return whether compiled code can use a tensor in place of another, a flat one."""
    plain = tensor.is_cpu and tensor.dtype == torch.float32 and tensor.is_contiguous()
    return plain and tensor.shape == other.shape and not tensor.requires_grad


def _differentiated(parameter: Tensor) -> bool | None:
    """Return whether a parameter needs a gradient; None if a hook would change it."""
    return None if parameter._backward_hooks else parameter.requires_grad


def watched_parameters(learner: Any) -> list[Place]:
    """Return where a learner has its flat parameters and gradients, for `Watched`."""
    places = [(vars(learner), name, vars(learner)[name]) for name in ("flats", "optimizers")]
    for part, flat in learner.flats.items():
        places.append((learner.flats, part, flat))
        places += [(vars(flat), name, vars(flat)[name]) for name in ("flat", "grad")]
    for part, optimizer in learner.optimizers.items():
        places.append((learner.optimizers, part, optimizer))
        own = vars(optimizer)
        places += [(own, name, own[name]) for name in ("parameters", "grad")]
    return places


class Watched:
    """Objects that compiled code was made for, to be found unchanged before each of its calls.

    Args:
        learner: with networks in flat parameters.
        names: its methods that compiled code stands in for; none may be replaced.
        places: (attributes, name, value) that must stay.
        networks: modules of which every layer, parameter and activation must stay.
        of_parts: more that it stands in for: objects of the learner, and names of their methods.
    """

    def __init__(
        self,
        learner: Any,
        names: Sequence[str],
        places: Iterable[Place],
        networks: Sequence[nn.Module],
        of_parts: Iterable[tuple[Any, Sequence[str]]] = (),
    ):
        kind, modules = type(learner), [m for network in networks for m in network.modules()]
        self._learner, self._kind = learner, kind
        methods = [(kind, name) for name in names] + [(c, "forward") for c in CLASSES]
        methods += [(type(part), name) for part, own in of_parts for name in own]
        self._of_classes = [(owner, name, getattr(owner, name)) for owner, name in methods]
        held = [*places, *((vars(learner), name, None) for name in names)]
        own = [vars(module) for module in modules]
        inner = [of[held_in] for of in own for held_in in ("_modules", "_parameters")]
        held += [(of, name, value) for of in inner for name, value in of.items()]
        layers = [vars(module) for module in modules if not isinstance(module, SeedBias)]
        held += [(of, name, of[name]) for of in layers for name in _SET_ON_LAYERS if name in of]
        self._dicts, self._names, self._values = zip(*held, strict=True)
        # Whatever is new in one of them counts.
        self._growing = [*inner, *own, learner.flats, learner.optimizers]
        self._sizes = [len(of) for of in self._growing]
        self._modules, self._classes = modules, [type(module) for module in modules]
        self._hooks = [hooks for module in modules for hooks in hooks_of(module)]
        named = {part: dict(m.named_parameters()) for part, m in learner.modules().items()}
        self._parameters = [
            named[part][n] for part, flat in learner.flats.items() for n in flat.slots
        ]
        self._addresses = [parameter.data_ptr() for parameter in self._parameters]
        self._trained = [parameter.requires_grad for parameter in self._parameters]

    def unchanged(self) -> bool:
        """Return whether everything is as it was.

        Every update asks: loops are left to `map`, which takes a third of the time.
        """
        parameters = self._parameters
        return (
            type(self._learner) is self._kind
            and all(map(is_, map(dict.get, self._dicts, self._names), self._values))
            and list(map(len, self._growing)) == self._sizes
            and list(map(type, self._modules)) == self._classes
            and all([getattr(owner, name) is value for owner, name, value in self._of_classes])
            and list(map(Tensor.data_ptr, parameters)) == self._addresses
            and list(map(_NEEDS_GRADIENT, parameters)) == self._trained
            and not any(map(_HOOKS, parameters))
            and not any(self._hooks)
        )


def hooks_of(module: nn.Module) -> list[Mapping[int, Any]]:
    """Return where torch keeps what a module's pass calls besides `forward`."""
    own = (module._forward_hooks, module._forward_pre_hooks)
    return [*own, module._backward_hooks, module._backward_pre_hooks]
