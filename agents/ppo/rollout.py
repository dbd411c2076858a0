"""The rollouts of PPO, one column per seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from clrl.agents.memory import gather

_FLOATS = ("reward", "value", "log_prob", "advantage", "returns")
_FLAGS = ("over", "kept", "complete")
_NORMALISE_EPS = 1e-8


@dataclass
class RolloutBatch:
    """Rows of rollouts of every seed.

    Attributes:
        obs: [S, B, D] without the task's one-hot.
        action: [S, B, A] in the environment's units, before they are clipped.
        log_prob: [S, B], of the action when it was taken.
        value: [S, B], as predicted when the action was taken.
        advantage: [S, B].
        returns: [S, B], what the value is to predict.
        task: the task of all rows, or task ids [S, B].
    """

    obs: Tensor
    action: Tensor
    log_prob: Tensor
    value: Tensor
    advantage: Tensor
    returns: Tensor
    task: int | Tensor

    @classmethod
    def of(cls, rows: dict[str, Tensor], device: torch.device) -> RolloutBatch:
        """Return the batch of stored rows."""
        batch = cls(**{name: values.to(device) for name, values in rows.items()})
        return replace(batch, task=rows["task"].to(device).long())

    def copy(self) -> RolloutBatch:
        """Return the batch in memory of its own, each tensor contiguous."""
        tensors = {name: t for name, t in vars(self).items() if isinstance(t, Tensor)}
        own = {n: t.clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
        return replace(self, **own)

    def explained_variance(self) -> Tensor:
        """Return how much of the returns' variance the values predicted, [S]; 1 is all of it."""
        spread = self.returns.var(-1)
        unexplained = (self.returns - self.value).var(-1)
        return torch.where(spread > 0, 1 - unexplained / spread, 0.0)


