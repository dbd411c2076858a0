"""What a run writes while it trains: a line of `train.jsonl` per seed every so many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from clrl.agents.learner import Learner
from clrl.results.record import Record
from clrl.run.evaluator import Row, mean_or_null
from clrl.run.trainable import Infos


class Mirror(Protocol):
    """Where rows go besides the record: the screen, wandb. Never needed to go on."""

    def train(self, rows: Sequence[Row]) -> None:
        """Take rows of `train.jsonl`."""

    def metrics(self, rows: Sequence[Row]) -> None:
        """Take rows of `metrics.jsonl`."""

    def say(self, text: str) -> None:
        """Take a line for the screen and `log.txt`."""


class Progress:
    """Counts finished episodes and writes `train.jsonl`.

    Args:
        learner: what is trained.
        record: `train.jsonl`.
        log_every: steps between lines.
        task_at: the task that a step's lines name; None where tasks take turns.
        mirror: gets the same rows.
    """

    def __init__(
        self,
        learner: Learner,
        record: Record,
        log_every: int,
        task_at: Callable[[int], int | None],
        mirror: Mirror,
    ) -> None:
        self.learner, self.record, self.mirror = learner, record, mirror
        self.log_every, self.task_at = log_every, task_at
        self.sim_warnings = 0
        self.episodes: list[list[list[float | None]]] = [[] for _ in learner.seeds]
        """For each seed, (return, length, success) of the episodes since its last line."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of this."""
        return {"sim_warnings": self.sim_warnings, "episodes": self.episodes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.sim_warnings, self.episodes = state["sim_warnings"], state["episodes"]

    def count(self, infos: Infos) -> None:
        """Take a step in; `infos` has one entry per seed, or none where there are no episodes."""
        for finished, info in zip(self.episodes, infos, strict=False):
            self.sim_warnings += bool(info.get("sim_warning", False))
            if "episode" in info:
                episode, success = info["episode"], info.get("is_success")
                numbers = (episode["r"], episode["l"], success)
                finished.append([None if n is None else _finite(float(n)) for n in numbers])
        if self.learner.num_timesteps % self.log_every == 0:
            self.write()

    def write(self) -> None:
        """Write one line per seed."""
        reports = self.learner.losses_log()
        step = self.learner.num_timesteps
        rows = []
        for s, (seed, finished) in enumerate(zip(self.learner.seeds, self.episodes, strict=True)):
            returns, lengths, successes = zip(*finished, strict=True) if finished else ((),) * 3
            rows.append({"step": step, "task": self.task_at(step), "seed": seed,
                         "episodes": len(finished), "return_mean": _mean_of_all(returns),
                         "length_mean": _mean_of_all(lengths),
                         "success_mean": mean_or_null(successes),
                         **{name: _finite(values[s]) for name, values in reports.items()}
                         })  # fmt: skip
            finished.clear()
        self.record.append(rows)
        self.mirror.train(rows)


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean of numbers that every episode has; None if one of them is not finite."""
    return None if None in values else mean_or_null(values)


def _finite(value: float) -> float | None:
    """Return None for what JSON cannot say; a quantity that is not defined yet stops no run."""
    return value if math.isfinite(value) else None
