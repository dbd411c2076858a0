"""The replay buffer of the current data, one column per seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from clrl.agents.memory import gather
from clrl.agents.transition import Transition


@dataclass
class Batch:
    """Transitions of every seed, with the noise that the losses need.

    Attributes:
        obs: [S, B, D] without the task's one-hot.
        action: [S, B, A] in [-1, 1].
        reward: [S, B].
        next_obs: [S, B, D].
        done: [S, B], 1 where the episode really ended (a time limit is no end).
        task: the task of all rows, or task ids [S, B].
        noise: standard normal [S, B, A] for the action at obs.
        next_noise: standard normal [S, B, A] for the action at next_obs.
        target: [S, B] what the critics are to predict, where that is known already.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    done: Tensor
    task: int | Tensor
    noise: Tensor
    next_noise: Tensor
    target: Tensor | None = None

    @classmethod
    def of(cls, rows: dict[str, Tensor], noise: Tensor) -> Batch:
        """Return the batch of stored rows, with noise [S, 2, B, A] for both actions."""
        rows = {name: values.to(noise.device) for name, values in rows.items()}
        return cls(
            obs=rows["obs"],
            action=rows["action"],
            reward=rows["reward"],
            next_obs=rows["next_obs"],
            done=rows["done"].float(),
            task=rows["task"].long(),
            noise=noise[:, 0],
            next_noise=noise[:, 1],
        )

    def rows(self) -> dict[str, Tensor]:
        """Return the transitions as the replay buffer keeps them, but for their task."""
        return {
            "obs": self.obs,
            "next_obs": self.next_obs,
            "action": self.action,
            "reward": self.reward,
            "done": self.done.to(torch.uint8),
        }


