"""Perfect memory: keep and replay everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from clrl.agents.methods.base import Method


@dataclass
class PerfectMemory(Method):
    """Train on a uniform sample of everything ever seen (arXiv 2105.10919, "Perfect Memory").

    It is the learner with other settings. SAC's buffer is never emptied and holds CW20's 20 million
    transitions; a smaller one keeps a uniform sample (a reservoir). The classifier trains on the
    examples of all tasks seen. What a task brings when it comes back is kept beside the old.
    """

    paper: ClassVar[str] = "Wolczyk et al. 2021, arXiv 2105.10919"
    learner_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "sac": {
            "replay": "reservoir",
            "buffer_size": 20_000_000,
            "batch_size": 512,
            "reset_buffer": False,
        },
        "classifier": {"replay": "all"},
    }
    refused: ClassVar[dict[str, str]] = {
        "ppo": "it is on-policy: its loss is only valid on data of the current policy"
    }
