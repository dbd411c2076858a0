"""A network of every seed by compiled code, as a function that autograd can go back through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clrl.agents.native.calls import Seeds
from clrl.agents.native.library import CNetwork, CNetworkCall
from clrl.agents.native.network import MAX_ROWS, describe, known, place, readable
from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.layers import HeadedNetwork


def outputs(
    network: HeadedNetwork,
    parameters: FlatParameters,
    x: Tensor,
    task: int | Tensor,
    described: CNetwork | None = None,
) -> Tensor:
    """Return what `network(x, task)` returns, with a graph to the network's parameters.

    Args:
        network: with leading axes (S,), one that compiled code computes (`refusal`).
        parameters: the network's.
        x: float32 inputs [S, B, inputs], for any B; they get no gradient.
        task: one task for the whole batch, or task ids [S, B].
        described: the network's description, if there is one already.

    Raises:
        ValueError: inputs or tasks of other shapes than compiled code reads.
    """
    x = x if x.stride(-1) == 1 else x.contiguous()
    shape = (network.lead[0], x.shape[1])
    if not shape[1] or not readable(x, (*shape, network.widths[0])):
        raise ValueError(
            f"inputs are {tuple(x.shape)}; needed is float32 (S, B, {network.widths[0]})"
        )
    if not known(task, shape, network.heads):
        raise ValueError(f"tasks are {task}; allowed are 0 to {network.heads - 1} for every row")
    described = described or describe(network, parameters)
    leaves = [parameter for parameter, _ in parameters.gradient_slots]
    found = []
    for some in [slice(n, n + MAX_ROWS) for n in range(0, x.shape[1], MAX_ROWS)]:
        own = task if isinstance(task, int) else task[:, some]
        made = Pass(network, parameters, described, x[:, some], own)
        found.append(_Outputs.apply(made, *leaves))
        if network.passes is not None:
            network.passes.append((made, found[-1]))
    return found[0] if len(found) == 1 else torch.cat(found, 1)


class Pass:
    """A batch on its way through a network, and all that its description has addresses of.

    Args: see `outputs`; at most MAX_ROWS rows.

    Attributes:
        call: the description, so far without `outputs` and `d_outputs`.
        read: the tensors of the batch that it has addresses of.
    """

    def __init__(
        self,
        network: HeadedNetwork,
        parameters: FlatParameters,
        described: CNetwork,
        x: Tensor,
        task: int | Tensor,
    ):
        self.network, self.parameters, self.x = network, parameters, x
        self.call = CNetworkCall(net=described)
        self.read = place(self.call, {"inputs": x}, task)


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, made: Pass, *leaves: Tensor) -> Tensor:
        seeds, n_rows = made.x.shape[:2]
        result = torch.empty(seeds, n_rows, made.network.outputs)
        made.call.outputs = result.data_ptr()
        ctx.calls, ctx.made = Seeds(seeds), made
        ctx.memory = ctx.calls.memory_to_keep(made.call, "network_scratch")
        ctx.calls.call_keeping("network_forward", made.call, ctx.memory)
        ctx.save_for_backward(made.parameters.flat, *leaves, *made.read)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> Any:
        assert ctx.saved_tensors  # which raises if one of them was changed since
        parameters, call = ctx.made.parameters, ctx.made.call
        gradient, d_outputs = torch.zeros_like(parameters.flat), d_outputs.contiguous()
        call.net.gradients, call.d_outputs = gradient.data_ptr(), d_outputs.data_ptr()
        ctx.calls.call_keeping("network_backward", call, ctx.memory)
        return None, *parameters.views(gradient).values()
