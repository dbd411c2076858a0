"""Output heads of single tasks: which entries are theirs, and how they come to rest."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from clrl.agents.networks.adam import FlatParameters, SeedAdam

HEADS = ("head.", "log_std.", "value")
"""How the names of parameters begin that have a block of rows for every head: outputs, PPO's action
noise, SAC's entropy coefficients."""


def head_rows(network: nn.Module, tensors: Mapping[str, Tensor], task: int) -> dict[str, Tensor]:
    """Return, as views, the rows of one task's head; {} where all tasks share one.

    Args:
        network: with `heads` and the leading axes `lead`, where it has several heads.
        tensors: laid out as its parameters, by their names.
        task: the task.
    """
    heads = int(getattr(network, "heads", 1))
    if heads == 1:
        return {}
    axis = len(network.lead)  # type: ignore[arg-type]
    mine = {name: tensor for name, tensor in tensors.items() if name.startswith(HEADS)}
    sizes = {name: tensor.shape[axis] // heads for name, tensor in mine.items()}
    return {name: t.narrow(axis, task * sizes[name], sizes[name]) for name, t in mine.items()}


def rest_heads(
    optimizers: Mapping[str, SeedAdam], modules: Mapping[str, nn.Module], task: int
) -> None:
    """Forget the moments of a finished task's heads, which would move them without a gradient."""
    for part, optimizer in optimizers.items():
        for moment in (optimizer.exp_avg, optimizer.exp_avg_sq):
            views = optimizer.parameters.views(moment)
            for rows in head_rows(modules[part], views, task).values():
                rows.zero_()


def decay_weights(flat: FlatParameters, network: nn.Module, task: int, share: float) -> None:
    """Add a share of the weights to their gradients, but none of other tasks' heads."""
    assert flat.grad is not None
    values, gradients = flat.views(flat.flat), flat.views(flat.grad)
    values |= head_rows(network, values, task)
    gradients |= head_rows(network, gradients, task)
    for name, gradient in gradients.items():
        gradient.add_(values[name], alpha=share)