def advantages(
    reward: np.ndarray,
    value: np.ndarray,
    over: np.ndarray,
    kept: np.ndarray,
    last_value: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Return generalised advantage estimates (Schulman et al. 2016, arXiv 1506.02438).

    Computed step by step as Stable-Baselines3 does (common/buffers.py), for the same bits.

    Args:
        reward: [S, T].
        value: [S, T], predictions for the states acted in.
        over: [S, T]; whether the episode was over after the step.
        kept: [S, T]; a row that is not has advantage 0, and its estimate goes nowhere.
        last_value: [S], prediction for the state after the last step.
        gamma: discount factor.
        gae_lambda: decay of the estimate.
    """
    result = np.zeros_like(value)
    goes_on = 1.0 - over.astype(np.float32)
    kept = kept.astype(np.float32)
    estimate = np.zeros_like(last_value)
    for t in reversed(range(value.shape[1])):
        delta = reward[:, t] + gamma * last_value * goes_on[:, t] - value[:, t]
        estimate = (delta + gamma * gae_lambda * goes_on[:, t] * estimate) * kept[:, t]
        result[:, t], last_value = estimate, value[:, t]
    return result


class Rollout:
    """The rollout being written and the one before it, n_steps rows per seed each.

    Both are a ring of 2 * n_steps rows: a row stays readable until it is overwritten. A rollout
    survives the end of `learn()`, and is part of what an agent saves.
    """

    def __init__(
        self,
        n_seeds: int,
        n_steps: int,
        obs_dim: int,
        action_dim: int,
        task_dtype: DTypeLike = np.uint8,
    ):
        self.n_steps = n_steps
        rows = (n_seeds, 2 * n_steps)
        self.arrays: dict[str, np.ndarray] = {
            "obs": np.zeros((*rows, obs_dim), np.float32),
            "action": np.zeros((*rows, action_dim), np.float32),
            **{name: np.zeros(rows, np.float32) for name in _FLOATS},
            "task": np.zeros(rows, task_dtype),
            **{name: np.zeros(rows, np.uint8) for name in _FLAGS},
        }
        self.clear()

    @property
    def _tensors(self) -> dict[str, Tensor]:
        """Return the arrays as tensors; made when asked for, so that a deep copy has its own."""
        return {name: torch.from_numpy(array) for name, array in self.arrays.items()}

    def clear(self) -> None:
        """Forget everything."""
        self.start, self.position = 0, 0
        self.arrays["complete"].fill(0)

    @property
    def full(self) -> bool:
        """Whether the rollout being written has all its rows."""
        return self.position == self.n_steps

    @property
    def current(self) -> slice:
        """Where the rows written of the current rollout are."""
        return slice(self.start, self.start + self.position)

    def add(self, **row: np.ndarray | int) -> None:
        """Write one row per seed: obs, action, reward, value, log_prob, task, over, kept."""
        at = self.start + self.position
        for name, values in row.items():
            self.arrays[name][:, at] = values
        self.arrays["complete"][:, at] = 0
        self.position += 1

    def cut(self, starts: np.ndarray | None) -> None:
        """Let episodes be over at the last row where another has started since, [S].

        Other environments may have interrupted one, which has not gone on in them.
        """
        if starts is not None and self.position > 0:
            self.arrays["over"][:, self.start + self.position - 1] |= starts

    def finish(
        self, last_value: np.ndarray, gamma: float, gae_lambda: float, normalise: bool
    ) -> None:
        """Work out advantages and returns of the rows written; these may be read from now on.

        Args:
            last_value: [S], predicted for the state after the last row.
            gamma: discount factor.
            gae_lambda: decay of the advantage estimate.
            normalise: give each seed's advantages mean 0 and standard deviation 1.
        """
        a = {name: array[:, self.current] for name, array in self.arrays.items()}
        kept = a["kept"].astype(bool)
        found = advantages(a["reward"], a["value"], a["over"], kept, last_value, gamma, gae_lambda)
        a["returns"][:] = found + a["value"]
        for row, mask in zip(found, kept, strict=True):
            if normalise and mask.sum() > 1:
                row[mask] -= row[mask].mean()
                row[mask] /= row[mask].std(ddof=1) + _NORMALISE_EPS
        a["advantage"][:] = found
        a["complete"][:] = kept

    def advance(self) -> None:
        """Begin the next rollout."""
        self.start, self.position = self.n_steps - self.start, 0

    def minibatches(
        self, size: int, generators: Sequence[np.random.Generator]
    ) -> Iterator[np.ndarray]:
        """Return positions [S, size] that go through the current rollout once, each seed its order.

        The last ones may be fewer. In place of a row that was not kept comes the one before it.
        """
        stand_in = self.stand_ins()
        order = np.stack([rng.permutation(self.position) for rng in generators])
        index = np.take_along_axis(stand_in, order, axis=1)
        for first in range(0, self.position, size):
            yield index[:, first : first + size]

    def stand_ins(self) -> np.ndarray:
        """Return the current rollout's positions [S, T], dropped rows replaced by kept ones."""
        kept = self.arrays["kept"][:, self.current].astype(bool)
        before = np.maximum.accumulate(np.where(kept, np.arange(self.position), -1), axis=1)
        return self.start + np.where(before < 0, kept.argmax(1)[:, None], before)

    def of_task(self, task: int | None = None) -> list[np.ndarray]:
        """Return for each seed where complete rows are, of a task or all; in no order of time."""
        usable = self.arrays["complete"].astype(bool)
        if task is not None:
            usable &= self.arrays["task"] == task
        return [np.flatnonzero(row) for row in usable]

    def only_task(self) -> int | None:
        """Return the task of all rows of the current rollout, or None if there are several."""
        tasks = self.arrays["task"][:, self.current]
        return int(tasks.flat[0]) if bool((tasks == tasks.flat[0]).all()) else None

    def rows(self, index: np.ndarray) -> dict[str, Tensor]:
        """Return what a batch is made of at positions [S, B]: {name: [S, B, ...]}."""
        tensors = self._tensors
        return gather({name: tensors[name] for name in RolloutBatch.__dataclass_fields__}, index)

    def batch(
        self, index: np.ndarray, device: torch.device, task: int | None = None
    ) -> RolloutBatch:
        """Return the batch of rows at positions [S, B]; task is that of all rows, if they agree."""
        batch = RolloutBatch.of(self.rows(index), device)
        return batch if task is None else replace(batch, task=task)

    def state(self) -> dict[str, Tensor]:
        """Return all rows, as views, and where the next one goes."""
        where = torch.tensor([[self.start, self.position]] * len(self.arrays["task"]))
        return {**self._tensors, "where": where}

    def load(self, state: dict[str, Tensor]) -> None:
        """Set the contents to a state returned by `state`."""
        stored = state["task"].shape[1] // 2
        if stored != self.n_steps:
            raise ValueError(f"n_steps is {self.n_steps}; the stored rollouts have {stored} steps")
        for name, tensor in self._tensors.items():
            tensor.copy_(state[name])
        self.start, self.position = (int(number) for number in state["where"][0])
