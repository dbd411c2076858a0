"""How much work a run is, and how long it takes, estimated before it starts.

Times are constants that were measured once, in CPU time of one thread: the same command says the
same everywhere, and other cores take longer or shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from clrl.config.run import RunConfig

MEASURED_ON = "an AMD EPYC (Zen 4)"
"""With both cores of the machine at work, as where several runs go at once."""
START_SECONDS = 4.0
"""Of a process, mostly imports."""
STEP_SECONDS = 0.25e-3
"""A training step beside the simulations and the updates: acting, storing, counting."""
EVALUATED_SECONDS = 0.05e-3
"""The share of a simulated step of an evaluation in the policy calls for it."""


@dataclass(frozen=True)
class UpdateTime:
    """Seconds that an update takes.

    Of S seeds once + S * passes * batch * (unit * hidden units + product * multiply-adds), where
    the multiply-adds are those of a row in the hidden layers.

    Attributes:
        once: what does not grow with batch, network and seeds.
        unit: of a hidden unit of one row in one pass: activation, layer norm, memory.
        product: of a multiply-add.
    """

    once: float
    unit: float
    product: float


UPDATES = {
    ("sac", "native"): UpdateTime(once=0.17e-3, unit=1.2e-9, product=17.5e-12),
    ("sac", "torch"): UpdateTime(once=2.6e-3, unit=3.6e-9, product=15.0e-12),
    ("ppo", "native"): UpdateTime(once=0.36e-3, unit=0.8e-9, product=18.0e-12),
    ("ppo", "torch"): UpdateTime(once=1.3e-3, unit=4.0e-9, product=12.5e-12),
    ("classifier", "torch"): UpdateTime(once=0.48e-3, unit=3.2e-9, product=22.0e-12),
}
"""By learner and by what computes the update."""


@dataclass(frozen=True)
class Costs:
    """What a run costs.

    Attributes:
        training: environment steps of each seed.
        evaluation: environment steps of each seed, at most.
        evaluations: how often tasks are evaluated.
        updates: gradient steps of each seed.
        seconds: on the core that was measured; None for a GPU.
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
            where = f"one core of {MEASURED_ON}; others differ"
            time_line = f"about {_duration(self.seconds)} on {where}"
        evaluation = f"{self.evaluation:,} {self.unit} per seed"
        return "\n".join([
            f"training    {self.training:,} steps and {self.updates:,} updates per seed",
            f"evaluation  {evaluation}, in {self.evaluations:,} evaluations",
            f"time        {time_line}",
        ])  # fmt: skip


def expected_costs(config: RunConfig, path: str = "torch") -> Costs:
    """Return what a run costs; takes less than a second and builds nothing.

    Args:
        config: the run's.
        path: what computes its updates, "native" or "torch".
    """
    sequence, seeds, how = config.sequence, len(config.seeds), config.evaluation
    schedule, turns = sequence.schedule, config.method.interleaved
    total, steps = schedule.total, schedule.evaluations(how.evals_per_task)
    due = [len(how.due(step, schedule, turns)) for step in steps]
    evaluation = sum(due) * sequence.evaluated(how.episodes)
    updates, seconds = _updates(config), None
    if on_cpu(config):
        training = total * (STEP_SECONDS + seeds * sequence.step_seconds)
        playing = 0.0 if sequence.supervised else sequence.step_seconds + EVALUATED_SECONDS
        update = config.method.update_factor * update_seconds(config, path)
        evaluating = seeds * evaluation * playing
        seconds = START_SECONDS + training + evaluating + updates * update
    return Costs(
        training=total,
        evaluation=evaluation,
        evaluations=len(due),
        updates=updates,
        seconds=seconds,
        unit="examples" if sequence.supervised else "steps",
    )


def on_cpu(config: RunConfig) -> bool:
    """Return whether a run computes on a CPU, on this machine."""
    device = config.placement.device
    return device == "cpu" or (device == "auto" and not torch.cuda.is_available())


def _updates(config: RunConfig) -> int:
    """Return the gradient steps of each seed."""
    schedule, one_task = config.sequence.schedule, not config.tells_boundaries
    extra = config.method.extra_updates(schedule.n_tasks)
    return int(config.learner.updates(schedule.lengths, one_task)) + extra


def update_seconds(config: RunConfig, path: str) -> float:
    """Return the time of an update of fine-tuning with a run's learner, of all its seeds together.

    Args:
        config: the run's.
        path: what computes it, "native" or "torch"; a learner without a native one takes torch.
    """
    learner = config.learner
    times = UPDATES.get((learner.name, path)) or UPDATES[learner.name, "torch"]
    sizes = (config.sizes[0], *learner.hidden_sizes)
    products = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    row = times.unit * sum(learner.hidden_sizes) + times.product * products
    return times.once + len(config.seeds) * learner.passes * learner.batch_size * row


def _duration(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
    return f"{seconds / 3600:.0f} hours" if seconds > 36_000 else f"{seconds / 3600:.1f} hours"
