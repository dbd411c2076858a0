"""What a method may use of a learner, and the one update that calls the method's hooks."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from clrl.agents.adam import FlatParameters, SeedAdam
from clrl.agents.networks import SeedLayerNorm, SeedLinear, recorders
from clrl.agents.randomness import Streams

if TYPE_CHECKING:
    from clrl.agents.methods.base import Method


class NonFinite(ValueError):
    """A loss or parameter that is not a finite number; the message names it, seed and task."""


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian policy before squashing.

    Attributes:
        mean: [S, B, A].
        std: [S, B, A].
        squash: whether actions are tanh of its samples.
    """

    mean: Tensor
    std: Tensor
    squash: bool = False


@dataclass(frozen=True)
class Categorical:
    """Class probabilities, given by logits [S, B, classes]."""

    logits: Tensor


def report_names(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return losses under the names of the training log: actor/loss, ..., method/penalty."""
    return {
        "method/penalty" if name == "penalty" else f"{name}/loss": loss
        for name, loss in losses.items()
    }


class Learner(ABC):
    """SAC, PPO or the classifier, as a method sees it.

    Attributes:
        method: the continual-learning method whose hooks `update` calls.
        seeds: the seeds trained side by side; every tensor has them as leading axis.
        n_tasks: length of the sequence.
        task: position of the current task.
        streams: the random generators.
        flats: parameters of each network in one tensor, by part.
        optimizers: one per trained part, in the order they step.
        max_grad_norm: clip of each part's gradient norm, per seed; None for no clip.
    """

    method: Method
    seeds: tuple[int, ...]
    n_tasks: int
    task: int
    streams: Streams
    flats: dict[str, FlatParameters]
    optimizers: dict[str, SeedAdam]
    max_grad_norm: float | None = None

    @property
    def n_seeds(self) -> int:
        """Number of seeds trained side by side."""
        return len(self.seeds)

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network that methods act on (the policy, or the classifier)."""

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return {part: loss [S]}, a pure function of weights and batch.

        Each part's loss has gradients for that part's own parameters only.
        """

    @abstractmethod
    def sample(self, n: int | None, role: int) -> Any:
        """Draw a batch of the current task's data, n rows per seed (None: the batch size).

        Rows and noise come from the generators of `role`.
        """

    @abstractmethod
    def output_distributions(self, batch: Any) -> Gaussian | Categorical:
        """Return what the network predicts for a batch, with gradients."""

    @abstractmethod
    def make_optimizers(self) -> None:
        """Gather the networks' parameters in `flats` and give each trained part an optimizer."""

    def after_step(self) -> None:  # noqa: B027 - most learners need nothing here
        """Do what follows an optimizer step (Polyak averaging)."""

    def protected_parameters(self) -> dict[str, nn.Parameter]:
        """Return what methods protect: the shared core, or with a single head the whole network.

        Keys are names in `flats[self.protected_part]`.
        """
        network = self.network()
        return {
            name: parameter
            for name, parameter in network.named_parameters()
            if getattr(network, "heads", 1) == 1 or not name.startswith("head.")
        }

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of `network()`'s parameters, to be changed in place."""
        parameters = self.optimizers[self.protected_part].parameters
        return dict(zip(parameters.slots, (g for _, g in parameters.gradient_slots), strict=True))

    @property
    def protected_part(self) -> str:
        """Key of `flats` and `optimizers` that holds `network()`."""
        return next(iter(self.optimizers))

    def generators(self, role: int) -> Sequence[np.random.Generator]:
        """Return the generators of a role, one per seed."""
        return self.streams.of(role)

    @contextlib.contextmanager
    def recording(self) -> Iterator[dict[str, SeedLinear | SeedLayerNorm]]:
        """Let linear and norm layers of `network()` keep input and output of each call.

        The closed forms of Fisher and MAS importance read them from `layer.tape`.
        """
        layers = recorders(self.network())
        for layer in layers.values():
            layer.tape = []
        try:
            yield layers
        finally:
            for layer in layers.values():
                layer.tape = None

    def reset_optimizers(self) -> None:
        """Give every part a fresh optimizer."""
        for optimizer in self.optimizers.values():
            optimizer.reset()

    def update(self, batch: Any) -> dict[str, Tensor]:
        """Take one gradient step on a batch. The only place that calls the update's hooks.

        Losses are summed over seeds, so a seed's gradient is that of its own loss.

        Returns:
            The losses [S] of every part, and "penalty" [S] where the method has one.
        """
        batch = self.method.mix(batch)
        losses = self.losses(batch)
        penalty = self.method.penalty()
        if penalty is not None:
            losses["penalty"] = penalty
        self.take_gradients(losses)
        self.method.adjust_gradients()
        for optimizer in self.optimizers.values():
            if self.max_grad_norm is not None:
                optimizer.clip(self.max_grad_norm)
            optimizer.step()
        self.after_step()
        self.method.after_step()
        return {name: loss.detach() for name, loss in losses.items()}

    def take_gradients(self, losses: dict[str, Tensor]) -> None:
        """Put the gradients of summed losses into every optimizer's `grad`."""
        slots = [slot for o in self.optimizers.values() for slot in o.parameters.gradient_slots]
        gradients = torch.autograd.grad(
            list(losses.values()),
            [parameter for parameter, _ in slots],
            [torch.ones_like(loss) for loss in losses.values()],
            materialize_grads=True,
        )
        torch._foreach_copy_([view for _, view in slots], gradients)

    def check_finite(self, losses: dict[str, Tensor]) -> None:
        """Raise NonFinite if a loss is not a finite number."""
        for name, loss in losses.items():
            for seed, value in zip(self.seeds, loss.tolist(), strict=True):
                if not math.isfinite(value):
                    raise NonFinite(f"{name} loss of seed {seed} is {value} in task {self.task}")

    def check_parameters(self) -> None:
        """Raise NonFinite if a parameter is not a finite number."""
        for part, flat in self.flats.items():
            if bool(torch.isfinite(flat.flat).all()):
                continue
            for name, view in flat.views(flat.flat).items():
                finite = torch.isfinite(view).flatten(1).all(1)
                for seed, good in zip(self.seeds, finite.tolist(), strict=True):
                    if not good:
                        raise NonFinite(
                            f"parameter {part}.{name} of seed {seed} is not finite "
                            f"in task {self.task}"
                        )
