"""Settings of PPO, and what follows from them: memory, updates, fit to a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from clrl.agents.settings.base import LearnerSettings, dense
from clrl.agents.settings.fields import number


@dataclass(frozen=True)
class PPOSettings(LearnerSettings):
    """Settings of PPO; the defaults are Stable-Baselines3's (ppo/ppo.py, common/policies.py)."""

    name: ClassVar[str] = "ppo"
    no_turns: ClassVar[str] = "a row of its rollouts has one task for all seeds"
    passes: ClassVar[int] = 6

    learning_rate: float = number(3e-4, above=0)
    """Adam's learning rate (Stable-Baselines3: 3e-4; slippery ant: 1e-4)."""
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """Keep the learning rate, or let it fall to 0 over `schedule_steps` (Stable-Baselines3:
    constant; its LinearSchedule)."""
    n_steps: int = number(2048, above=0)
    """Steps of a rollout and seed, between two blocks of updates (Stable-Baselines3: 2048)."""
    batch_size: int = number(64, above=0)
    """Rows of a minibatch and seed (Stable-Baselines3: 64; slippery ant: 128)."""
    n_epochs: int = number(10, above=0)
    """Passes over each rollout (Stable-Baselines3: 10)."""
    gamma: float = number(0.99, least=0, most=1)
    """Discount factor (Stable-Baselines3: 0.99)."""
    gae_lambda: float = number(0.95, least=0, most=1)
    """Decay of the generalised advantage estimate (Stable-Baselines3: 0.95; arXiv 1506.02438)."""
    clip_range: float = number(0.2, above=0)
    """Largest change of an action's probability that is rewarded (Stable-Baselines3: 0.2)."""
    clip_range_vf: float | None = number(None, above=0)
    """Largest change of a value per rollout; none by default (Stable-Baselines3: none). It depends
    on the scale of rewards."""
    clip_range_schedule: Literal["constant", "linear"] = "constant"
    """Keep both clip ranges, or let them fall to 0 over `schedule_steps` (Stable-Baselines3:
    constant; its LinearSchedule)."""
    schedule_steps: int = number(0, least=0)
    """Step of the run at which linear schedules reach 0. Stable-Baselines3 takes the length of
    `learn`; a length of its own makes `learn(a)` then `learn(b)` the same as `learn(a + b)`."""
    normalize_advantage: Literal["minibatch", "rollout", "none"] = "minibatch"
    """Give advantages mean 0 and deviation 1 in each minibatch (Stable-Baselines3), over the whole
    rollout (slippery ant), or not."""
    ent_coef: float = number(0.0, least=0)
    """Weight of the policy's entropy in the loss (Stable-Baselines3: 0)."""
    vf_coef: float = number(0.5, least=0)
    """Weight of the value loss (Stable-Baselines3: 0.5; slippery ant: 1)."""
    max_grad_norm: float | None = number(0.5, above=0)
    """Clip of the gradient norm of policy and value together (Stable-Baselines3: 0.5; slippery ant:
    none)."""
    target_kl: float | None = number(None, above=0)
    """Stop a rollout's updates when the policy moved by 1.5 times this divergence; none by default
    (Stable-Baselines3: none). With several seeds it is refused: one cannot stop alone."""
    hidden_sizes: tuple[int, ...] = number((64, 64), above=0)
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
    adam_beta1: float = number(0.9, least=0, below=1)
    """Adam's decay of the first moment (PyTorch: 0.9; slippery ant, tuned: 0.99)."""
    adam_beta2: float = number(0.999, least=0, below=1)
    """Adam's decay of the second moment (PyTorch: 0.999; slippery ant, tuned: 0.99)."""
    adam_eps: float = number(1e-5, above=0)
    """Adam's epsilon (Stable-Baselines3: 1e-5; slippery ant: 1e-8)."""
    weight_decay: float = number(0.0, least=0)
    """Pull to zero, added to the gradient of every parameter (slippery ant with L2: 1e-3) but
    those of other tasks' heads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        schedules = (self.learning_rate_schedule, self.clip_range_schedule)
        if "linear" in schedules and self.schedule_steps < 1:
            raise ValueError(
                f"schedule_steps is {self.schedule_steps}; a linear schedule needs a length from 1 "
                "step on, usually that of the whole run"
            )

    def left(self, schedule: str, step: int) -> float:
        """Return the share of a setting that its schedule leaves at a step of the run."""
        return 1.0 if schedule == "constant" else max(1.0 - step / self.schedule_steps, 0.0)

    def row_bytes(self, observation: int, action: int) -> int:
        """Return observation, action, five numbers in float32; four bytes, one for the task."""
        return 4 * (observation + action + 5) + 4

    def rows_stored(self, lengths: Sequence[int], one_store: bool) -> int:
        """Return the rows of the rollout that is written and of the last one."""
        return 2 * self.n_steps

    def updates(self, lengths: Sequence[int], one_task: bool) -> int:
        """Return the updates of a seed: epochs times minibatches of every rollout."""
        minibatches = -(-self.n_steps // self.batch_size)
        return sum(lengths) // self.n_steps * self.n_epochs * minibatches

    def network_numbers(self, observation: int, action: int, n_ids: int) -> tuple[int, int]:
        """Return the numbers of the policy, and of policy and value."""
        heads, inputs, last = (
            self.heads(n_ids),
            observation + self.visible(n_ids),
            self.hidden_sizes[-1],
        )
        norm = 2 * self.hidden_sizes[0] * (self.activation == "continual_world")
        core = dense((inputs, *self.hidden_sizes)) + norm
        policy = core + dense((last, action * heads)) + action * heads  # and its noise
        return policy, 4 * (policy + core + dense((last, heads)))

    def check_fit(
        self, lengths: Sequence[int], told_boundaries: bool, acts_there: bool = False
    ) -> None:
        """Raise ValueError if a task is over before a rollout is, or ends within one that matters.

        Rollouts do not end with a task: what belongs to its end would wait, and be trained past.
        """
        self.check_length("n_steps", lengths, told_boundaries)
        common = math.gcd(*lengths)
        if not acts_there or len(lengths) == 1 or common % self.n_steps == 0:
            return
        fits = [n for n in range(1, min(common, 4 * self.n_steps) + 1) if common % n == 0]
        below = max(n for n in fits if n <= self.n_steps)
        near = min(fits, key=lambda n: abs(math.log(n / self.n_steps)))
        named = " and ".join(map(str, dict.fromkeys(lengths)))
        raise ValueError(
            f"n_steps is {self.n_steps}, which does not divide the {named} steps of a task, so "
            "what happens at its end would wait for the end of a rollout; give --ppo.n-steps "
            f"{below if 2 * below > self.n_steps else near}"
        )

    def check_seeds(self, n_seeds: int) -> None:
        """Raise ValueError if so many seeds cannot be trained side by side."""
        if self.target_kl is not None and n_seeds > 1:
            raise ValueError(
                f"ppo.target_kl is {self.target_kl} with {n_seeds} seeds, but one seed cannot stop "
                "its updates alone; give one seed, or --ppo.target-kl None"
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
