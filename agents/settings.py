"""Settings of the learners: defaults, what a method publishes with, what the user gives."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal

from clrl.agents.methods.base import Method


@dataclass(frozen=True)
class SACSettings:
    """Settings of SAC; the defaults are Continual World's (arXiv 2105.10919, input_args.py)."""

    name: ClassVar[str] = "sac"

    learning_rate: float = 1e-3
    """Adam's learning rate (Continual World: 1e-3)."""
    buffer_size: int = 1_000_000
    """Transitions kept per seed, first in, first out (Continual World: 1e6)."""
    batch_size: int = 128
    """Transitions per update and seed (Continual World: 128)."""
    gamma: float = 0.99
    """Discount factor (Continual World: 0.99)."""
    tau: float = 0.005
    """Share of the online critics in each Polyak average (Continual World: polyak 0.995)."""
    exploration_steps: int = 10_000
    """Uniformly random actions at the start of every task; one more is taken, as published."""
    learning_starts: int = 1_000
    """Step of each task at which updates start (Continual World: update_after)."""
    train_freq: int = 50
    """Steps between two blocks of updates (Continual World: update_every)."""
    gradient_steps: int = 50
    """Updates in a block (Continual World: as many as steps)."""
    hidden_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Widths of the hidden layers of actor and critics (Continual World: 4 x 256)."""
    layer_norm: bool = True
    """Layer norm and tanh after the first layer (Continual World: on)."""
    hide_task_id: bool = True
    """Keep the task's one-hot from the networks; heads still use it (CW20: on)."""
    multi_head: bool = True
    """One output head per task in actor and critics (CW20: on)."""
    initial_log_alpha: float = 1.0
    """Log of each task's entropy coefficient at the start (Continual World: 1)."""
    target_output_std: float = 0.089
    """Action noise at which the policy has its target entropy (Continual World: 0.089)."""
    reset_buffer: bool = True
    """Empty the replay buffer when the task changes (Continual World: on)."""
    reset_optimizer: bool = True
    """Start with fresh optimizers when the task changes (Continual World: on)."""
    reset_critic: bool = False
    """Draw new critics when the task changes (Continual World: off)."""
    replay: Literal["fifo", "reservoir"] = "fifo"
    """What a full buffer forgets: the oldest transition, or one at random, so that it stays a
    uniform sample of everything seen (Continual World's perfect memory)."""
    exploration: Literal["uniform", "best_return"] = "uniform"
    """How a task starts: uniformly random actions (Continual World), or the heads of old tasks,
    each for one episode and then the best of them (ClonEx, arXiv 2209.13900)."""
    popart: bool = False
    """Normalise each task's critic targets (PopArt; Continual World's multi-task runs)."""
    popart_beta: float = 3e-4
    """Step size of PopArt's running mean and scale (Continual World: 3e-4)."""
    max_grad_norm: float | None = None
    """Clip of the gradient norm of actor, critics and entropy coefficient; none by default."""
    adam_beta1: float = 0.9
    """Adam's decay of the first moment (Keras' default)."""
    adam_beta2: float = 0.999
    """Adam's decay of the second moment (Keras' default)."""
    adam_eps: float = 1e-7
    """Adam's epsilon (Keras' default; PackNet's published clip only works with it)."""


# For budgets of some thousand steps: it learns single easy tasks from scratch in 7,500.
SMALL_PRESET: dict[str, Any] = {
    "hidden_sizes": (64, 64),
    "exploration_steps": 1_000,
    "learning_starts": 500,
    "train_freq": 1,
    "gradient_steps": 1,
    "buffer_size": 100_000,
    "gamma": 0.95,
    "tau": 0.01,
    "initial_log_alpha": -1.0,
}


def make_settings(kind: Any, given: Any, method: Method, overrides: dict[str, Any]) -> Any:
    """Return a learner's settings.

    Args:
        kind: the learner's settings dataclass.
        given: complete settings, or None for the published ones of learner and method.
        method: its `learner_defaults` for this learner count where `given` is None.
        overrides: single settings; they win.

    Raises:
        TypeError: a setting that the learner does not have, with the closest name.
        ValueError: the method does not work on this learner.
    """
    method.check_learner(kind.name)
    known = [field.name for field in fields(kind)]
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(
                f"{kind.__name__} has no setting {name}{hint} (it has {', '.join(known)})"
            )
    base = given if given is not None else kind(**method.learner_defaults.get(kind.name, {}))
    return replace(base, **overrides)
