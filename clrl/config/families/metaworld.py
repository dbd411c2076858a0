"""Meta-World's tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from clrl.agents.settings.fields import number
from clrl.config.families.base import SequenceConfig
from clrl.config.names import check_tasks
from clrl.envs.sequence import TaskSequence
from clrl.envs.told import ScoreName


@dataclass(frozen=True)
class MetaWorldSequence(SequenceConfig):
    """Tasks of Meta-World 3: CW10, CW20 or any list of its names."""

    family: ClassVar[str] = "metaworld"
    step_seconds: ClassVar[float] = 0.2e-3
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
