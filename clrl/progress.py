"""What a run writes while it trains: a line of `train.jsonl` per seed every so many steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from stable_baselines3.common.callbacks import BaseCallback

from clrl.agents.agent import Agent
from clrl.evaluator import Row
from clrl.results import Record
from clrl.signals import Signals


class Mirror(Protocol):
    """Where rows go besides the record: the screen, wandb. Never needed to go on."""

    def train(self, rows: Sequence[Row]) -> None:
        """Takes rows of `train.jsonl`."""

    def metrics(self, rows: Sequence[Row]) -> None:
        """Takes rows of `metrics.jsonl`."""


class Progress(BaseCallback):
    """Counts finished episodes, writes `train.jsonl`, and stops the loop after a signal.

    Args:
        record: `train.jsonl`.
        log_every: Steps between lines.
        steps_per_task: For the lines' task; None where tasks are interleaved: it is then null.
        signals: Asked at every step.
        mirror: Gets the same rows.
    """

    def __init__(
        self,
        record: Record,
        log_every: int,
        steps_per_task: int | None,
        signals: Signals,
        mirror: Mirror,
    ) -> None:
        super().__init__()
        self.record, self.mirror, self.signals = record, mirror, signals
        self.log_every, self.steps_per_task = log_every, steps_per_task
        self.sim_warnings = 0
        self.episodes: list[list[list[float]]] = []
        """For each seed, (return, length, success) of the episodes since its last line."""

    def start(self, agent: Agent) -> None:
        """Forgets everything counted."""
        self.sim_warnings, self.episodes = 0, [[] for _ in agent.seeds]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return {"sim_warnings": self.sim_warnings, "episodes": self.episodes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""
        self.sim_warnings, self.episodes = state["sim_warnings"], state["episodes"]

    def _on_step(self) -> bool:
        for finished, info in zip(self.episodes, self.locals["infos"], strict=True):
            self.sim_warnings += bool(info.get("sim_warning", False))
            if "episode" in info:
                episode = info["episode"]
                success = float(info["is_success"])
                finished.append([float(episode["r"]), float(episode["l"]), success])
        if self.num_timesteps % self.log_every == 0:
            self.write()
        return not self.signals.requested

    def write(self) -> None:
        """Writes one line per seed."""
        agent: Any = self.model
        losses = agent.losses_log()
        step = self.num_timesteps
        task = None if self.steps_per_task is None else (step - 1) // self.steps_per_task
        rows = []
        for s, (seed, finished) in enumerate(zip(agent.seeds, self.episodes, strict=True)):
            means: list[float | None] = [sum(c) / len(c) for c in zip(*finished, strict=True)]
            means = means or [None, None, None]
            rows.append({"step": step, "task": task, "seed": seed,
                         "episodes": len(finished), "return_mean": means[0],
                         "length_mean": means[1], "success_mean": means[2],
                         **{name: _finite(values[s]) for name, values in losses.items()}
                         })  # fmt: skip
            finished.clear()
        self.record.append(rows)
        self.mirror.train(rows)


def _finite(value: float) -> float | None:
    """JSON has no word for other numbers; a quantity that is not defined yet stops no run."""
    return value if math.isfinite(value) else None
