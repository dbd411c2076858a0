"""Parameters in one tensor per network, and Adam on it, with a seed axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_ALIGN = 64  # floats


def seed_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm over all tensors [S, ...] together, for each seed: [S]."""
    n_seeds = tensors[0].shape[0]
    # One norm per tensor and seed: a reduction over a row of a larger tensor may be split over
    # threads in another way, and a seed would depend on its neighbours.
    norms = torch._foreach_norm([tensor[s] for tensor in tensors for s in range(n_seeds)])
    # Summed row by row: a sum over columns takes another order for another number of them.
    return torch.stack(norms).view(-1, n_seeds).square().t().contiguous().sum(1).sqrt()


class FlatParameters:
    """The parameters of one network as parts of one tensor `flat`; their gradients in `grad`.

    One operation then does an optimizer step or a Polyak average. Parameter after parameter, each
    contiguous with its leading axes: [*lead, ...]. The end is padded to a multiple of 64 floats,
    because torch's vectorised kernels round the last few elements of a tensor differently, and
    which elements are last depends on the number of seeds.

    Matrices lie transposed in memory, as x W^T multiplies them: their gradients then come out in
    the same layout, and storing one is a plain copy (10 times as fast as a transposing one).

    Args:
        named: the parameters by name, with the leading axes `lead`.
        lead: (S,) or (S, 2).
        gradients: whether the parameters are trained.
    """

    def __init__(
        self, named: Mapping[str, nn.Parameter], lead: tuple[int, ...], gradients: bool = True
    ):
        self.lead = lead
        self.slots: dict[str, tuple[int, torch.Size]] = {}
        size = 0
        for name, parameter in named.items():
            self.slots[name] = (size, parameter.shape)
            size += parameter.numel()
        device = next(iter(named.values())).device
        self.flat = torch.zeros(math.ceil(size / _ALIGN) * _ALIGN, device=device)
        self.grad = torch.zeros_like(self.flat) if gradients else None
        self.gradient_slots: list[tuple[nn.Parameter, Tensor]] = []
        for name, view in self.views(self.flat).items():
            view.copy_(named[name].detach())
            named[name].data = view
            named[name].requires_grad_(gradients)
        if self.grad is not None:
            self.gradient_slots = [(named[n], view) for n, view in self.views(self.grad).items()]

    def views(self, tensor: Tensor) -> dict[str, Tensor]:
        """Return each parameter's part [*lead, ...] of a tensor that is laid out like `flat`."""
        return {name: self._view(tensor, name) for name in self.slots}

    def _view(self, tensor: Tensor, name: str) -> Tensor:
        start, shape = self.slots[name]
        part = tensor[start : start + shape.numel()]
        if len(shape) < len(self.lead) + 2:
            return part.view(shape)
        return part.view(*shape[:-2], shape[-1], shape[-2]).transpose(-1, -2)


class SeedAdam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) on flat parameters, all seeds at once.

    Args:
        parameters: what it trains.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        keras_eps: add `eps` before the bias correction of the second moment, as Keras (and so
            Continual World) does; the two forms agree once the step count is large.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        keras_eps: bool = False,
    ):
        assert parameters.grad is not None
        self.parameters, self.grad = parameters, parameters.grad
        self.lr, self.betas, self.eps, self.keras_eps = lr, betas, eps, keras_eps
        self.exp_avg = torch.zeros_like(self.grad)
        self.exp_avg_sq = torch.zeros_like(self.grad)
        self.step_count = 0

    def clip(self, max_norm: float) -> Tensor:
        """Scale each seed's gradient to a norm of at most max_norm; returns the norms [S]."""
        slots = [view for _, view in self.parameters.gradient_slots]
        norm = seed_norms(slots)
        scale = max_norm / norm.clamp(min=max_norm)
        for view in slots:
            view.mul_(scale.view(-1, *[1] * (view.dim() - 1)))
        return norm

    def step(self) -> None:
        """Move the parameters by one step."""
        self.step_count += 1
        eps = self.eps
        if self.keras_eps:
            eps /= math.sqrt(1.0 - self.betas[1] ** self.step_count)
        # The kernel behind torch.optim.Adam(fused=True), without the optimizer class, whose
        # bookkeeping costs as much as the kernel does on a small network.
        torch._fused_adam_(
            [self.parameters.flat],
            [self.grad],
            [self.exp_avg],
            [self.exp_avg_sq],
            [],
            [torch.tensor(float(self.step_count), device=self.grad.device)],
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )

    def reset(self) -> None:
        """Forget the moments and the step count, as a fresh optimizer would."""
        self.exp_avg.zero_()
        self.exp_avg_sq.zero_()
        self.step_count = 0

    def tensors(self) -> dict[str, Tensor]:
        """Return both moments of every parameter."""
        first, second = self.parameters.views(self.exp_avg), self.parameters.views(self.exp_avg_sq)
        return {f"exp_avg.{name}": view for name, view in first.items()} | {
            f"exp_avg_sq.{name}": view for name, view in second.items()
        }

    def numbers(self) -> dict[str, Any]:
        """Return what is no tensor."""
        return {"step": self.step_count}

    def load(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Set moments and step count."""
        for name, view in self.tensors().items():
            view.copy_(tensors[name])
        self.step_count = int(numbers["step"])
