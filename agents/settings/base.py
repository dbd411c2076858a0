"""What the settings of every learner have: checks, and facts that a run is planned with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from clrl.agents.settings.fields import check_fields

Self = TypeVar("Self", bound="LearnerSettings")

WITHOUT_TASK = {"multi_head": False, "hide_task_id": True, "exploration": "uniform"}
"""Settings of a learner that is not told which task it is in."""
WITHOUT_BOUNDARIES = {"reset_buffer": False, "reset_optimizer": False, "reset_critic": False}
"""Settings of a learner that is not told either when a task ends."""


@dataclass(frozen=True)
class LearnerSettings(ABC):
    """Settings of a learner: a subclass has them as fields, each checked when it is made.

    Attributes:
        name: the learner's.
        can_interleave: whether every seed may be in another task, an episode each.
        no_turns: why not.
        passes: passes through a network in an update; the backward ones count double.
        memory_flag: the flag that lets it take less memory, if there is one.

    Raises:
        ValueError: a value that is not allowed, naming it and what is.
    """

    name: ClassVar[str]
    can_interleave: ClassVar[bool] = False
    no_turns: ClassVar[str] = ""
    passes: ClassVar[int]
    memory_flag: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_fields(self, self.name)

    @classmethod
    def forced(cls, reveals: str) -> dict[str, Any]:
        """Return the settings that have only one value where a sequence reveals less.

        Args:
            reveals: "task", "boundaries" or "nothing".
        """
        untold: dict[str, Any] = {} if reveals == "task" else dict(WITHOUT_TASK)
        if reveals == "nothing":
            untold |= WITHOUT_BOUNDARIES
        known = {f.name for f in fields(cls)}
        return {name: value for name, value in untold.items() if name in known}

    @classmethod
    def with_defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return plain values of a configuration, with the defaults of those that are missing."""
        return {f.name: f.default for f in fields(cls)} | dict(values)

    @classmethod
    def uses(cls, values: Mapping[str, Any]) -> tuple[bool, bool]:
        """Return whether the learner acts at told boundaries, and whether it reads the task id.

        Args:
            values: settings as a configuration has them, {name: plain value}.
        """
        every = cls.with_defaults(values)
        return any(every.get(name) for name in WITHOUT_BOUNDARIES), cls.reads_task_id(every)

    @staticmethod
    def reads_task_id(values: Mapping[str, Any]) -> bool:
        """Return whether heads or inputs of the networks depend on the task."""
        return bool(values["multi_head"] or not values.get("hide_task_id", True))

    @abstractmethod
    def row_bytes(self, observation: int, action: int) -> int:
        """Return the bytes that the learner's store takes for a row.

        Args:
            observation: numbers of an observation, without the task's one-hot.
            action: numbers of an action.
        """

    @abstractmethod
    def rows_stored(self, lengths: Sequence[int], one_store: bool) -> int:
        """Return the rows of a seed that the learner's store can ever hold.

        Args:
            lengths: steps of every task.
            one_store: whether the learner cannot tell tasks apart, so that it keeps all of them:
                they are interleaved, or nothing is revealed.
        """

    def with_rows(self: Self, rows: int) -> Self:
        """Return these settings with a store for so many rows, where its size is a setting."""
        return self

    @abstractmethod
    def updates(self, lengths: Sequence[int], one_task: bool) -> int:
        """Return the gradient steps of a seed.

        Args:
            lengths: steps of every task.
            one_task: whether all tasks together start once, as for `rows_stored`.
        """

    @abstractmethod
    def network_numbers(self, observation: int, action: int, n_ids: int) -> tuple[int, int]:
        """Return the weights of the policy, and all numbers that a seed's networks keep.

        Those are weights, gradients and two moments, and weights that only follow.

        Args:
            observation: numbers of an observation, without the task's one-hot.
            action: numbers of an action.
            n_ids: tasks that an observation tells apart.
        """

    def heads(self, n_ids: int) -> int:
        """Return the output heads of a network."""
        return n_ids if vars(self)["multi_head"] else 1

    def visible(self, n_ids: int) -> int:
        """Return the entries of the task's one-hot that the networks see."""
        return n_ids if n_ids > 1 and not vars(self).get("hide_task_id", True) else 0

    def check_fit(  # noqa: B027
        self, lengths: Sequence[int], told_boundaries: bool, acts_there: bool = False
    ) -> None:
        """Check that the settings fit the lengths of tasks.

        Published settings are never scaled silently: what a short run cannot hold is refused.

        Args:
            lengths: steps of every task.
            told_boundaries: whether the learner is told when a task ends.
            acts_there: whether the learner or its method does something then.

        Raises:
            ValueError: one does not fit, with the flag to give.
        """

    def check_length(
        self, name: str, lengths: Sequence[int], told_boundaries: bool, spare: int = 0
    ) -> None:
        """Raise ValueError if a number of steps does not fit into every task.

        Args:
            name: of the setting.
            lengths: steps of every task.
            told_boundaries: whether each task counts; else only their sum does.
            spare: steps of a task that must be left.
        """
        steps, value = min(lengths) if told_boundaries else sum(lengths), vars(self)[name]
        if value > steps - spare:
            what = "a task" if told_boundaries else "the run"
            raise ValueError(
                f"{name} is {value}, but {what} has {steps} steps (--steps-per-task); give "
                f"--{self.name}.{name.replace('_', '-')} of at most {steps - spare}, "
                "or --preset small"
            )

    def check_seeds(self, n_seeds: int) -> None:  # noqa: B027
        """Raise ValueError if so many seeds cannot be trained side by side."""


def dense(sizes: Sequence[int]) -> int:
    """Return the weights and biases of dense layers of these widths, the input's among them."""
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
