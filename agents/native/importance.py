"""How important parameters are for what a network says, by compiled code (source/importance.h)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clrl.agents.native.calls import Seeds
from clrl.agents.native.function import Pass
from clrl.agents.native.library import CImportance
from clrl.agents.networks.layers import SeedBias

if TYPE_CHECKING:
    from clrl.agents.learner import Learner

Scalars = Callable[[Any], Sequence[Tensor]]
Magnitude = Callable[[Tensor], Tensor]
_ABSOLUTE = {torch.square: False, torch.abs: True}


def mean_magnitudes(
    learner: Learner, batch: Any, scalars_of: Scalars, magnitude: Magnitude, floor: float
) -> dict[str, Tensor] | None:
    """Return what `importance.mean_magnitudes` does; None where torch computes the network.

    A seed's bits depend on nothing but the seed.
    """
    if learner.engine() is None or magnitude not in _ABSOLUTE:
        return None
    with _passes(learner) as (passes, tapes):
        distribution = learner.output_distributions(batch)
    if not passes:
        return None
    taped = {name: tape[0][1] for name, tape in tapes.items() if tape}
    outputs = [result for _, result in passes]
    deltas = _deltas(distribution, scalars_of, [*outputs, *taped.values()])
    total, divisor = torch.zeros(()), sum(result.shape[1] for result in outputs)
    for (made, _), delta in zip(passes, deltas, strict=False):
        total = total + _of_pass(made, delta, _ABSOLUTE[magnitude], floor, divisor)
    found = passes[0][0].parameters.views(total)
    for name, delta in zip(taped, deltas[len(passes) :], strict=True):
        first, *others = magnitude(delta).unbind(1)
        rows = sum(others, first).clamp(min=floor)
        found[f"{name}.bias"] = torch.stack([own.clone().mean(0) for own in rows])
    return found


@contextlib.contextmanager
def _passes(
    learner: Learner,
) -> Iterator[tuple[list[tuple[Pass, Tensor]], dict[str, list[tuple[None, Tensor]]]]]:
    """Keep compiled passes of the learner's network, and what its biases put on their tapes."""
    network = learner.network()
    layers = {n: layer for n, layer in network.named_modules() if isinstance(layer, SeedBias)}
    passes: list[tuple[Pass, Tensor]] = []
    network.passes = passes  # type: ignore[assignment]
    for layer in layers.values():
        layer.tape = []
    try:
        yield passes, {name: layer.tape for name, layer in layers.items() if layer.tape is not None}
    finally:
        network.passes = None  # type: ignore[assignment]
        for layer in layers.values():
            layer.tape = None


def _deltas(distribution: Any, scalars_of: Scalars, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return every scalar's derivative with respect to each of the inputs: [S, scalars, B, ...].

    What the distribution is made of is at first taken seed by seed: torch rounds the last elements
    of a tensor differently in some functions, and adds up large ones by the number of threads. From
    there back to the inputs there are only products with one number.
    """
    parts = {f.name: getattr(distribution, f.name) for f in fields(distribution)}
    parts = {name: value for name, value in parts.items() if isinstance(value, Tensor)}
    seeds = []
    for seed in range(len(inputs[0])):
        own = {
            name: value[seed : seed + 1].detach().clone(memory_format=torch.contiguous_format)
            for name, value in parts.items()
        }
        leaves = [value.requires_grad_() for value in own.values()]
        seeds.append([_gradients([s], leaves) for s in scalars_of(replace(distribution, **own))])
    by_scalar = [
        [torch.cat(part) for part in zip(*own, strict=True)] for own in zip(*seeds, strict=True)
    ]
    found = [_gradients(list(parts.values()), inputs, pulls) for pulls in by_scalar]
    return [torch.stack(deltas, 1) for deltas in zip(*found, strict=True)]


def _gradients(
    of: Sequence[Tensor], inputs: Sequence[Tensor], pulls: Sequence[Tensor] | None = None
) -> tuple[Tensor, ...]:
    pulls = [torch.ones_like(value) for value in of] if pulls is None else pulls
    return torch.autograd.grad(of, inputs, pulls, retain_graph=True, materialize_grads=True)


def _of_pass(made: Pass, delta: Tensor, absolute: bool, floor: float, divisor: int) -> Tensor:
    """Return all parameters' importances, laid out like them, from [S, scalars, B, outputs]."""
    delta, result = delta.contiguous(), torch.zeros_like(made.parameters.flat)
    described = CImportance(
        call=made.call, scalars=delta.shape[1], absolute=absolute, divisor=divisor, floor=floor
    )
    described.call.net.gradients, described.call.d_outputs = result.data_ptr(), delta.data_ptr()
    Seeds(len(delta)).call("network_importance", described, "importance_scratch")
    return result
