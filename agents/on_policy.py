"""What an agent that learns from rollouts adds to the training loop."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.networks import full_precision
from clrl.agents.rollout import Rollout, RolloutBatch
from clrl.agents.settings import PPOSettings
from clrl.agents.transition import Transition


class OnPolicyAgent(Agent):
    """An agent that learns at the end of each rollout of `n_steps`, from that rollout only.

    Rollouts do not stop at a task's end, nor at that of `learn()`. The hooks of a boundary
    therefore run at the first rollout end at or after it, after the updates on that rollout:
    `on_task_end(k)`, the resets, `on_task_start(k + 1)`. Until then the agent acts in the new task,
    with its head. The last task's `on_task_end` runs at once. If `n_steps` divides the steps of a
    task, no hook has to wait.

    `sample` draws from the last two rollouts: at least `n_steps` rows of a hook's task, if that was
    so long. A step that the environment marks as unsound is never trained on: in minibatches the
    step before it takes its place.
    """

    settings: PPOSettings
    counters: ClassVar[tuple[str, ...]] = (*Agent.counters, "waiting")

    def build(self) -> None:
        """Make the rollout."""
        spaces = self.spaces
        size = (self.n_seeds, self.settings.n_steps, spaces.feature_dim, spaces.action_dim)
        self.rollout = Rollout(*size, self.task_dtype)
        self.waiting: list[list[str | int]] = []
        self.acted: dict[str, np.ndarray] = {}
        """What `explore` knew of its actions: "value" [S] and "log_prob" [S]."""

    @abstractmethod
    def values(self, features: Tensor, task: int | Tensor) -> Tensor:
        """Return predicted values [S, B] for features [S, B, D]."""

    @abstractmethod
    def train_on_rollout(self) -> None:
        """Take the updates of a full rollout."""

    def store(self, transition: Transition) -> None:
        """Write one row per seed; what a time limit cuts off is added to its reward."""
        s, kept = self.settings, np.array(transition.keep)
        reward = np.where(kept, transition.rewards, 0.0).astype(np.float32)
        truncated = transition.over & ~transition.ended & kept
        if s.bootstrap_truncated and truncated.any():
            future = self._value_of(transition.next_features)
            reward[truncated] += s.gamma * future[truncated]
        self._cut()
        self.rollout.add(
            obs=transition.features,
            action=transition.actions,
            reward=reward,
            task=self.task,
            over=transition.over,
            kept=kept,
            **self.acted,
        )

    def _cut(self) -> None:
        # An episode that other environments interrupted has not gone on in them.
        if self._last_episode_starts is not None:
            self.rollout.cut(self._last_episode_starts)

    @torch.no_grad()
    def _value_of(self, features: np.ndarray) -> np.ndarray:
        """Return the value [S] of one row of features per seed [S, D] in the current task."""
        with full_precision():
            values = self.values(torch.from_numpy(features[:, None]).to(self.device), self.task)
        return values[:, 0].cpu().numpy()

    def train_if_due(self) -> None:
        """At a rollout's end train on it, then run the hooks that waited for it."""
        if not self.rollout.full:
            return
        self._finish_rollout()
        self.train_on_rollout()
        self.rollout.advance()
        self._run_hooks()

    def _finish_rollout(self) -> None:
        s, last = self.settings, np.zeros(self.n_seeds, np.float32)
        if isinstance(self._last_obs, np.ndarray):
            # Another task's observation does no harm: the episode before it is over.
            last = self._value_of(self.spaces.features(self._last_obs))
        self._cut()
        normalise = s.normalize_advantage == "rollout"
        self.rollout.finish(last, s.gamma, s.gae_lambda, normalise)

    # Tasks

    def end_task(self) -> None:
        """End the current task; its hook waits for the rollout's end, unless the task is the last.

        Then the rows of the unfinished rollout can be sampled at once.
        """
        self.waiting = [*self.waiting, ["end", self.task]]
        self.task_open = False
        if self.rollout.position == 0:
            self._run_hooks()
        elif self.task == self.n_tasks - 1:
            self._finish_rollout()
            self._run_hooks()

    def start_task(self, task: int) -> None:
        """Begin a task; resets and hook wait for the rollout's end."""
        self.waiting = [*self.waiting, ["start", task]]
        if self.rollout.position == 0:
            self._run_hooks()
        self.task, self.task_step, self.task_open = task, 0, True

    def _run_hooks(self) -> None:
        """Run the hooks that wait, each with its own task as the current one."""
        now = self.task, self.task_step, self.task_open
        while self.waiting:
            event, task = self.waiting[0]
            self.task = int(task)
            if event == "end":
                super().end_task()
            else:
                super().start_task(self.task)
            self.waiting = self.waiting[1:]
        self.task, self.task_step, self.task_open = now

    # Data

    def sample(self, n: int | None, role: int, task: int | None = None) -> RolloutBatch:
        """Draw rows from the last complete rollouts, with replacement.

        Training goes through each rollout itself and draws none.
        """
        places = self.rollout.of_task(task)
        counts = [len(rows) for rows in places]
        self.check_rows(counts, task)
        draws = self.streams.integers(role, counts, n or self.settings.batch_size)
        index = np.stack([rows[draw] for rows, draw in zip(places, draws, strict=True)])
        batch = self.batch_of(self.rollout.rows(index), role)
        return batch if task is None else replace(batch, task=task)

    def rows_of(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """Return the rows, with what was known when they were collected."""
        return {**vars(batch), "task": self.task_ids(batch.task, batch.value)}

    def batch_of(self, rows: dict[str, Tensor], role: int) -> RolloutBatch:
        """Return the batch of stored rows; there is no noise to draw."""
        batch = RolloutBatch(**{name: values.to(self.device) for name, values in rows.items()})
        return replace(batch, task=rows["task"].to(self.device).long())

    def data_state(self) -> dict[str, Tensor]:
        """Return the rollouts."""
        return self.rollout.state()

    def load_data_state(self, state: dict[str, Tensor]) -> None:
        """Set the rollouts."""
        self.rollout.load(state)
        self._last_episode_starts = None
