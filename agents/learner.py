"""What a method may use of a learner, and the one update that calls the method's hooks."""

from __future__ import annotations

import contextlib
import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from clrl.agents.networks.adam import FlatParameters, seed_norms
from clrl.agents.networks.distributions import Categorical, Gaussian
from clrl.agents.networks.heads import rest_heads
from clrl.agents.networks.layers import Recorder, keeping_hidden, recorders
from clrl.agents.tasks import Tasks

MEASURE_EVERY = 1_000
"""Updates between two measurements of gradient norms: a fixed number, so that what is logged does
not depend on how often it is logged, and a resumed run logs the same."""

Self = TypeVar("Self", bound="Learner")
Parity = Literal["clean", "original"]


class NonFinite(ValueError):
    """A loss or parameter that is not a finite number; the message names it, seed and task."""


def report_names(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return losses under the names of the training log: actor/loss, ..., method/penalty."""
    return {
        "method/penalty" if name == "penalty" else f"{name}/loss": loss
        for name, loss in losses.items()
    }


class Learner(Tasks):
    """SAC, PPO or the classifier, as a method sees it.

    Attributes: see `Tasks`.
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
    max_grad_norm: float | None = None
    num_timesteps: int = 0
    n_updates: int = 0

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

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Return the network of every part in `flats`."""

    def prepare(self, batch: Any) -> Any:
        """Return the batch that `losses` gets; called before it, for what changes with the data."""
        return batch

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

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        """Return a copy whose networks are parts of its own flat tensors.

        Torch copies every parameter by itself, and the optimizers would train what no network has.
        """
        twin = memo[id(self)] = object.__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        for part, module in twin.modules().items():
            if part in twin.flats:
                views = twin.flats[part].views(twin.flats[part].flat)
                for name, parameter in module.named_parameters():
                    parameter.data = views[name]
        return twin

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

    @property
    def compiled(self) -> bool:
        """Whether compiled code does what it can, sums per seed among it."""
        return False

    def engine(self, batch: Any = None) -> Any:
        """Return what computes gradients without autograd; None, where nothing does.

        Args:
            batch: that is to be computed.
        """
        return None

    def gradients_of(
        self,
        batch: Any,
        into: Mapping[str, Tensor] | None = None,
        hidden: dict[str, list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Put the gradients of the losses on a batch into every optimizer's `grad`.

        Compiled code does it where it is right (`agents/native`), else `losses` and autograd.

        Args:
            batch: from `prepare`.
            into: where the gradients go instead, {part: tensor like the optimizer's `grad`}; parts
                that are not named get none.
            hidden: gets the hidden layers' activations of each part's own pass (policy at s, value,
                each critic at (s, a)), from before any step: {part: [*lead, B, units] per layer}.
                Asking changes no bit.

        Returns:
            the losses {part: [S]}.
        """
        engine = self.engine(batch)
        if engine is not None:
            found: dict[str, Tensor] = engine.gradients_of(self, batch, into, hidden)
            return found
        with keeping_hidden(self.modules() if hidden is not None else {}) as passes:
            losses = self.losses(batch)
        if hidden is not None:
            hidden.update(passes)
        self.take_gradients(losses, into)
        return {name: loss.detach() for name, loss in losses.items()}

    def clip_gradients(self) -> None:
        """Clip the gradient norm of every part."""
        if self.max_grad_norm is not None:
            for optimizer in self.optimizers.values():
                optimizer.clip(self.max_grad_norm, self.compiled)

    def measure_gradients(self, penalty: Tensor | None) -> None:
        """Set `gradient_norms`, of the learner's own gradients and of a penalty's to come."""
        own = self.gradients()
        names = list(self.protected_parameters())
        gradients = {"gradient/rl": [own[name] for name in names]}
        if penalty is not None:
            pulls = self.method.penalty_gradients(penalty)
            gradients["gradient/penalty"] = list(pulls.values())
        self.gradient_norms = {k: seed_norms(g, self.compiled) for k, g in gradients.items()}

    def add_gradients(self, penalty: Tensor) -> None:
        """Add the gradients of a penalty with a graph, summed over seeds."""
        slots = [slot for o in self.optimizers.values() for slot in o.parameters.gradient_slots]
        pulls = torch.autograd.grad(
            penalty.sum(), [parameter for parameter, _ in slots], allow_unused=True
        )
        pairs = [
            (view, pull) for (_, view), pull in zip(slots, pulls, strict=True) if pull is not None
        ]
        torch._foreach_add_([view for view, _ in pairs], [pull for _, pull in pairs])

    def take_gradients(
        self, losses: dict[str, Tensor], into: Mapping[str, Tensor] | None = None
    ) -> None:
        """Put the gradients of losses, summed over seeds, into every `grad`, or into `into`."""
        parts = self.optimizers if into is None else into
        owners = {part: self.optimizers[part].parameters for part in parts}
        slots = [slot for owner in owners.values() for slot in owner.gradient_slots]
        parameters, views = [p for p, _ in slots], [view for _, view in slots]
        if into is not None:
            views = [v for part, owner in owners.items() for v in owner.views(into[part]).values()]
        sources = [loss for loss in losses.values() if loss.requires_grad]
        gradients = torch.autograd.grad(
            sources, parameters, [torch.ones_like(loss) for loss in sources], materialize_grads=True
        )
        torch._foreach_copy_(views, gradients)

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
