"""How much work a run is, and how long it takes, estimated before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from clrl.config.run import RunConfig
from clrl.machine import processor as compute

ACT_SECONDS = 0.3e-3
"""A policy call and the bookkeeping of a step, on a server's core."""


@dataclass(frozen=True)
class Costs:
    """What a run costs.

    Attributes:
        training: environment steps of each seed.
        evaluation: environment steps of each seed, at most.
        evaluations: how often tasks are evaluated.
        updates: gradient steps of each seed.
        seconds: on this machine's CPU; None for a GPU.
        unit: of `evaluation`: "steps", or "examples" of a stream.
    """

    training: int
    evaluation: int
    evaluations: int
    updates: int
    seconds: float | None
    unit: str = "steps"

    def __str__(self) -> str:
        if self.seconds is None:
            time_line = "not estimated for a GPU"
        else:
            time_line = f"about {_duration(self.seconds)} on this CPU, one thread (an estimate)"
        evaluation = f"{self.evaluation:,} {self.unit} per seed"
        return "\n".join([
            f"training    {self.training:,} steps and {self.updates:,} updates per seed",
            f"evaluation  {evaluation}, in {self.evaluations:,} evaluations",
            f"time        {time_line}",
        ])  # fmt: skip


def expected_costs(config: RunConfig) -> Costs:
    """Return what a run costs; takes less than a second and builds nothing."""
    sequence, seeds, how = config.sequence, len(config.seeds), config.evaluation
    schedule, turns = sequence.schedule, config.method.interleaved
    total, steps = schedule.total, schedule.evaluations(how.evals_per_task)
    due = [len(how.due(step, schedule, turns)) for step in steps]
    evaluation = sum(due) * sequence.evaluated(how.episodes)
    updates = _updates(config)
    seconds = None
    if config.placement.device in ("auto", "cpu") and (
        config.placement.device == "cpu" or not torch.cuda.is_available()
    ):
        simulation = (total + evaluation) * seeds * sequence.step_seconds
        acting = (total + evaluation / how.episodes) * ACT_SECONDS
        factor = config.method.update_factor
        seconds = simulation + acting + updates * factor * _update_seconds(config)
    return Costs(
        training=total,
        evaluation=evaluation,
        evaluations=len(due),
        updates=updates,
        seconds=seconds,
        unit="examples" if sequence.supervised else "steps",
    )


def _updates(config: RunConfig) -> int:
    """Return the gradient steps of each seed."""
    schedule, one_task = config.sequence.schedule, not config.tells_boundaries
    extra = config.method.extra_updates(schedule.n_tasks)
    return int(config.learner.updates(schedule.lengths, one_task)) + extra


def _update_seconds(config: RunConfig) -> float:
    """Time the matrix products of an update; what lies between them takes about as long again."""
    learner, seeds = config.learner, len(config.seeds)
    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        compute.use_matmul(
            compute.best_matmul("cpu", learner.batch_size, max(learner.hidden_sizes))
        )
        seconds = 0.0
        sizes = (config.sizes[0], *learner.hidden_sizes)
        for width in set(zip(sizes, sizes[1:], strict=False)):
            x = torch.ones(seeds, learner.batch_size, width[0])
            weight = torch.ones(seeds, width[0], width[1])
            times = []
            for _ in range(5):
                start = time.perf_counter()
                torch.bmm(x, weight)
                times.append(time.perf_counter() - start)
            count = list(zip(sizes, sizes[1:], strict=False)).count(width)
            seconds += min(times) * count
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_num_threads(before[1])
    once, per_seed = learner.update_seconds
    return 2 * learner.passes * seconds + once + seeds * per_seed


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
    return f"{seconds / 3600:.0f} hours" if seconds > 36_000 else f"{seconds / 3600:.1f} hours"
