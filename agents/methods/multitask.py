"""Multi-task training: the upper mark, which sees all tasks at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from clrl.agents.methods.base import Method


@dataclass
class MultiTask(Method):
    """Train on all tasks in turn, an episode each (Wolczyk et al. 2021, arXiv 2105.10919).

    Not a method for a sequence but what one could reach without it: nothing is ever old. All tasks
    share the replay buffer, nothing is reset, and random exploration comes once. As in Continual
    World (run_mt.py) the learning rate is a tenth of the sequence's. That a task comes back every
    few episodes is no event: all together start and end once.
    """

    paper: ClassVar[str] = "Wolczyk et al. 2021, arXiv 2105.10919"
    interleaved: ClassVar[bool] = True
    learner_defaults: ClassVar[dict[str, dict[str, Any]]] = {"sac": {"learning_rate": 1e-4}}


@dataclass
class MultiTaskPopArt(MultiTask):
    """Multi-task training with critic targets normalised per task (arXiv 1809.04474).

    As `multitask` with the setting `popart` on: tasks of large rewards no longer outweigh the
    others. A task that comes back goes on with its mean and scale.
    """

    paper: ClassVar[str] = "Hessel et al. 2019, arXiv 1809.04474"
    update_factor: ClassVar[float] = 1.05
    learner_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "sac": {"learning_rate": 1e-4, "popart": True}
    }
