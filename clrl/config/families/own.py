"""Worlds that are not ours: registered with Gymnasium, made by a function, made in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import gymnasium as gym
import tyro

from clrl.agents.settings.fields import number
from clrl.config.families.base import SequenceConfig
from clrl.config.names import sequence_name
from clrl.config.worlds import call_world, said_by
from clrl.envs.contract.identity import Identity, differing_identity
from clrl.envs.registered import (
    is_registered,
    parse_world,
    registered_identity,
    registered_worlds,
)
from clrl.envs.sequence import TaskSequence
from clrl.envs.told import MAX_EPISODE_STEPS, Reveals, ScoreName
from clrl.errors import ConfigError, said_as_config_error

PER_SEED = 'Worlds that differ from seed to seed are declared: TaskSequence(..., worlds="per_seed")'


@dataclass(frozen=True)
class OwnWorlds(SequenceConfig):
    """Worlds that are not ours: what they are stands in the configuration, as they say it."""

    probed: ClassVar[bool] = True

    name: Annotated[str, tyro.conf.Suppress] = ""
    """What the sequence is called."""
    max_episode_steps: int = number(MAX_EPISODE_STEPS, least=1)
    """Where the episodes of a world without a time limit are cut (Gymnasium's MuJoCo tasks:
    1,000)."""
    identity: Annotated[tuple[Identity, ...], tyro.conf.Suppress] = ()
    """What each task's world says it is (`clrl.envs.contract.identity`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.identity) not in (0, len(self.tasks)):
            raise ConfigError(
                f"sequence.identity has {len(self.identity)} entries; it must have one per task, "
                f"{len(self.tasks)}, or none"
            )
        object.__setattr__(self, "name", self.name or self.usual_name)

    def check_made(self, made: TaskSequence, what: str, hint: str = "") -> None:
        """Raise ConfigError, naming what was made, unless these are the worlds that stand here."""
        if self.identity and (other := differing_identity(made.identity, self.identity)):
            raise ConfigError(f"{what} are not those of the configuration: {other}{hint}")

    @property
    def usual_name(self) -> str:
        """What the sequence is called if nobody gives it a name."""
        return sequence_name(self.tasks)

    @property
    def told(self) -> dict[str, Any]:
        """Keywords of `TaskSequence`."""
        own = {"name": self.name, "max_episode_steps": self.max_episode_steps}
        return {**super().told, **own}


@dataclass(frozen=True)
class GymnasiumSequence(OwnWorlds):
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
        if not self.identity:
            with said_as_config_error():
                found = {world: registered_identity(world) for world in dict.fromkeys(self.worlds)}
            object.__setattr__(self, "identity", tuple(found[world] for world in self.worlds))

    @property
    def horizon(self) -> int:
        """Steps of the longest episode that time limits allow."""
        limits = []
        for name, keywords in map(parse_world, self.worlds):
            limit = keywords.get("max_episode_steps")
            if limit is None and is_registered(name):
                limit = gym.spec(name).max_episode_steps
            limits.append(limit if limit and limit > 0 else self.max_episode_steps)
        return max(limits)

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Return the sequence of a seed's worlds: the same for all."""
        with said_as_config_error():
            made = registered_worlds(
                self.worlds, self.steps_per_task, self.tasks, interleaved, **self.told
            )
        self.check_made(made, "the worlds")
        return made


@dataclass(frozen=True)
class FunctionSequence(OwnWorlds):
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
    max_episode_steps: Annotated[int, tyro.conf.Suppress] = MAX_EPISODE_STEPS
    """Where the episodes of a world without a time limit are cut."""
    per_seed: Annotated[bool, tyro.conf.Suppress] = False
    """Whether each seed has worlds of its own; the function and its arguments then say which."""
    function: Annotated[str, tyro.conf.Suppress] = ""
    """`package.module:function` or a registered name; `?KEYWORD=VALUE&...` are its arguments."""

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Return the sequence that the function makes for a seed."""
        sequence = call_world(self.function, seed)
        what = f"the worlds that {self.function} makes for seed {seed}"
        self.check_made(sequence, what, f". {PER_SEED}")
        made = {**said_by(sequence), "interleaved": sequence.interleaved}
        made |= {"name": sequence.name or self.usual_name, "identity": self.identity}
        for key, value in {**vars(self), "interleaved": interleaved}.items():
            if made.get(key, value) != value:
                raise ConfigError(
                    f"{self.function} makes a sequence whose {key} is {made[key]}, and the "
                    f"configuration says {value}"
                )
        return sequence

    @property
    def usual_name(self) -> str:
        """The function's name."""
        return self.function.rpartition(":")[2]


@dataclass(frozen=True)
class CustomSequence(OwnWorlds):
    """Worlds made in Python that have no name elsewhere: a run of them is opened with its `env`."""

    family: ClassVar[str] = "custom"
    learners: ClassVar[tuple[str, ...]] = ("sac", "ppo", "classifier")
    scores: ClassVar[tuple[str, ...]] = ("success", "return", "accuracy")

    per_seed: Annotated[bool, tyro.conf.Suppress] = False
    """Whether each seed has worlds of its own: such a run is joined with no other."""

    def make(self, seed: int, interleaved: bool = False) -> TaskSequence:
        """Refuse: nobody but the user's program can make them."""
        raise ConfigError(
            "the worlds of this run were made in Python and have no importable name; open it with "
            "load_policy(directory, task, env=..., method=...), go on with train(agent, directory)"
        )

    @property
    def usual_name(self) -> str:
        """What those without a name are called."""
        return "custom"
