"""A network of every seed by compiled code, as a function that autograd can go back through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clrl.agents.native.calls import Seeds
from clrl.agents.native.library import CNetworkCall
from clrl.agents.native.network import MAX_ROWS, describe, known, readable, rows
from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.layers import HeadedNetwork


def outputs(
    network: HeadedNetwork, parameters: FlatParameters, x: Tensor, task: int | Tensor
) -> Tensor:
    """Return what `network(x, task)` returns, with a graph to the network's parameters.

    Args:
        network: with leading axes (S,), one that compiled code computes (`refusal`).
        parameters: the network's.
        x: inputs [S, B, inputs]; they get no gradient.
        task: one task for the whole batch, or task ids [S, B].

    Raises:
        ValueError: inputs or tasks of other shapes, or more rows than compiled code reads.
    """
    shape = (network.lead[0], x.shape[1])
    few = 0 < shape[1] <= MAX_ROWS
    if not few or not readable(x, (*shape, network.widths[0])):
        raise ValueError(
            f"inputs are {tuple(x.shape)}; needed is float32 (S, B, {network.widths[0]})"
        )
    if not known(task, shape, network.heads):
        raise ValueError(f"tasks are {task}; allowed are 0 to {network.heads - 1} for every row")
    leaves = [parameter for parameter, _ in parameters.gradient_slots]
    found: Tensor = _Outputs.apply(network, parameters, x, task, *leaves)
    return found


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        network: HeadedNetwork,
        parameters: FlatParameters,
        x: Tensor,
        task: int | Tensor,
        *leaves: Tensor,
    ) -> Tensor:
        seeds, n_rows = x.shape[:2]
        result = torch.empty(seeds, n_rows, network.outputs)
        call = CNetworkCall(net=describe(network, parameters), rows=n_rows, inputs=rows(x))
        kept, saved = [result], [parameters.flat, *leaves, x]
        if isinstance(task, int):
            call.task = task
        else:
            saved.append(task)
            kept.append(task.contiguous())
            call.task_ids = kept[-1].data_ptr()
        call.outputs = result.data_ptr()
        ctx.calls, ctx.call, ctx.kept = Seeds(seeds), call, kept
        ctx.memory = ctx.calls.memory_to_keep(call, "network_scratch")
        ctx.calls.call_keeping("network_forward", call, ctx.memory)
        ctx.parameters = parameters
        ctx.save_for_backward(*saved)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> Any:
        assert ctx.saved_tensors  # which raises if one of them was changed since
        gradient, d_outputs = torch.zeros_like(ctx.parameters.flat), d_outputs.contiguous()
        ctx.call.net.gradients, ctx.call.d_outputs = gradient.data_ptr(), d_outputs.data_ptr()
        ctx.calls.call_keeping("network_backward", ctx.call, ctx.memory)
        return None, None, None, None, *ctx.parameters.views(gradient).values()
