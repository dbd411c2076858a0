"""Settings of SAC, and what follows from them: memory, updates, fit to a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from clrl.agents.settings.base import LearnerSettings, dense
from clrl.agents.settings.fields import number


@dataclass(frozen=True)
class SACSettings(LearnerSettings):
    """Settings of SAC; the defaults are Continual World's (arXiv 2105.10919, input_args.py)."""

    name: ClassVar[str] = "sac"
    can_interleave: ClassVar[bool] = True
    passes: ClassVar[int] = 16  # 7 forward
    memory_flag: ClassVar[str] = "--sac.buffer-size"

    learning_rate: float = number(1e-3, above=0)
    """Adam's learning rate (Continual World: 1e-3)."""
    buffer_size: int = number(1_000_000, above=0)
    """Transitions kept per seed, first in, first out (Continual World: 1e6)."""
    batch_size: int = number(128, above=0)
    """Transitions per update and seed (Continual World: 128)."""
    gamma: float = number(0.99, least=0, most=1)
    """Discount factor (Continual World: 0.99)."""
    tau: float = number(0.005, least=0, most=1)
    """Share of the online critics in each Polyak average (Continual World: polyak 0.995)."""
    exploration_steps: int = number(10_000, least=0)
    """Uniformly random actions at the start of every task; one more is taken, as published."""
    learning_starts: int = number(1_000, least=0)
    """Step of each task at which updates start (Continual World: update_after)."""
    train_freq: int = number(50, above=0)
    """Steps between two blocks of updates (Continual World: update_every)."""
    gradient_steps: int = number(50, above=0)
    """Updates in a block (Continual World: as many as steps)."""
    hidden_sizes: tuple[int, ...] = number((256, 256, 256, 256), above=0)
    """Widths of the hidden layers of actor and critics (Continual World: 4 x 256)."""
    layer_norm: bool = True
    """Layer norm and tanh after the first layer (Continual World: on)."""
    hide_task_id: bool = True
    """Keep the task's one-hot from the networks; heads still use it (CW20: on)."""
    multi_head: bool = True
    """One output head per task in actor and critics (CW20: on)."""
    initial_log_alpha: float = 1.0
    """Log of each task's entropy coefficient at the start (Continual World: 1)."""
    target_output_std: float = number(0.089, above=0)
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
    popart_beta: float = number(3e-4, least=0, most=1)
    """Step size of PopArt's running mean and scale (Continual World: 3e-4)."""
    max_grad_norm: float | None = number(None, above=0)
    """Clip of the gradient norm of actor, critics and entropy coefficient; none by default."""
    adam_beta1: float = number(0.9, least=0, below=1)
    """Adam's decay of the first moment (Keras' default)."""
    adam_beta2: float = number(0.999, least=0, below=1)
    """Adam's decay of the second moment (Keras' default)."""
    adam_eps: float = number(1e-7, above=0)
    """Adam's epsilon (Keras' default; PackNet's published clip only works with it)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exploration == "best_return" and not self.multi_head:
            raise ValueError(
                "exploration is best_return, which plays the heads of old tasks, and multi_head is "
                "False; allowed are multi_head True, or exploration uniform"
            )

    @classmethod
    def uses(cls, values: Mapping[str, Any]) -> tuple[bool, bool]:
        """Return whether the learner acts at told boundaries, and whether it reads the task id."""
        every = cls.with_defaults(values)
        waits = every["exploration_steps"] > 0 or every["learning_starts"] > 0
        resets, reads = super().uses(values)
        return waits or resets, reads

    def row_bytes(self, observation: int, action: int) -> int:
        """Return both observations, action, reward and end in float32, and a byte for the task."""
        return 4 * (2 * observation + action + 2) + 1

    def rows_stored(self, lengths: Sequence[int], one_store: bool) -> int:
        """Return the transitions of a seed that the buffer can ever hold."""
        together = one_store or not self.reset_buffer
        return min(self.buffer_size, sum(lengths) if together else max(lengths))

    def with_rows(self, rows: int) -> SACSettings:
        """Return these settings with a buffer for so many rows."""
        return replace(self, buffer_size=rows)

    def updates(self, lengths: Sequence[int], one_task: bool) -> int:
        """Return the updates of a seed: a block every `train_freq` steps from `learning_starts`."""
        starts = [sum(lengths)] if one_task else lengths
        blocks = sum(max(0, steps - self.learning_starts) // self.train_freq for steps in starts)
        return blocks * self.gradient_steps

    def network_numbers(self, observation: int, action: int, n_ids: int) -> tuple[int, int]:
        """Return the numbers of actor, and of actor, critics, entropy coefficients and targets."""
        heads, inputs = self.heads(n_ids), observation + self.visible(n_ids)
        core = dense((inputs, *self.hidden_sizes)) + 2 * self.hidden_sizes[0] * self.layer_norm
        policy = core + dense((self.hidden_sizes[-1], 2 * action * heads))
        critic = core + action * self.hidden_sizes[0] + dense((self.hidden_sizes[-1], heads))
        return policy, 4 * (policy + 2 * critic + n_ids) + 2 * critic

    def check_fit(
        self, lengths: Sequence[int], told_boundaries: bool, acts_there: bool = False
    ) -> None:
        """Raise ValueError if a task is over before it is explored or updates start."""
        self.check_length("exploration_steps", lengths, told_boundaries, spare=1)
        self.check_length("learning_starts", lengths, told_boundaries, spare=1)
        steps = min(lengths) if told_boundaries else sum(lengths)
        if not self._updates_within(steps, self.train_freq):
            fits = max(f for f in range(1, steps + 1) if self._updates_within(steps, f))
            raise ValueError(
                f"train_freq is {self.train_freq} and learning_starts {self.learning_starts}, so "
                f"no update falls into {steps} steps (--steps-per-task); give --sac.train-freq "
                f"{min(fits, self.learning_starts or fits)}, or --preset small"
            )

    def _updates_within(self, steps: int, train_freq: int) -> bool:
        """Return whether an update is due at one of so many steps of a task."""
        return -(-self.learning_starts // train_freq) * train_freq < steps


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
