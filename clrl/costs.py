"""How much work a run is, and how long it takes, estimated before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from clrl import compute
from clrl.agents.settings import PPOSettings, SACSettings
from clrl.config import RunConfig

OBSERVATION, ACTION = 39, 4
"""Numbers of a Meta-World 3 observation and action."""
STEP_SECONDS = 0.15e-3
"""A step of Meta-World with its share of a reset: mean of the CW10 tasks on one server core."""
ACT_SECONDS = 0.3e-3
"""A policy call and the bookkeeping of a step, on the same core."""
PASSES = {"sac": 16, "ppo": 6}
"""Passes through a network in an update; the backward ones count double (SAC: 7 forward)."""
UPDATE_SECONDS = {"sac": (1.5e-3, 1e-3), "ppo": (1e-3, 0.3e-3)}
"""What an update costs beside products and the work that grows with them: once, and per seed."""
METHOD_FACTORS = {
    "l2": 1.05, "ewc": 1.05, "online-ewc": 1.05, "mas": 1.05, "si": 1.05, "vcl": 1.7,
    "packnet": 1.05, "agem": 2.1, "cloning": 1.2, "clonex": 1.2, "multitask-popart": 1.05,
}  # fmt: skip
"""Time of an update relative to fine-tuning's, as `scripts/bench_methods.py` measures it."""

Settings = SACSettings | PPOSettings


@dataclass(frozen=True)
class Costs:
    """What a run costs.

    Attributes:
        training: environment steps of each seed.
        evaluation: environment steps of each seed, at most.
        evaluations: how often tasks are evaluated.
        updates: gradient steps of each seed.
        seconds: on this machine's CPU; None for a GPU.
    """

    training: int
    evaluation: int
    evaluations: int
    updates: int
    seconds: float | None

    def __str__(self) -> str:
        if self.seconds is None:
            time_line = "not estimated for a GPU"
        else:
            time_line = f"about {_duration(self.seconds)} on this CPU, one thread (an estimate)"
        return "\n".join([
            f"training    {self.training:,} steps and {self.updates:,} updates per seed",
            f"evaluation  {self.evaluation:,} steps per seed, in {self.evaluations:,} evaluations",
            f"time        {time_line}",
        ])  # fmt: skip


def estimate(config: RunConfig) -> Costs:
    """Return what a run costs; takes less than a second and builds nothing."""
    sequence, learner, seeds = config.sequence, config.learner, len(config.seeds)
    n_tasks, steps = len(sequence.tasks), sequence.steps_per_task
    total, how = n_tasks * steps, config.evaluation
    period = how.period(steps)
    turns = config.method.interleaved
    due = [len(how.due(step, steps, n_tasks, turns)) for step in range(period, total + 1, period)]
    evaluation = sum(due) * how.episodes * sequence.horizon
    updates = _updates(config)
    seconds = None
    if config.placement.device in ("auto", "cpu") and (
        config.placement.device == "cpu" or not torch.cuda.is_available()
    ):
        simulation = (total + evaluation) * seeds * STEP_SECONDS
        acting = (total + evaluation / how.episodes) * ACT_SECONDS
        factor = METHOD_FACTORS.get(config.method_name, 1.0)
        seconds = simulation + acting + updates * factor * _update_seconds(learner, seeds)
    return Costs(
        training=total,
        evaluation=evaluation,
        evaluations=len(due),
        updates=updates,
        seconds=seconds,
    )


def _updates(config: RunConfig) -> int:
    """Return the gradient steps of each seed."""
    learner, n_tasks = config.learner, len(config.sequence.tasks)
    total = n_tasks * config.sequence.steps_per_task
    retraining = getattr(config.method, "retrain_steps", 0) * (n_tasks - 1)
    if isinstance(learner, PPOSettings):
        minibatches = -(-learner.n_steps // learner.batch_size)
        return total // learner.n_steps * learner.n_epochs * minibatches + retraining
    starts = 1 if config.method.interleaved else n_tasks
    blocks = starts * ((total // starts - learner.learning_starts) // learner.train_freq)
    return blocks * learner.gradient_steps + retraining


def network_parameters(learner: Settings, n_tasks: int) -> tuple[int, int]:
    """Return the weights of the policy, and all numbers that a seed's networks keep.

    That is weights, gradients and two moments of policy and critics (PPO: value), and SAC's target
    critics.
    """
    heads = n_tasks if learner.multi_head else 1
    one_hot = n_tasks if n_tasks > 1 and not learner.hide_task_id else 0
    sizes, inputs = learner.hidden_sizes, OBSERVATION + one_hot + 1
    core = inputs * sizes[0] + sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
    if isinstance(learner, PPOSettings):
        core += 2 * sizes[0] * (learner.activation == "continual_world")
        policy = core + (sizes[-1] + 1 + 1) * ACTION * heads
        return policy, 4 * (policy + core + (sizes[-1] + 1) * heads)
    core += 2 * sizes[0] * learner.layer_norm
    policy = core + (sizes[-1] + 1) * 2 * ACTION * heads
    critic = core + ACTION * sizes[0] + (sizes[-1] + 1) * heads
    return policy, 4 * (policy + 2 * critic + n_tasks) + 2 * critic


def _update_seconds(learner: Settings, seeds: int) -> float:
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
    once, per_seed = UPDATE_SECONDS[learner.name]
    return 2 * PASSES[learner.name] * seconds + once + seeds * per_seed


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
    return f"{seconds / 3600:.0f} hours" if seconds > 36_000 else f"{seconds / 3600:.1f} hours"
