"""What an agent does with its policy: for users, for the evaluator, and to train."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.learner import Learner
from clrl.agents.networks.layers import full_precision
from clrl.agents.spaces import TaskSpaces


class Acting(Learner):
    """A learner whose network is a policy.

    Attributes:
        spaces: how to read observations and write actions.
        settings: of the learner.
        acting_task: the task that all seeds act in, or of interleaved tasks each seed's, [S].
    """

    acting_task: int | np.ndarray
    spaces: TaskSpaces
    settings: Any

    @abstractmethod
    def act_on_features(self, features: np.ndarray, task: Any, noise: np.ndarray) -> np.ndarray:
        """Return actions [S, K, A], as `to_env` takes them, for features [S, K, D].

        Noise 0 gives the mode.
        """

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Map the policy's actions, by default in [-1, 1], to those of the environment.

        The array is a fresh one: a world that changes its action changes nothing that is stored.
        """
        return self.spaces.to_env(actions)

    @property
    def n_heads(self) -> int:
        """Output heads of every network: one per task, or one for all."""
        return int(self.settings.heads(self.spaces.n_ids))

    @property
    def input_dim(self) -> int:
        """Width of what `with_task` returns."""
        return self.spaces.feature_dim + int(self.settings.visible(self.spaces.n_ids))

    def with_task(self, features: Tensor, task: int | Tensor) -> Tensor:
        """Append the task's one-hot to features [S, B, D] where the networks may see it."""
        if self.settings.hide_task_id or self.spaces.one_hot_dim == 0:
            return features
        if isinstance(task, int):
            task = torch.full(features.shape[:-1], task, device=features.device)
        one_hot = F.one_hot(task, self.spaces.one_hot_dim).to(features.dtype)
        return torch.cat([features, one_hot], dim=-1)

    def acting_heads(self) -> int | Tensor:
        """Return the task that all seeds act in, or their tasks [S, 1]."""
        if isinstance(self.acting_task, int):
            return self.acting_task
        return torch.from_numpy(self.acting_task).to(self.device).unsqueeze(1)

    def act(
        self, obs: np.ndarray, deterministic: np.ndarray | bool, noise: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the environment's actions [S, K, A] for observations [S, K, D].

        A method with `noisy_weights` draws its weights from the EVALUATION stream: one draw serves
        all rows of a kind (deterministic or not).

        Args:
            obs: observations with the task's one-hot.
            deterministic: for all rows, or [K].
            noise: standard normal [S, K, A] for the rows that are not deterministic; None draws it
                from the EVALUATION stream, if there are such rows.
        """
        mode = np.broadcast_to(np.asarray(deterministic), obs.shape[1:2])
        shape = (obs.shape[1], self.spaces.action_dim)
        if noise is None and not mode.all():
            noise = self.streams.normal(randomness.EVALUATION, shape)
        elif noise is None:
            noise = np.zeros((self.n_seeds, *shape), np.float32)
        noise = np.where(mode[:, None], np.float32(0.0), noise)
        tasks = self.spaces.tasks(obs)
        task = tasks if isinstance(tasks, int) else torch.from_numpy(tasks).to(self.device)
        features = self.spaces.features(obs)
        with full_precision():
            if not self.method.noisy_weights:
                return self.to_env(self.act_on_features(features, task, noise))
            actions = np.empty_like(noise)
            for kind in np.unique(mode):
                rows = np.flatnonzero(mode == kind)
                some = task if isinstance(task, int) else task[:, rows]
                with self.method.acting(bool(kind)):
                    actions[:, rows] = self.act_on_features(features[:, rows], some, noise[:, rows])
        return self.to_env(actions)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Return actions for S*K observations, K rows of each seed in order, or for one.

        Each row gets the weights in which the method evaluates the task that is observed.

        Raises:
            ValueError: observations of another shape than the space's, or whose rows cannot be
                shared out among the seeds.
        """
        observation = self.spaces.check_observation(observation)
        single = observation.ndim == 1
        rows = observation.reshape(-1, observation.shape[-1])
        if len(rows) % self.n_seeds:
            raise ValueError(
                f"observation has {len(rows)} rows; allowed are multiples of {self.n_seeds}, "
                "the rows of each seed in order"
            )
        obs = rows.reshape(self.n_seeds, -1, rows.shape[-1])
        noise = None
        if not deterministic:
            shape = (obs.shape[1], self.spaces.action_dim)
            noise = self.streams.normal(randomness.EVALUATION, shape)
        actions = self._act_as_evaluated(obs, deterministic, noise).reshape(len(rows), -1)
        return (actions[0] if single else actions), state

    def _act_as_evaluated(
        self, obs: np.ndarray, deterministic: bool, noise: np.ndarray | None
    ) -> np.ndarray:
        """Act with the weights of every row's own task."""
        if not self.method.changes_weights_to_evaluate():
            return self.act(obs, deterministic, noise)
        tasks = np.broadcast_to(self.spaces.tasks(obs), obs.shape[:2])
        shape = (*obs.shape[:2], self.spaces.action_dim)
        actions = np.empty(shape, self.spaces.action.dtype)
        for task in np.unique(tasks).tolist():
            with self.evaluating(task):
                mine = tasks == task
                actions[mine] = self.act(obs, deterministic, noise)[mine]
        return actions

    @contextlib.contextmanager
    def evaluating(self, task: int, *key: int) -> Iterator[None]:
        """Give the weights the form in which the method evaluates a task.

        Args:
            task: which task of the sequence. A method whose sequence does not reveal it gets the
                current one.
            *key: makes what is drawn inside a function of seed, task and key; without it the
                EVALUATION stream goes on.
        """
        apart = self.streams.apart(randomness.EVALUATION, task, *key)
        with apart if key else contextlib.nullcontext(), torch.no_grad():
            with self.method.evaluating(task if self.spaces.reveals == "task" else self.task):
                yield
