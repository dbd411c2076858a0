"""What every family of worlds says of a sequence: the section `sequence` of a configuration."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import tyro

from clrl.config.names import Lengths, ScoreRange, sequence_name
from clrl.envs.schedule import Schedule
from clrl.envs.sequence import TaskSequence
from clrl.envs.told import Reveals, ScoreName
from clrl.errors import ConfigError, checked


@dataclass(frozen=True)
class SequenceConfig(ABC):
    """The tasks, the steps spent on each, and what an agent is told of them.

    Raises:
        ConfigError: a value that is not allowed.
    """

    family: ClassVar[str]
    learners: ClassVar[tuple[str, ...]] = ("sac", "ppo")
    """Learners that can learn its tasks; the first is taken if none is named."""
    scores: ClassVar[tuple[str, ...]] = ("success", "return")
    supervised: ClassVar[bool] = False
    """Whether it is a stream of examples instead of environments."""
    step_seconds: ClassVar[float] = 0.05e-3
    """An environment step with its share of a reset, on one server core."""
    simulator_bytes: ClassVar[int] = 2 * 2**20
    """One environment."""
    probed: ClassVar[bool] = False
    """Whether its worlds are tried before every run; ours are tried in the tests instead."""
    facts: ClassVar[dict[str, str]] = {}
    """What `config.yaml` says of the family beside its settings."""

    tasks: Annotated[tuple[str, ...], tyro.conf.Suppress]
    """Names of the tasks, in order."""
    steps_per_task: Lengths = 1_000_000
    """Steps of each seed on each task, one number or one per task (Continual World: 1e6)."""
    reveals: Reveals = "task"
    """What the agent is told: the task at every step and every change (task), the changes only
    (boundaries), or nothing, so that it sees one endless task."""
    score: ScoreName = "return"
    """What tables and plots read of an episode: its success or its return."""
    score_range: ScoreRange = None
    """The scores between which a task is learned; by default from the references."""

    def __post_init__(self) -> None:
        try:
            lengths = Schedule(self.tasks, self.steps_per_task).steps_per_task
        except ValueError as error:
            raise ConfigError(f"sequence: {error}") from None
        object.__setattr__(self, "steps_per_task", lengths)
        checked(self, "sequence")
        if self.score not in self.scores:
            raise ConfigError(
                f"sequence.score is {self.score!r}; it must be {' or '.join(self.scores)} "
                f"for worlds of the family {self.family}"
            )
        if self.score_range is not None and not self.score_range[0] < self.score_range[1]:
            raise ConfigError(
                f"sequence.score_range is {list(self.score_range)}; it must be [low, high]"
            )

    @functools.cached_property
    def schedule(self) -> Schedule:
        """Where each task starts and ends."""
        return Schedule(self.tasks, self.steps_per_task)

    @property
    def name(self) -> str:
        """What the sequence is called."""
        return sequence_name(self.tasks)

    @property
    def told(self) -> dict[str, Any]:
        """Keywords of `TaskSequence`."""
        return {"reveals": self.reveals, "score": self.score, "score_range": self.score_range}

    @abstractmethod
    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Return the sequence of a seed's worlds.

        Raises:
            ConfigError: they cannot be made, or are not those that the configuration names.
        """

    @property
    def horizon(self) -> int:
        """Steps of an episode at most, as far as that is known."""
        return 1_000

    def evaluated(self, episodes: int) -> int:
        """Return the steps, or examples, of one evaluation of one task, at most."""
        return episodes * self.horizon

    def sizes(self, seed: int = 0, interleaved: bool = False) -> tuple[int, int]:
        """Return the numbers of an observation (without one-hot) and of an action."""
        sequence = self.make(seed, interleaved)
        try:
            observation, action = sequence.observation_space, sequence.action_space
            assert observation.shape is not None and action.shape is not None
            return observation.shape[0] - sequence.one_hot_size, action.shape[0]
        finally:
            sequence.close()
