"""What the numbers of a configuration may be, and what does not fit together."""

from __future__ import annotations

import typing
from dataclasses import fields

from clrl.agents.methods.base import Method
from clrl.agents.settings import PPOSettings, SACSettings
from clrl.errors import ConfigError
from clrl.fields import check_choices, check_ranges


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raise ConfigError unless there are seeds, none negative and none twice."""
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"seeds is {list(seeds)}; give at least one, none negative")
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"seed {twice[0]} is given twice in seeds {','.join(map(str, seeds))}")


LEARNERS: dict[str, dict[str, list[str]]] = {
    "sac": {
        "positive": [
            "learning_rate", "buffer_size", "batch_size", "train_freq", "gradient_steps",
            "target_output_std", "max_grad_norm", "adam_eps", "hidden_sizes",
        ],
        "not_negative": ["exploration_steps", "learning_starts"],
        "shares": ["gamma", "tau", "adam_beta1", "adam_beta2", "popart_beta"],
        "finite": ["initial_log_alpha"],
    },
    "ppo": {
        "positive": [
            "learning_rate", "n_steps", "batch_size", "n_epochs", "clip_range", "clip_range_vf",
            "max_grad_norm", "target_kl", "hidden_sizes", "adam_eps",
        ],
        "not_negative": ["schedule_steps", "ent_coef", "vf_coef", "weight_decay"],
        "shares": ["gamma", "gae_lambda", "adam_beta1", "adam_beta2"],
        "finite": ["log_std_init"],
    },
}  # fmt: skip
"""Ranges of the learners' settings, as `check_ranges` takes them."""
NUMBERS = (int, float, int | None, float | None)
METHODS: dict[str, list[str]] = {
    "positive": [
        "fisher_batches", "fisher_batch_size", "mas_batches", "mas_batch_size",
        "memory_per_task", "memory_batch_size",
    ],
    "shares": [],
    "finite": ["initial_log_variance"],
}  # fmt: skip
"""The same for fields of methods, whichever method has them; other numbers are not negative."""


def check_learner(learner: SACSettings | PPOSettings) -> None:
    """Raise ConfigError unless every setting is in its range or one of its choices."""
    check_choices(learner, learner.name)
    check_ranges(learner, learner.name, **LEARNERS[learner.name])
    if not learner.hidden_sizes:
        raise ConfigError(f"{learner.name}.hidden_sizes is empty; give at least one width")


def check_method(method: Method) -> None:
    """Raise ConfigError unless every hyperparameter is in its range or one of its choices."""
    check_choices(method, "method")
    hints = typing.get_type_hints(type(method))
    numbers = [f.name for f in fields(method) if hints[f.name] in NUMBERS]
    ranges = {kind: [name for name in names if name in numbers] for kind, names in METHODS.items()}
    ranges["not_negative"] = [name for name in numbers if name not in METHODS["finite"]]
    check_ranges(method, "method", **ranges)


def check_fit(
    steps: int, evals: int, n_seeds: int, learner: SACSettings | PPOSettings, method: Method
) -> None:
    """Raise ConfigError if settings do not fit together, or a task is too short for one.

    Published settings are never scaled silently: what a short run cannot hold is refused, with the
    flag to give.

    Args:
        steps: steps per task.
        evals: evaluations per task.
        n_seeds: seeds trained side by side.
        learner: settings of the learner.
        method: the method.
    """
    try:
        method.check_settings(learner)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    _check_length(steps, learner, method)
    if isinstance(learner, PPOSettings) and learner.target_kl is not None and n_seeds > 1:
        raise ConfigError(
            f"ppo.target_kl is {learner.target_kl} with {n_seeds} seeds, but one seed cannot stop "
            "its updates alone; give one seed, or --ppo.target-kl None"
        )
    if steps % evals:
        fits = min((n for n in range(1, min(steps, 2 * evals) + 1) if steps % n == 0),
                   key=lambda n: abs(n - evals))  # fmt: skip
        raise ConfigError(
            f"evals_per_task is {evals}, which does not divide {steps} steps per task; "
            f"give --evals-per-task {fits}"
        )


def _check_length(steps: int, learner: SACSettings | PPOSettings, method: Method) -> None:
    """Raise ConfigError if a task is too short for a setting."""
    short = f"a task has {steps} steps (--steps-per-task)"
    if isinstance(learner, PPOSettings):
        longest = {"n_steps": steps}
    else:
        longest = {"exploration_steps": steps - 1, "learning_starts": steps - 1}
    for name, limit in longest.items():
        if getattr(learner, name) > limit:
            flag = f"--{learner.name}.{name.replace('_', '-')}"
            raise ConfigError(
                f"{name} is {getattr(learner, name)}, but {short}; "
                f"give {flag} of at most {limit}, or --preset small"
            )
    retrain = getattr(method, "retrain_steps", 0)
    if retrain > steps:
        raise ConfigError(
            f"retrain_steps is {retrain}, but {short}; give --retrain-steps of at most that, "
            "or --preset small"
        )
