"""Fine-tuning: the method that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clrl.agents.methods.base import Method


@dataclass
class Finetuning(Method):
    """Train on each task in turn and protect nothing: the lower mark of every table.

    With heads per task the learner still selects the task's head, as Continual World does
    (Wolczyk et al. 2021, arXiv 2105.10919). One that comes back goes on with its head.
    """

    paper: ClassVar[str] = "Wolczyk et al. 2021, arXiv 2105.10919"
