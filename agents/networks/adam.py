"""Parameters in one tensor per network, and Adam on it, with a seed axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clrl.agents.native import sums as native
from clrl.agents.networks.layers import is_exact

_ALIGN = 64  # floats


def seed_norms(tensors: Sequence[Tensor], compiled: bool = False) -> Tensor:
    """Return the norm over all tensors [S, ...] together, for each seed: [S].

    Args:
        tensors: parts of one vector per seed.
        compiled: whether compiled code adds up (`Learner.compiled`).
    """
    if compiled:
        return native.seed_dots(tensors, tensors).sqrt().float()
    n_seeds = tensors[0].shape[0]
    # One norm per tensor and seed: a reduction over a row of a larger tensor may be split over
    # threads in another way, and a seed would depend on its neighbours.
    parts = [tensor[s] for tensor in tensors for s in range(n_seeds)]
    if is_exact():
        parts = [part.contiguous() for part in parts]
    norms = torch._foreach_norm(parts)
    # Row by row: a sum over columns takes another order for another number of them.
    return torch.linalg.vector_norm(torch.stack(norms).view(-1, n_seeds).t().contiguous(), dim=1)


def clip_norm(gradients: Sequence[Tensor], max_norm: float, eps: float = 0.0) -> Tensor:
    """Scale each seed's gradient, in place, to a norm of at most max_norm.

    Args:
        gradients: parts [S, ...] of one gradient per seed.
        max_norm: the largest norm.
        eps: added to the norm, as torch's `clip_grad_norm_` does (1e-6) and TensorFlow's does not.

    Returns:
        the norms [S] before.
    """
    norm = seed_norms(gradients)
    scale = (max_norm / (norm + eps)).clamp(max=1.0)
    scales = {n: scale.view(-1, *[1] * (n - 1)) for n in {g.dim() for g in gradients}}
    torch._foreach_mul_(list(gradients), [scales[g.dim()] for g in gradients])
    return norm


def seed_dots(first: Sequence[Tensor], second: Sequence[Tensor], compiled: bool = False) -> Tensor:
    """Return the dot product of all tensors [S, ...] together, for each seed: [S].

    Args:
        first: parts of one vector per seed.
        second: those of the other.
        compiled: see `seed_norms`.
    """
    if compiled:
        return native.seed_dots(first, second).float()
    n_seeds = first[0].shape[0]
    products = torch._foreach_mul(list(first), list(second))
    # Per tensor and seed, and summed row by row, for the reasons given in `seed_norms`.
    sums = [product[s].sum() for product in products for s in range(n_seeds)]
    return torch.stack(sums).view(-1, n_seeds).t().contiguous().sum(1)


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

    Attributes:
        flat: the parameters.
        grad: their gradients; None where they are not trained.
        slots: where each one starts, and its shape.
        seed_slots: where each one starts, and how many numbers a seed has of it, [parameters, 2].
        gradient_slots: each one with its part of `grad`.
    """

    def __init__(
        self, named: Mapping[str, nn.Parameter], lead: tuple[int, ...], gradients: bool = True
    ):
        self.lead = lead
        self.slots: dict[str, tuple[int, torch.Size]] = {}
        self._strides: dict[str, list[int]] = {}
        size = 0
        for name, parameter in named.items():
            self.slots[name] = (size, parameter.shape)
            self._strides[name] = _strides(parameter.shape, parameter.dim() >= len(lead) + 2)
            size += parameter.numel()
        self.seed_slots = torch.tensor(
            [(start, math.prod(shape[1:])) for start, shape in self.slots.values()]
        )
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
        offset = tensor.storage_offset()
        return {
            name: tensor.as_strided(shape, self._strides[name], offset + start)
            for name, (start, shape) in self.slots.items()
        }

    def move_towards(self, other: FlatParameters, share: float) -> None:
        """Move every parameter by a share of the way to its like in another network.

        Raises:
            ValueError: the other has other parameters (both must be made to grow).
        """
        if self.slots != other.slots:
            names = sorted({n for n, _ in self.slots.items() ^ other.slots.items()})
            raise ValueError(f"the two networks differ in their parameters {', '.join(names)}")
        self.flat.lerp_(other.flat, share)


