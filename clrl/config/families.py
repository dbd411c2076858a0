"""Families of worlds: what the section `sequence` of a configuration may be."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import gymnasium as gym
import tyro

from clrl.agents.settings.fields import number
from clrl.config.names import Lengths, ScoreRange, check_tasks, sequence_name
from clrl.config.worlds import call_world
from clrl.envs.registered import is_registered, parse_world, registered_worlds
from clrl.envs.schedule import Schedule
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream
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


@dataclass(frozen=True)
class MetaWorldSequence(SequenceConfig):
    """Tasks of Meta-World 3: CW10, CW20 or any list of its names."""

    family: ClassVar[str] = "metaworld"
    step_seconds: ClassVar[float] = 0.15e-3
    """Mean of the CW10 tasks."""
    simulator_bytes: ClassVar[int] = 30 * 2**20
    """22 to 33 MiB over the tasks of CW10."""
    facts: ClassVar[dict[str, str]] = {"reward": "v2"}

    score: ScoreName = "success"
    """What tables and plots read of an episode: its success (Continual World) or its return."""
    horizon: int = number(200, least=1, most=500)
    """Steps of an episode, at most 500 (Continual World: 200)."""
    randomization: Literal["random_init_all", "deterministic"] = "random_init_all"
    """Positions drawn at every reset (Continual World), or always the same."""
    fixes: Literal["patched", "upstream"] = "patched"
    """Meta-World with or without our corrections."""

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        super().__post_init__()

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Return the sequence of a seed's worlds: the same for all."""
        from clrl.envs.metaworld.world import continual_world  # it imports Meta-World

        own = {"horizon": self.horizon, "randomization": self.randomization, "fixes": self.fixes}
        settings: dict[str, Any] = {**self.told, **own}
        return continual_world(self.tasks, self.steps_per_task, interleaved, **settings)

    def sizes(self, seed: int = 0, interleaved: bool = False) -> tuple[int, int]:
        """Return the numbers of an observation and of an action: Meta-World 3's."""
        return 39, 4


@dataclass(frozen=True)
class GymnasiumSequence(SequenceConfig):
    """Environments registered with Gymnasium, each written as ID?KEYWORD=VALUE&KEYWORD=VALUE."""

    family: ClassVar[str] = "gymnasium"

    worlds: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """The world of each task; where they are left out, the tasks' names are their worlds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "worlds", self.worlds or self.tasks)
        if len(self.worlds) != len(self.tasks):
            raise ConfigError(
                f"sequence.worlds has {len(self.worlds)} worlds; it must have one per task, "
                f"{len(self.tasks)}"
            )
        for world in self.worlds:
            try:
                parse_world(world)
            except ValueError as error:
                raise ConfigError(f"sequence.worlds: {error}") from None

    @property
    def horizon(self) -> int:
        """Steps of the longest episode that Gymnasium's time limits allow; 1,000 without one."""
        limits = []
        for name, keywords in map(parse_world, self.worlds):
            own = keywords.get("max_episode_steps")
            limits.append(own or (gym.spec(name).max_episode_steps if is_registered(name) else 0))
        return max(limit or super().horizon for limit in limits)

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Return the sequence of a seed's worlds: the same for all."""
        try:
            return registered_worlds(
                self.worlds, self.steps_per_task, self.tasks, interleaved, **self.told
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error


@dataclass(frozen=True)
class FunctionSequence(SequenceConfig):
    """What a function(seed) -> TaskSequence returns; the sequence says all about itself."""

    family: ClassVar[str] = "function"

    # What the function says cannot be said otherwise by a flag.
    steps_per_task: Annotated[int | tuple[int, ...], tyro.conf.Suppress] = 1
    """Steps of each seed on each task."""
    reveals: Annotated[Reveals, tyro.conf.Suppress] = "task"
    """What the agent is told."""
    score: Annotated[ScoreName, tyro.conf.Suppress] = "return"
    """What tables and plots read."""
    score_range: Annotated[tuple[float, float] | None, tyro.conf.Suppress] = None
    """The scores between which a task is learned."""
    function: Annotated[str, tyro.conf.Suppress] = ""
    """`package.module:function`, or a registered name."""

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Return the sequence that the function makes for a seed."""
        sequence = call_world(self.function, seed)
        expected = {"schedule": self.schedule, **self.told, "interleaved": interleaved}
        for key, value in expected.items():
            if (made := getattr(sequence, key)) != value:
                raise ConfigError(
                    f"{self.function} makes a sequence whose {key} is {made}, and the "
                    f"configuration says {value}"
                )
        return sequence

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.rpartition(":")[2]


@dataclass(frozen=True)
class CustomSequence(SequenceConfig):
    """Worlds made in Python that have no name elsewhere: a run of them is opened with its `env`."""

    family: ClassVar[str] = "custom"
    learners: ClassVar[tuple[str, ...]] = ("sac", "ppo", "classifier")
    scores: ClassVar[tuple[str, ...]] = ("success", "return", "accuracy")

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Refuse: nobody but the user's program can make them."""
        raise ConfigError(
            "the worlds of this run were made in Python and have no importable name; open it with "
            "load_policy(directory, task, env=..., method=...), go on with train(agent, directory)"
        )

    @property
    def name(self) -> str:
        """What all of them are called."""
        return "custom"


@dataclass(frozen=True)
class ToySequence(SequenceConfig):
    """A stream of small classification tasks (`ToyStream`), in minutes on one core."""

    family: ClassVar[str] = "toy"
    learners: ClassVar[tuple[str, ...]] = ("classifier",)
    supervised: ClassVar[bool] = True
    step_seconds: ClassVar[float] = 0.0
    simulator_bytes: ClassVar[int] = 0
    scores: ClassVar[tuple[str, ...]] = ("accuracy",)

    tasks: Annotated[tuple[str, ...], tyro.conf.Suppress] = ("toy-0", "toy-1", "toy-2")
    """Names of the tasks, in order."""
    steps_per_task: Lengths = 1_000
    """Updates of each seed on each task, one number or one per task."""
    score: ScoreName = "accuracy"
    """What tables and plots read: the share of test examples that is classified rightly."""
    dim: int = number(8, least=1)
    """Width of the inputs."""
    examples: int = number(512, least=1)
    """Examples per task, and as many for testing."""

    def evaluated(self, episodes: int) -> int:
        """Return the examples for testing, whatever the number of episodes."""
        return self.examples

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Refuse: a stream is no environment."""
        raise ConfigError("the family toy has no environments; stream() makes its examples")

    def stream(self) -> ToyStream:
        """Return the stream."""
        return ToyStream(len(self.tasks), self.dim, self.examples, self.reveals)

    @property
    def name(self) -> str:
        """What the stream is called."""
        return "toy"

    def sizes(self, seed: int = 0, interleaved: bool = False) -> tuple[int, int]:
        """Return the numbers of an input, and classes."""
        return self.dim, ToyStream.classes


FAMILIES: dict[str, type[SequenceConfig]] = {
    "metaworld": MetaWorldSequence,
    "gymnasium": GymnasiumSequence,
    "function": FunctionSequence,
    "custom": CustomSequence,
    "toy": ToySequence,
}
"""Families of worlds by name."""
