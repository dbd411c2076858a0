"""The toy stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import tyro

from clrl.agents.settings.fields import number
from clrl.config.families.base import SequenceConfig
from clrl.config.names import Lengths
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream
from clrl.envs.told import ScoreName
from clrl.errors import ConfigError


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
