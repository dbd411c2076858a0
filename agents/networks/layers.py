"""Networks with a seed axis: S independent copies that share every matrix product.

Shapes: `lead` are the leading axes of every parameter, (S,) or (S, 2) for twin critics. A batch is
[*lead, B, features], a weight [*lead, out, in].
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.2  # tf.nn.leaky_relu, which the published network uses; torch's default is 0.01
LAYER_NORM_EPS = 1e-3  # Keras' default; torch's is 1e-5

Activation = Literal["leaky_relu", "tanh", "relu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "leaky_relu": partial(F.leaky_relu, negative_slope=LEAKY_SLOPE),
    "tanh": torch.tanh,
    "relu": F.relu,
}

_exact_linear = False


@contextlib.contextmanager
def exact_linear() -> Iterator[None]:
    """Compute at S = 1 bit for bit as `nn.Linear`, torch's own clip and its plain Adam do.

    For comparisons with other libraries; slower.
    """
    global _exact_linear
    _exact_linear = True
    try:
        yield
    finally:
        _exact_linear = False


def is_exact() -> bool:
    """Return whether this runs inside `exact_linear`."""
    return _exact_linear


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Multiply in plain float32 while acting.

    Products of few rows depend on how many seeds share them when torch may choose oneDNN.
    """
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Build a graph that passes gradients through a module but not to its parameters."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def multiply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W^T + b for every seed: [*lead, B, in] and [*lead, out, in] to [*lead, B, out]."""
    lead = weight.shape[:-2]
    if _exact_linear and math.prod(lead) == 1:
        only = (0,) * len(lead)
        # Copies, because layout and alignment of a matrix decide which kernel multiplies it.
        own = weight[only].clone(memory_format=torch.contiguous_format)
        flat = F.linear(x.reshape(x.shape[-2:]), own, bias[only].clone())
        return flat.reshape(*lead, *flat.shape)
    if len(lead) == 1 and weight.shape[-2] == 1:
        # A single matrix-vector product takes another kernel than several do.
        return (x * weight).sum(-1, keepdim=True) + bias.unsqueeze(1)
    if len(lead) == 1:
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
    flat = torch.baddbmm(
        bias.flatten(0, -2).unsqueeze(1), x.flatten(0, -3), weight.flatten(0, -3).transpose(1, 2)
    )
    return flat.view(*lead, *flat.shape[1:])


class SeedLinear(nn.Module):
    """A linear layer per seed: weight [*lead, out, in], bias [*lead, out].

    While `tape` is a list, every call appends its input and output to it (`Learner.recording`).
    """

    def __init__(self, lead: Sequence[int], inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*lead, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(*lead, outputs))
        self.tape: list[tuple[Tensor, Tensor]] | None = None

    def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
        """Return the layer's outputs, or only those of some rows of the weight."""
        if rows is None:
            y = multiply(x, self.weight, self.bias)
        else:
            y = multiply(x, self.weight[..., rows, :], self.bias[..., rows])
        if self.tape is not None:
            self.tape.append((x, y))
        return y

    def glorot_(self, rngs: Sequence[np.random.Generator], fan_out: int | None = None) -> None:
        """Draw Glorot-uniform weights, each seed from its own generator; biases are 0 (Keras)."""
        inputs, outputs = self.weight.shape[-1], self.weight.shape[-2]
        bound = math.sqrt(6.0 / (inputs + (fan_out or outputs)))
        with torch.no_grad():
            for weight, rng in zip(self.weight, rngs, strict=True):
                draw = rng.uniform(-bound, bound, size=tuple(weight.shape))
                weight.copy_(torch.from_numpy(draw))
            self.bias.zero_()


class SeedLayerNorm(nn.Module):
    """Layer normalisation per seed: gain and bias [*lead, features]."""

    def __init__(self, lead: Sequence[int], features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(*lead, features))
        self.bias = nn.Parameter(torch.zeros(*lead, features))
        self.tape: list[tuple[Tensor, Tensor]] | None = None

    def reset(self) -> None:
        """Set gains to 1 and biases to 0."""
        with torch.no_grad():
            self.weight.fill_(1.0)
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each row over its features. The tape keeps the normalised rows as input."""
        normal = F.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)
        y = torch.addcmul(self.bias.unsqueeze(-2), normal, self.weight.unsqueeze(-2))
        if self.tape is not None:
            self.tape.append((normal, y))
        return y


class SeedBias(nn.Module):
    """Outputs per seed that do not depend on the input: bias [*lead, outputs].

    The tape keeps no input: (None, output), the output with a row for every row of the batch.
    """

    def __init__(self, lead: Sequence[int], outputs: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(*lead, outputs))
        self.tape: list[tuple[None, Tensor]] | None = None


class Core(nn.Module):
    """The body of Continual World's networks (arXiv 2105.10919; continualworld/sac/models.py).

    First layer: linear, layer norm, tanh; the others: linear, leaky ReLU. Without layer norm every
    layer has the same activation. Returns the last hidden layer [*lead, B, width].
    """

    def __init__(
        self,
        lead: Sequence[int],
        inputs: int,
        hidden: Sequence[int],
        layer_norm: bool,
        activation: Activation = "leaky_relu",
    ):
        super().__init__()
        self.activation = _ACTIVATIONS[activation]
        sizes = [inputs, *hidden]
        self.layers = nn.ModuleList(
            SeedLinear(lead, a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.norm = SeedLayerNorm(lead, hidden[0]) if layer_norm else None
        self.kept: list[Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the last hidden layer."""
        trains = torch.is_grad_enabled() and next(self.parameters()).requires_grad
        for position, layer in enumerate(self.layers):
            x = layer(x)
            if position == 0 and self.norm is not None:
                x = torch.tanh(self.norm(x))
            else:
                x = self.activation(x)
            if self.kept is not None and trains:
                self.kept.append(x.detach())
        return x


