"""The interface of a continual-learning method: hooks that do nothing by default."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from clrl.agents.learner import Learner
from clrl.agents.settings.fields import check_fields
from clrl.agents.settings.learners import SETTINGS
from clrl.agents.state import Shapes


def laid_out_like(parameter: Tensor, values: Tensor) -> Tensor:
    """Return values in a parameter's layout of memory, where element-wise work is fastest."""
    return torch.empty_like(parameter, dtype=values.dtype).copy_(values)


def own_copy(method: Any) -> Method:
    """Return a method's copy, with its fields and nothing learned.

    Raises:
        TypeError: it is no object of a method.
    """
    if isinstance(method, Method):
        return replace(method)
    given = "an environment" if hasattr(method, "observation_space") else repr(method)
    if isinstance(method, type):
        given = f"the class {method.__name__}"
    hint = ", such as EWC()"
    if isinstance(method, type) and issubclass(method, Method):
        hint = f", {method.__name__}()"
    elif given == "an environment":
        hint = "; the environment is the first argument, and there is none for a policy"
    raise TypeError(f"method is {given}; needed is an object of a method{hint}")


@dataclass
class Method:
    """A continual-learning method, given to a learner as an object.

    A subclass is a dataclass whose fields are its hyperparameters; they are its constructor and its
    command-line flags. Everything it learns is in `self.state`: tensors with the seeds as leading
    axis, which the learner saves, loads and slices.

    Attributes:
        paper: where the method was published.
        uses_task_boundaries: whether it must be told when a task ends or starts; by default
            whether it has a hook there.
        uses_task_id: whether it must be told which task it is in, while training or evaluated.
        learner_defaults: settings that belong to the published method, by the learner's name.
        refused: learners that the method does not work on, {name: reason}.
        interleaved: whether tasks take turns, an episode each, instead of one after the other.
        freezes: whether it keeps weights from changing by zeroing their gradients.
        in_order: whether it takes tasks by position, each once: one that comes back is refused.
        noisy_weights: whether every pass draws its weights, so that `acting` matters.
        copies: how often it keeps the numbers of the network.
        update_factor: time of an update relative to fine-tuning's (`scripts/bench_methods.py`).
        state: what it has learned.
        learner: the learner it was attached to.

    Raises:
        ValueError: a field has a value that it may not have, naming it and what is allowed.
    """

    paper: ClassVar[str] = ""
    uses_task_boundaries: ClassVar[bool] = False
    uses_task_id: ClassVar[bool] = False
    learner_defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    refused: ClassVar[dict[str, str]] = {}
    interleaved: ClassVar[bool] = False
    freezes: ClassVar[bool] = False
    in_order: ClassVar[bool] = False
    noisy_weights: ClassVar[bool] = False
    copies: ClassVar[int] = 0
    update_factor: ClassVar[float] = 1.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "uses_task_boundaries" not in vars(cls):
            hooks = ("on_task_start", "on_task_end")
            own = any(getattr(cls, hook) is not getattr(Method, hook) for hook in hooks)
            cls.uses_task_boundaries = own

    def __post_init__(self) -> None:
        check_fields(self, "method")
        self.state: dict[str, Tensor] = {}
        self.learner: Learner

    @classmethod
    def refusals(cls) -> dict[str, str]:
        """Return the learners that it does not work on, {name: reason}."""
        turns = {name: kind.no_turns for name, kind in SETTINGS.items() if not kind.can_interleave}
        return (turns if cls.interleaved else {}) | cls.refused

    @classmethod
    def check_learner(cls, name: str) -> None:
        """Raise ValueError if the method does not work on a learner."""
        refusals = cls.refusals()
        if name in refusals:
            works = [learner for learner in SETTINGS if learner not in refusals]
            raise ValueError(
                f"{cls.__name__} does not work on the learner {name}: {refusals[name]}; "
                f"it works on {', '.join(works)}"
            )

    @classmethod
    def check_reveals(cls, reveals: str) -> None:
        """Raise ValueError if a sequence does not tell the agent what the method needs.

        Args:
            reveals: "task", "boundaries" or "nothing".
        """
        needed = {
            "which task it is in": ("task",) if cls.uses_task_id else (),
            "when a task ends": ("boundaries", "task") if cls.uses_task_boundaries else (),
        }
        for what, enough in needed.items():
            if enough and reveals not in enough:
                raise ValueError(
                    f"{cls.__name__} needs to be told {what}, but the sequence reveals {reveals}; "
                    f"give --reveals {' or '.join(enough)}"
                )

    @classmethod
    def check_settings(cls, settings: Any) -> None:
        """Raise ValueError if the method does not work on a learner with these settings."""
        cls.check_learner(settings.name)
        kl = getattr(settings, "target_kl", None)
        if cls.noisy_weights and kl is not None:
            raise ValueError(
                f"target_kl is {kl} with {cls.__name__}; allowed is None, because this method "
                "draws its weights in every pass: the policy has moved before its first update"
            )
        decay = getattr(settings, "weight_decay", 0.0)
        if cls.freezes and decay:
            raise ValueError(
                f"weight_decay is {decay} with {cls.__name__}; allowed is 0, because decay would "
                "move the weights that this method freezes"
            )

    @classmethod
    def scaled(cls, steps_per_task: int) -> dict[str, Any]:
        """Return the fields that are a share of a task, for tasks of so many steps."""
        shares = {f.name: f.metadata.get("task_share") for f in fields(cls)}
        return {name: int(share * steps_per_task) for name, share in shares.items() if share}

    def check_fit(self, lengths: Sequence[int]) -> None:
        """Raise ValueError, with the flag to give, if a task of so many steps is too short."""
        for name in self.scaled(1):
            if vars(self)[name] > min(lengths):
                raise ValueError(
                    f"{name} is {vars(self)[name]}, but a task has {min(lengths)} steps "
                    f"(--steps-per-task); give --{name.replace('_', '-')} of at most that, "
                    "or --preset small"
                )

    def copies_of_weights(self, n_tasks: int) -> int:
        """Return how often it keeps the numbers of the network, after so many tasks."""
        return self.copies

    def memory_rows(self, n_tasks: int) -> int:
        """Return the rows of data that it keeps of so many tasks."""
        return 0

    def extra_updates(self, n_tasks: int) -> int:
        """Return the updates that it makes beside the learner's, over so many tasks."""
        return 0

    def attach(self, learner: Learner) -> None:
        """Get to know the learner; called once, before the first step and before its optimizers."""
        self.learner = learner

    def check_start(self, task: int) -> None:
        """Raise ValueError if it cannot learn a task any more (`in_order`).

        Called before an open task is ended for it, and before it starts. The last position may go
        on after its end: no later task relies on what it left.
        """
        learner = self.learner
        ended, is_open = max(learner.ended, default=-1), learner.task_open and learner.task_step > 0
        latest = max(ended, learner.task) if is_open else ended
        if self.in_order and task <= latest and task < learner.n_tasks - 1:
            raise ValueError(
                f"{type(self).__name__} cannot learn task {task} after the "
                f"{'end' if latest == ended else 'start'} of task {latest}: "
                "it takes tasks by position, each once, because what finished tasks own is frozen; "
                "give the visit a position of its own, as CW20 does, or take another method. "
                "Acting in an old task needs no training"
            )

    def on_task_start(self, task: int) -> None:
        """Prepare for a task, for the first time or again; called before its first step."""

    def mix(self, batch: Any) -> Any:
        """Return the batch that is trained on; called before an update."""
        return batch

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss, [S], or None for nothing.

        One without a graph is only logged: the method then adds its gradient in `adjust_gradients`.
        """
        return None

    def penalty_gradients(self, penalty: Tensor) -> dict[str, Tensor]:
        """Return the gradients of a penalty just computed, by protected parameter, to be logged."""
        parameters = self.learner.protected_parameters()
        gradients = torch.autograd.grad(
            penalty.sum(), list(parameters.values()), retain_graph=True, materialize_grads=True
        )
        return dict(zip(parameters, gradients, strict=True))

    def adjust_gradients(self) -> None:
        """Change the gradients in place; called after backward, before clipping."""

    def after_step(self) -> None:
        """Act after an optimizer step."""

    def on_task_end(self, task: int) -> None:
        """Learn from a task that ends, maybe not for the first time; its data is still there."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set what was learned."""
        self.state = state

    def take_shape(self, shapes: Shapes) -> None:
        """Give a fresh learner's networks the shape of stored ones, which a method made grow.

        Called before their weights are copied; ends with `Learner.reflatten`.

        Args:
            shapes: of the stored parameters, {part: {name: [S, ...]}}; of all parts, or of the
                policy's alone.
        """

    def report(self) -> dict[str, Tensor]:
        """Return what shows the method at work, {name: [S]}, for the training log."""
        return {}

    @contextlib.contextmanager
    def evaluating(self, task: int) -> Iterator[None]:
        """Change the weights for an evaluation of a task, and put them back."""
        yield

    def changes_weights_to_evaluate(self) -> bool:
        """Return whether `evaluating` does something."""
        return type(self).evaluating is not Method.evaluating

    @contextlib.contextmanager
    def acting(self, deterministic: bool) -> Iterator[None]:
        """Choose the weights of one pass that acts outside training; only with `noisy_weights`.

        Its draws come from the EVALUATION stream, so that they never change training.
        """
        yield