class ReplayBuffer:
    """First in, first out, sampled uniformly with replacement.

    `capacity` is per seed. Every column has its own write index, so one seed's transition can be
    left out.

    Attributes:
        position: [S], where each seed's next transition goes; a reservoir counts all it has seen.
        size: [S], transitions that each seed has.
        tasks: the tasks seen since the buffer was last empty.
    """

    def __init__(
        self,
        n_seeds: int,
        capacity: int,
        obs_dim: int,
        action_dim: int,
        task_dtype: DTypeLike = np.uint8,
    ):
        self.capacity = capacity
        # numpy's zeros are mapped lazily: memory is used only as the buffer fills.
        self.arrays: dict[str, np.ndarray] = {
            "obs": np.zeros((n_seeds, capacity, obs_dim), np.float32),
            "next_obs": np.zeros((n_seeds, capacity, obs_dim), np.float32),
            "action": np.zeros((n_seeds, capacity, action_dim), np.float32),
            "reward": np.zeros((n_seeds, capacity), np.float32),
            "done": np.zeros((n_seeds, capacity), np.uint8),
            "task": np.zeros((n_seeds, capacity), task_dtype),
        }
        self._tensors = {name: torch.from_numpy(a) for name, a in self.arrays.items()}
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        n_seeds = self.arrays["obs"].shape[0]
        self.position = np.zeros(n_seeds, np.int64)
        self.size = np.zeros(n_seeds, np.int64)
        self.tasks: set[int] = set()
        self._places: tuple[int | None, list[np.ndarray]] | None = None

    def add(self, transition: Transition, task: int | np.ndarray) -> None:
        """Store one transition per seed, except where its `keep` is False.

        Args:
            transition: what every seed saw, did and got.
            task: its task, or the tasks of the seeds [S].
        """
        values: dict[str, np.ndarray] = {
            "obs": transition.features,
            "next_obs": transition.next_features,
            "action": transition.actions,
            "reward": transition.rewards,
            "done": transition.ended,
        }
        self._places = None
        for seed, kept in enumerate(transition.keep):
            own = task if isinstance(task, int) else int(task[seed])
            # Also of what is left out: all seeds must come to several tasks at the same step.
            self.tasks.add(own)
            row = self.next_row(seed) if kept else None
            if row is None:
                continue
            for name, value in values.items():
                self.arrays[name][seed, row] = value[seed]
            self.arrays["task"][seed, row] = own
            self.size[seed] = min(self.size[seed] + 1, self.capacity)

    def next_row(self, seed: int) -> int | None:
        """Return where a seed's next transition goes, None for nowhere, and count it."""
        row = int(self.position[seed])
        self.position[seed] = (row + 1) % self.capacity
        return row

    def rows(self, index: np.ndarray) -> dict[str, Tensor]:
        """Return the transitions at positions [S, B]: {name: [S, B, ...]}."""
        return gather(self._tensors, index)

    def counts(self, task: int | None = None) -> list[int]:
        """Return how many transitions each seed has, of a task or at all."""
        if self._is_all(task):
            return list(map(int, self.size))
        return [len(rows) for rows in self._of_task(task)]

    def positions(self, draws: np.ndarray, task: int | None = None) -> np.ndarray:
        """Return where the transitions are that were drawn, [S, B] below `counts(task)`."""
        if self._is_all(task):
            return draws
        return np.stack([rows[own] for rows, own in zip(self._of_task(task), draws, strict=True)])

    def _is_all(self, task: int | None) -> bool:
        return task is None or self.only_task() == task

    def _of_task(self, task: int | None) -> list[np.ndarray]:
        if self._places is None or self._places[0] != task:
            filled = zip(self.arrays["task"], self.size, strict=True)
            self._places = task, [np.flatnonzero(row[:size] == task) for row, size in filled]
        return self._places[1]

    def only_task(self) -> int | None:
        """Return the task of every stored transition, or None if there are several."""
        return next(iter(self.tasks)) if len(self.tasks) == 1 else None

    def state(self) -> dict[str, Tensor]:
        """Return the filled part of every column, as views, and the write indices."""
        filled = int(self.size.max(initial=0))
        state = {name: tensor[:, :filled] for name, tensor in self._tensors.items()}
        state["position"] = torch.from_numpy(self.position.copy())
        state["size"] = torch.from_numpy(self.size.copy())
        # Stored, not recomputed: overwritten tasks stay in the set, and it decides how heads are
        # multiplied, so a resumed run must see the same set.
        state["tasks"] = torch.tensor([sorted(self.tasks)] * len(self.size), dtype=torch.int64)
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Set the contents to a state returned by `state`."""
        filled = state["obs"].shape[1]
        if filled > self.capacity:
            raise ValueError(f"buffer_size {self.capacity} is less than the stored {filled} rows")
        for name, tensor in self._tensors.items():
            tensor[:, :filled] = state[name]
        self.position = state["position"].numpy().copy()
        self.size = state["size"].numpy().copy()
        self.tasks = {int(task) for task in state["tasks"].flatten()}
        self._places = None


class ReservoirBuffer(ReplayBuffer):
    """A uniform sample of everything ever added (Vitter 1985, algorithm R).

    While there is room it holds everything, in order. Then the transition after t others gets a
    row j drawn from 0..t, and is left out if there is no such row.

    Args:
        generators: one per seed, for the rows.
    """

    def __init__(
        self,
        n_seeds: int,
        capacity: int,
        obs_dim: int,
        action_dim: int,
        generators: Sequence[np.random.Generator],
        task_dtype: DTypeLike = np.uint8,
    ):
        super().__init__(n_seeds, capacity, obs_dim, action_dim, task_dtype)
        self.generators = generators

    def next_row(self, seed: int) -> int | None:
        """Return where a seed's next transition goes, None for nowhere, and count it."""
        seen = int(self.position[seed])
        self.position[seed] += 1
        if seen < self.capacity:
            return seen
        row = int(self.generators[seed].integers(seen + 1))
        return row if row < self.capacity else None