class HeadedNetwork(nn.Module):
    """A core with one output head per task.

    Head h owns rows h*outputs .. (h+1)*outputs of the head's weight. With a single head every task
    uses it.

    Args:
        lead: leading axes of every parameter, (S,) or (S, 2).
        inputs: width of the input.
        outputs: width of one head's output.
        heads: number of heads, 1 or the number of tasks.
        hidden: widths of the hidden layers.
        layer_norm: layer norm and tanh after the first layer.
        activation: after the other layers.

    Attributes:
        passes: while a list, compiled passes append themselves and their outputs.
    """

    def __init__(
        self,
        lead: Sequence[int],
        inputs: int,
        outputs: int,
        heads: int,
        hidden: Sequence[int],
        layer_norm: bool = True,
        activation: Activation = "leaky_relu",
    ):
        super().__init__()
        self.lead, self.outputs, self.heads = tuple(lead), outputs, heads
        self.core = Core(lead, inputs, hidden, layer_norm, activation)
        self.head = SeedLinear(lead, hidden[-1], outputs * heads)
        self.passes: list[Any] | None = None

    @property
    def widths(self) -> list[int]:
        """Units of the input and of every hidden layer."""
        layers = [layer for layer in self.core.layers if isinstance(layer, SeedLinear)]
        return [layers[0].weight.shape[-1], *(layer.weight.shape[-2] for layer in layers)]

    def initialise(self, rngs: Sequence[np.random.Generator], head_fan_out: int) -> None:
        """Draw all weights as Keras does, each seed from its own generator."""
        for layer in self.core.layers:
            assert isinstance(layer, SeedLinear)
            layer.glorot_(rngs)
        if self.core.norm is not None:
            self.core.norm.reset()
        self.head.glorot_(rngs, fan_out=head_fan_out)

    def forward(self, x: Tensor, task: int | Tensor) -> Tensor:
        """Return the outputs of the tasks' heads: [*lead, B, outputs].

        Args:
            x: inputs [*lead, B, inputs].
            task: one task for the whole batch (multiplies its head only), or task ids [S, B].
        """
        hidden = self.core(x)
        if self.heads == 1:
            return self.head(hidden)
        if isinstance(task, int):
            return self.head(hidden, slice(task * self.outputs, (task + 1) * self.outputs))
        every = self.head(hidden).unflatten(-1, (self.heads, self.outputs))
        index = task.view(task.shape[0], *[1] * (len(self.lead) - 1), -1, 1, 1)
        index = index.expand(*every.shape[:-2], 1, self.outputs)
        return every.gather(-2, index).squeeze(-2)


@contextlib.contextmanager
def keeping_hidden(networks: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Keep the activations of the passes that train each network's core, {name: one per layer}."""
    cores: dict[str, Core] = {}
    for name, network in networks.items():
        if isinstance(core := getattr(network, "core", None), Core):
            cores[name] = core
    kept: dict[str, list[Tensor]] = {name: [] for name in cores}
    for name, core in cores.items():
        core.kept = kept[name]
    try:
        yield kept
    finally:
        for core in cores.values():
            core.kept = None
        for name in [name for name, passes in kept.items() if not passes]:
            del kept[name]


Recorder = SeedLinear | SeedLayerNorm | SeedBias


def of_task(values: Tensor, task: int | Tensor) -> Tensor:
    """Return a batch's values of [S, tasks] or [S, 1]: [S, 1], or [S, B] for task ids [S, B]."""
    if values.shape[1] == 1:
        return values
    return values[:, task : task + 1] if isinstance(task, int) else values.gather(1, task)


def recorders(module: nn.Module) -> dict[str, Recorder]:
    """Return the layers of a module that can keep a tape, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, Recorder)}