def _strides(shape: torch.Size, transposed: bool) -> list[int]:
    """Return the steps between a contiguous tensor's numbers, or those of one so transposed."""
    order = list(range(len(shape)))
    if transposed:
        order[-2:] = order[-1], order[-2]
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis], step = step, step * shape[axis]
    return strides


class Clock:
    """A step count that several optimizers share, and that a reset leaves as it is.

    Continual World's agent has one Keras Adam for all its parts: every part's step counts for the
    others, and its reset zeroes the moments only (continualworld/utils/utils.py).
    """

    def __init__(self) -> None:
        self.count = 0


class SeedAdam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) on flat parameters, all seeds at once.

    Args:
        parameters: what it trains.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        keras_eps: add `eps` before the bias correction of the second moment, as Keras (and so
            Continual World) does; the two forms agree once the step count is large.
        clock: a step count to share; None for one of its own.
        weight_decay: added to the gradient, times the parameters.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        keras_eps: bool = False,
        clock: Clock | None = None,
        weight_decay: float = 0.0,
    ):
        assert parameters.grad is not None
        self.parameters, self.grad = parameters, parameters.grad
        self.lr, self.betas, self.eps, self.keras_eps = lr, betas, eps, keras_eps
        self.exp_avg = torch.zeros_like(self.grad)
        self.exp_avg_sq = torch.zeros_like(self.grad)
        self.shared, self.clock = clock is not None, clock or Clock()
        self.weight_decay = weight_decay

    @property
    def step_count(self) -> int:
        """Steps taken since the last reset; with a shared clock, by all who share it, ever."""
        return self.clock.count

    def clip(self, max_norm: float, compiled: bool = False) -> Tensor:
        """Scale each seed's gradient to a norm of at most max_norm; returns the norms [S]."""
        if compiled:
            return native.clip([self.parameters], max_norm)
        return clip_norm([view for _, view in self.parameters.gradient_slots], max_norm)

    def step(self) -> None:
        """Move the parameters by one step."""
        self.clock.count += 1
        eps = self.eps
        if self.keras_eps:
            eps /= math.sqrt(1.0 - self.betas[1] ** self.step_count)
        if is_exact():
            self._plain_step(eps)
            return
        # The kernel behind torch.optim.Adam(fused=True), without the optimizer class, whose
        # bookkeeping costs as much as the kernel does on a small network.
        torch._fused_adam_(
            [self.parameters.flat],
            [self.grad],
            [self.exp_avg],
            [self.exp_avg_sq],
            [],
            [torch.full((), float(self.step_count), device=self.grad.device)],
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )

    def _plain_step(self, eps: float) -> None:
        """Do as torch.optim.Adam does on a CPU: the last bits differ from the fused kernel's."""
        first, second = (1.0 - beta**self.step_count for beta in self.betas)
        grad = self.grad
        if self.weight_decay:
            grad = grad.add(self.parameters.flat, alpha=self.weight_decay)
        self.exp_avg.lerp_(grad, 1.0 - self.betas[0])
        self.exp_avg_sq.mul_(self.betas[1]).addcmul_(grad, grad, value=1.0 - self.betas[1])
        root = (self.exp_avg_sq.sqrt() / second**0.5).add_(eps)
        self.parameters.flat.addcdiv_(self.exp_avg, root, value=-self.lr / first)

    def reset(self, clock: bool = False) -> None:
        """Forget the moments and, unless it is shared, the step count: a fresh optimizer.

        Args:
            clock: forget a shared step count, too.
        """
        self.exp_avg.zero_()
        self.exp_avg_sq.zero_()
        if clock or not self.shared:
            self.clock.count = 0

    def adopt(self, parameters: FlatParameters) -> None:
        """Train other parameters; those of the same name keep their moments."""
        assert parameters.grad is not None
        old = self.tensors()
        self.parameters, self.grad = parameters, parameters.grad
        self.exp_avg, self.exp_avg_sq = (torch.zeros_like(self.grad) for _ in range(2))
        for name, view in self.tensors().items():
            if name in old:
                view.copy_(old[name])

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
        self.clock.count = int(numbers["step"])
