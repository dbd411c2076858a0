"""What a run costs, estimated before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from clrl import compute
from clrl.agents.settings import SACSettings
from clrl.config import RunConfig

OBSERVATION, ACTION = 39, 4
"""Numbers of a Meta-World 3 observation and action."""
TRANSITION_BYTES = 4 * (2 * OBSERVATION + ACTION + 1) + 2
"""Both observations, action and reward in float32; a byte each for the task and its end."""
STEP_SECONDS = 0.15e-3
"""A step of Meta-World with its share of a reset: mean of the CW10 tasks on one server core."""
ACT_SECONDS = 0.3e-3
"""A policy call and the bookkeeping of a step, on the same core."""
PASSES = 16
"""Passes through a network in a SAC update: 7 forward, the rest backward, which count double."""
UPDATE_SECONDS = 1.5e-3, 1e-3
"""What an update costs beside products and the work that grows with them: once, and per seed."""


@dataclass(frozen=True)
class Costs:
    """What a run costs.

    Attributes:
        training: environment steps of each seed.
        evaluation: environment steps of each seed, at most.
        evaluations: how often tasks are evaluated.
        updates: gradient steps of each seed.
        replay_bytes: replay buffers of all seeds.
        network_bytes: networks and optimizers of all seeds.
        seconds: on this machine's CPU; None for a GPU.
    """

    training: int
    evaluation: int
    evaluations: int
    updates: int
    replay_bytes: int
    network_bytes: int
    seconds: float | None

    def __str__(self) -> str:
        if self.seconds is None:
            time_line = "not estimated for a GPU"
        else:
            time_line = f"about {_duration(self.seconds)} on this CPU, one thread (an estimate)"
        return "\n".join([
            f"training    {self.training:,} steps and {self.updates:,} updates per seed",
            f"evaluation  {self.evaluation:,} steps per seed, in {self.evaluations:,} evaluations",
            f"memory      {_size(self.replay_bytes)} of replay buffers, "
            f"{_size(self.network_bytes)} of networks and optimizers",
            f"time        {time_line}",
        ])  # fmt: skip


def estimate(config: RunConfig) -> Costs:
    """Return what a run costs; takes less than a second and builds nothing."""
    sequence, learner, seeds = config.sequence, config.learner, len(config.seeds)
    n_tasks, steps = len(sequence.tasks), sequence.steps_per_task
    total, how = n_tasks * steps, config.evaluation
    period = how.period(steps)
    due = [len(how.due(step, steps, n_tasks)) for step in range(period, total + 1, period)]
    evaluation = sum(due) * how.episodes * sequence.horizon
    blocks = (steps - learner.learning_starts) // learner.train_freq
    retraining = getattr(config.method, "retrain_steps", 0) * (n_tasks - 1)
    updates = n_tasks * blocks * learner.gradient_steps + retraining
    parameters = network_parameters(learner, n_tasks)
    seconds = None
    if config.placement.device in ("auto", "cpu") and (
        config.placement.device == "cpu" or not torch.cuda.is_available()
    ):
        simulation = (total + evaluation) * seeds * STEP_SECONDS
        acting = (total + evaluation / how.episodes) * ACT_SECONDS
        seconds = simulation + acting + updates * _update_seconds(learner, seeds)
    return Costs(
        training=total,
        evaluation=evaluation,
        evaluations=len(due),
        updates=updates,
        replay_bytes=seeds * learner.buffer_size * TRANSITION_BYTES,
        network_bytes=4 * seeds * parameters,
        seconds=seconds,
    )


def network_parameters(learner: SACSettings, n_tasks: int) -> int:
    """Return the numbers kept per seed: weights, gradients, two moments, and target critics."""
    heads = n_tasks if learner.multi_head else 1
    one_hot = n_tasks if n_tasks > 1 and not learner.hide_task_id else 0
    sizes = learner.hidden_sizes
    core = sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
    core += 2 * sizes[0] if learner.layer_norm else 0
    inputs = OBSERVATION + one_hot + 1
    actor = core + inputs * sizes[0] + (sizes[-1] + 1) * 2 * ACTION * heads
    critic = core + (inputs + ACTION) * sizes[0] + (sizes[-1] + 1) * heads
    return 4 * (actor + 2 * critic + n_tasks) + 2 * critic


def _update_seconds(learner: SACSettings, seeds: int) -> float:
    """Time the matrix products of an update; what lies between them takes about as long again."""
    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        compute.use_matmul(compute.best_matmul(learner.batch_size, max(learner.hidden_sizes)))
        seconds = 0.0
        sizes = (OBSERVATION, *learner.hidden_sizes)
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
    return 2 * PASSES * seconds + UPDATE_SECONDS[0] + seeds * UPDATE_SECONDS[1]


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
    return f"{seconds / 3600:.0f} hours" if seconds > 36_000 else f"{seconds / 3600:.1f} hours"
