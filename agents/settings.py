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
    can_interleave: ClassVar[bool] = True

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

    def __post_init__(self) -> None:
        if self.exploration == "best_return" and not self.multi_head:
            raise ValueError(
                "exploration is best_return, which plays the heads of old tasks, and multi_head is "
                "False; allowed are multi_head True, or exploration uniform"
            )


# For budgets of some thousand steps: it learns single easy tasks from scratch in 7,500.
SMALL_PRESET: dict[str, Any] = {
    "learning_rate": 1e-3,  # for all: with multi-task training's 1e-4 little is learned so soon
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


@dataclass(frozen=True)
class PPOSettings:
    """Settings of PPO; the defaults are Stable-Baselines3's (ppo/ppo.py, common/policies.py)."""

    name: ClassVar[str] = "ppo"
    can_interleave: ClassVar[bool] = False

    learning_rate: float = 3e-4
    """Adam's learning rate (Stable-Baselines3: 3e-4; slippery ant: 1e-4)."""
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """Keep the learning rate, or let it fall to 0 over `schedule_steps` (Stable-Baselines3:
    constant; its LinearSchedule)."""
    n_steps: int = 2048
    """Steps of a rollout and seed, between two blocks of updates (Stable-Baselines3: 2048)."""
    batch_size: int = 64
    """Rows of a minibatch and seed (Stable-Baselines3: 64; slippery ant: 128)."""
    n_epochs: int = 10
    """Passes over each rollout (Stable-Baselines3: 10)."""
    gamma: float = 0.99
    """Discount factor (Stable-Baselines3: 0.99)."""
    gae_lambda: float = 0.95
    """Decay of the generalised advantage estimate (Stable-Baselines3: 0.95; arXiv 1506.02438)."""
    clip_range: float = 0.2
    """Largest change of an action's probability that is rewarded (Stable-Baselines3: 0.2)."""
    clip_range_vf: float | None = None
    """Largest change of a value per rollout; none by default (Stable-Baselines3: none). It depends
    on the scale of rewards."""
    clip_range_schedule: Literal["constant", "linear"] = "constant"
    """Keep both clip ranges, or let them fall to 0 over `schedule_steps` (Stable-Baselines3:
    constant; its LinearSchedule)."""
    schedule_steps: int = 0
    """Step of the run at which linear schedules reach 0. Stable-Baselines3 takes the length of
    `learn`; a length of its own makes `learn(a)` then `learn(b)` the same as `learn(a + b)`."""
    normalize_advantage: Literal["minibatch", "rollout", "none"] = "minibatch"
    """Give advantages mean 0 and deviation 1 in each minibatch (Stable-Baselines3), over the whole
    rollout (slippery ant), or not."""
    ent_coef: float = 0.0
    """Weight of the policy's entropy in the loss (Stable-Baselines3: 0)."""
    vf_coef: float = 0.5
    """Weight of the value loss (Stable-Baselines3: 0.5; slippery ant: 1)."""
    max_grad_norm: float | None = 0.5
    """Clip of the gradient norm of policy and value together (Stable-Baselines3: 0.5; slippery ant:
    none)."""
    target_kl: float | None = None
    """Stop a rollout's updates when the policy moved by 1.5 times this divergence; none by default
    (Stable-Baselines3: none). With several seeds it is refused: one cannot stop alone."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value (Stable-Baselines3: 2 x 64; slippery ant:
    2 x 256)."""
    activation: Literal["tanh", "relu", "continual_world"] = "tanh"
    """After hidden layers: tanh (Stable-Baselines3), ReLU (slippery ant), or as in Continual World:
    layer norm and tanh after the first, leaky ReLU after the others."""
    initialisation: Literal["orthogonal", "lecun", "glorot"] = "orthogonal"
    """First weights: orthogonal, small for actions (Stable-Baselines3), LeCun uniform (slippery
    ant), or Glorot uniform (Continual World)."""
    log_std_init: float = 0.0
    """Log of the action noise at the start (Stable-Baselines3: 0; slippery ant: 0)."""
    hide_task_id: bool = True
    """Keep the task's one-hot from the networks; heads still use it (CW20, for SAC: on)."""
    multi_head: bool = True
    """One output head and action noise per task in policy and value (CW20, for SAC: on)."""
    clip_actions: bool = True
    """Clip actions to the environment's bounds before it gets them (Stable-Baselines3: on; slippery
    ant: off)."""
    bootstrap_truncated: bool = True
    """Add the value of the last observation where a time limit ends an episode (Stable-Baselines3:
    on; slippery ant: off)."""
    reset_optimizer: bool = True
    """Start with a fresh optimizer when the task changes (Continual World, for SAC: on; slippery
    ant: off)."""
    adam_beta1: float = 0.9
    """Adam's decay of the first moment (PyTorch: 0.9; slippery ant, tuned: 0.99)."""
    adam_beta2: float = 0.999
    """Adam's decay of the second moment (PyTorch: 0.999; slippery ant, tuned: 0.99)."""
    adam_eps: float = 1e-5
    """Adam's epsilon (Stable-Baselines3: 1e-5; slippery ant: 1e-8)."""
    weight_decay: float = 0.0
    """Pull to zero, added to the gradient of every parameter (slippery ant with L2: 1e-3)."""

    def __post_init__(self) -> None:
        schedules = (self.learning_rate_schedule, self.clip_range_schedule)
        if "linear" in schedules and self.schedule_steps < 1:
            raise ValueError(
                f"schedule_steps is {self.schedule_steps}; a linear schedule needs a length from 1 "
                "step on, usually that of the whole run"
            )


# Published for the slippery ant (Dohare et al. 2024, Nature 632:768; shibhansh/loss-of-plasticity,
# rl/cfg/sant/std.yml and algos/rl/ppo.py). "Tuned Adam" has adam_beta1 = adam_beta2 = 0.99.
SLIPPERY_ANT_PRESET: dict[str, Any] = {
    "learning_rate": 1e-4,
    "n_steps": 2048,
    "batch_size": 128,
    "n_epochs": 10,
    "normalize_advantage": "rollout",
    "vf_coef": 1.0,
    "max_grad_norm": None,
    "hidden_sizes": (256, 256),
    "activation": "relu",
    "initialisation": "lecun",
    "adam_eps": 1e-8,
    "clip_actions": False,
    "bootstrap_truncated": False,
    "multi_head": False,
    "reset_optimizer": False,
}

# For budgets of some ten thousand steps, where it learns little: see docs/ppo.md.
SMALL_PPO_PRESET: dict[str, Any] = {
    "learning_rate": 1e-3,
    "n_steps": 500,
    "batch_size": 100,
    "activation": "relu",
}


def make_settings(
    kind: Any, given: Any, method: Method, overrides: dict[str, Any], reveals: str = "task"
) -> Any:
    """Return a learner's settings.

    Args:
        kind: the learner's settings dataclass.
        given: complete settings, or None for the published ones of learner and method.
        method: its `learner_defaults` for this learner count where `given` is None.
        overrides: single settings; they win.
        reveals: what the sequence reveals.

    Raises:
        TypeError: a setting that the learner does not have, with the closest name.
        ValueError: the method does not work on this learner, or not with these settings.
    """
    known = [field.name for field in fields(kind)]
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(
                f"{kind.__name__} has no setting {name}{hint} (it has {', '.join(known)})"
            )
    base = given if given is not None else kind(**method.learner_defaults.get(kind.name, {}))
    settings = replace(base, **overrides)
    method.check_settings(settings)
    return settings
