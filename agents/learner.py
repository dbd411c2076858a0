"""What a method may use of a learner, and the one update that calls the method's hooks."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from clrl.agents.networks.adam import FlatParameters
from clrl.agents.networks.distributions import Categorical, Gaussian
from clrl.agents.networks.gradients import Gradients
from clrl.agents.networks.heads import rest_heads
from clrl.agents.networks.layers import Recorder, recorders
from clrl.agents.tasks import Tasks

MEASURE_EVERY = 1_000
"""Updates between two measurements of gradient norms: a fixed number, so that what is logged does
not depend on how often it is logged, and a resumed run logs the same."""

Parity = Literal["clean", "original"]


class NonFinite(ValueError):
    """A loss or parameter that is not a finite number; the message names it, seed and task."""


def report_names(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return losses under the names of the training log: actor/loss, ..., method/penalty."""
    return {
        "method/penalty" if name == "penalty" else f"{name}/loss": loss
        for name, loss in losses.items()
    }


class Learner(Gradients, Tasks):
    """SAC, PPO or the classifier, as a method sees it.

    Attributes: see `Gradients` and `Tasks`.
        name: "sac", "ppo" or "classifier".
        settings: of the learner.
        method: the continual-learning method whose hooks `update` calls.
        parity: "original" reproduces what is taken for defects of the published code.
        seeds: the seeds trained side by side; every tensor has them as leading axis.
        task_dtype: type that task ids are stored in.
        device: where the networks are.
        streams: the random generators.
        flats: parameters of each network in one tensor, by part.
        optimizers: one per trained part, in the order they step.
        max_grad_norm: clip of each part's gradient norm, per seed; None for no clip.
        n_updates: updates taken.
        report: what the last updates did, {name: [S]}.
        gradient_norms: {name: [S]}, measured at every 1,000th update: of the learner's own
            gradient at the protected parameters and, where there is one, of the penalty's.
    """

    name: ClassVar[str]
    settings: Any
    parity: Parity = "clean"
    seeds: tuple[int, ...]
    task_dtype: np.dtype
    num_timesteps: int = 0
    n_updates: int = 0

    @property
    def n_seeds(self) -> int:
        """Number of seeds trained side by side."""
        return len(self.seeds)

    @abstractmethod
    def sample(self, n: int | None, role: int, task: int | None = None) -> Any:
        """Draw a batch, n rows per seed (None: the batch size), as training does or of one task.

        Rows and noise come from the generators of `role`. A hook names its task: it gets that
        task's rows only, whatever else is stored.

        Raises:
            ValueError: a seed has no row of the task.
        """

    @abstractmethod
    def rows_of(self, batch: Any) -> dict[str, Tensor]:
        """Return what a memory keeps of a batch, {name: [S, B, ...]}: no noise; the task ids."""

    @abstractmethod
    def batch_of(self, rows: dict[str, Tensor], role: int) -> Any:
        """Return the batch of stored rows, with fresh noise from the generators of `role`."""

    @abstractmethod
    def reinitialise(self) -> None:
        """Start anew as a fresh learner: weights, optimizers and data; the streams go on."""

    @abstractmethod
    def output_distributions(self, batch: Any) -> Gaussian | Categorical:
        """Return what the network predicts for a batch, with gradients."""

    @abstractmethod
    def make_optimizers(self) -> None:
        """Gather the networks' parameters in `flats` and give each trained part an optimizer."""

    def prepare(self, batch: Any) -> Any:
        """Return the batch that `losses` gets; called before it, for what changes with the data."""
        return batch

    def after_step(self) -> None:  # noqa: B027 - most learners need nothing here
        """Do what follows an optimizer step (Polyak averaging)."""

    @property
    def drawn_together(self) -> int:
        """Updates whose batches are drawn at once: of another number the draws are others."""
        return 1

    @property
    def network_parts(self) -> list[str]:
        """Keys of `optimizers` that train networks (not SAC's entropy coefficient)."""
        return list(self.optimizers)

    def generators(self, role: int) -> Sequence[np.random.Generator]:
        """Return the generators of a role, one per seed."""
        return self.streams.of(role)

    @contextlib.contextmanager
    def recording(self) -> Iterator[dict[str, Recorder]]:
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

    def on_end(self) -> None:
        """Call the method's `on_task_end`, then let the task's heads rest."""
        super().on_end()
        if not self.interleaved:
            rest_heads(self.optimizers, self.modules(), self.task)

    def reset_for_task(self) -> None:
        """Forget what the settings say belongs to the old task."""
        if self.settings.reset_optimizer:
            self.reset_optimizers()

    def reset_optimizers(self) -> None:
        """Give every part a fresh optimizer."""
        for optimizer in self.optimizers.values():
            optimizer.reset()

    def update(self, batch: Any) -> dict[str, Tensor]:
        """Take one gradient step on a batch. The only place that calls the update's hooks.

        Losses are summed over seeds, so a seed's gradient is that of its own loss.

        Returns:
            the losses [S] of every part, and "penalty" [S] where the method has one.
        """
        losses = self.gradients_of(self.prepare(self.method.mix(batch)))
        penalty = self.method.penalty()
        if self.n_updates % MEASURE_EVERY == 0:
            self.measure_gradients(penalty)
        if penalty is not None:
            losses["penalty"] = penalty.detach()
            if penalty.requires_grad:
                self.add_gradients(penalty)
        self.method.adjust_gradients()
        self.clip_gradients()
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.after_step()
        self.method.after_step()
        self.n_updates += 1
        return losses

    def task_ids(self, task: int | Tensor, like: Tensor) -> Tensor:
        """Return a batch's task ids as they are stored, in the shape of `like` [S, B]."""
        dtype = getattr(torch, self.task_dtype.name)
        return torch.as_tensor(task, dtype=dtype, device=like.device).expand(like.shape)

    def check_rows(self, counts: Sequence[int], task: int | None) -> None:
        """Raise ValueError if a seed has no row to sample, naming it."""
        for seed, count in zip(self.seeds, counts, strict=True):
            if count == 0:
                what = "row" if task is None else f"row of task {task}"
                raise ValueError(f"seed {seed} has no {what} to sample from")

    def losses_log(self) -> dict[str, list[float]]:
        """Return what the last update and the method report: {name: one number per seed}."""
        method = {f"method/{name}": values for name, values in self.method.report().items()}
        return {name: values.tolist() for name, values in (self.report | method).items()}

    @property
    def where(self) -> str:
        """The task that a message names."""
        return "interleaved tasks" if self.interleaved else f"task {self.task}"

    def check_finite(self, losses: dict[str, Tensor]) -> None:
        """Raise NonFinite if a loss is not a finite number."""
        for name, loss in losses.items():
            for seed, value in zip(self.seeds, loss.tolist(), strict=True):
                if not math.isfinite(value):
                    raise NonFinite(f"{name} loss of seed {seed} is {value} in {self.where}")

    def reflatten(self, part: str) -> None:
        """Take up parameters that were added to the network of a part, or taken from it.

        Values stay, and by name the moments of the optimizer, whose steps count on; new ones start
        with moments of 0. Other parts, such as the critics' targets, need a call of their own.
        """
        old = self.flats[part]
        named = dict(self.modules()[part].named_parameters())
        self.flats[part] = FlatParameters(named, old.lead, gradients=old.grad is not None)
        if part in self.optimizers:
            self.optimizers[part].adopt(self.flats[part])
