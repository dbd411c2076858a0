"""What the numbers of a configuration may be, and what does not fit together."""

from __future__ import annotations

from dataclasses import fields

from clrl.agents.methods.base import Method
from clrl.agents.settings import SACSettings
from clrl.errors import ConfigError
from clrl.fields import check_ranges


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raise ConfigError unless there are seeds, none negative and none twice."""
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"seeds is {list(seeds)}; give at least one, none negative")
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"seed {twice[0]} is given twice in seeds {','.join(map(str, seeds))}")


def check_learner(learner: SACSettings) -> None:
    """Raise ConfigError unless every number is in its range."""
    check_ranges(
        learner,
        "sac",
        positive=[
            "learning_rate", "buffer_size", "batch_size", "train_freq", "gradient_steps",
            "target_output_std", "max_grad_norm", "adam_eps", "hidden_sizes",
        ],
        not_negative=["exploration_steps", "learning_starts"],
        shares=["gamma", "tau", "adam_beta1", "adam_beta2", "popart_beta"],
        finite=["initial_log_alpha"],
    )  # fmt: skip
    if not learner.hidden_sizes:
        raise ConfigError("sac.hidden_sizes is empty; give at least one width")


def check_method(method: Method) -> None:
    """Raise ConfigError if a hyperparameter is negative or not finite."""
    numbers = [f.name for f in fields(method) if f.type in ("int", "float", int, float)]
    check_ranges(method, "method", not_negative=numbers)


def check_budget(steps: int, evals: int, learner: SACSettings, method: Method) -> None:
    """Raise ConfigError if a task is too short for a setting.

    Published settings are never scaled silently: what a short run cannot hold is refused, with the
    flag to give.

    Args:
        steps: steps per task.
        evals: evaluations per task.
        learner: settings of the learner.
        method: the method.
    """
    short = f"a task has {steps} steps (--steps-per-task)"
    for name in ("exploration_steps", "learning_starts"):
        if getattr(learner, name) >= steps:
            raise ConfigError(
                f"{name} is {getattr(learner, name)}, but {short}; "
                f"give --sac.{name.replace('_', '-')} below that, or --preset small"
            )
    retrain = getattr(method, "retrain_steps", 0)
    if retrain > steps:
        raise ConfigError(
            f"retrain_steps is {retrain}, but {short}; give --retrain-steps of at most that, "
            "or --preset small"
        )
    if steps % evals:
        fits = min((n for n in range(1, min(steps, 2 * evals) + 1) if steps % n == 0),
                   key=lambda n: abs(n - evals))  # fmt: skip
        raise ConfigError(
            f"evals_per_task is {evals}, which does not divide {steps} steps per task; "
            f"give --evals-per-task {fits}"
        )
