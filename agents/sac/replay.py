"""The replay buffer of the current data, one column per seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from clrl.agents.memory import split
from clrl.agents.transition import Transition

DRAWN_TOGETHER = 25
"""Updates of a block whose batches are drawn at once, first all rows and then all noise: enough to
share the cost of a draw, few enough to stay in the cache. Another number makes another run."""


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
    def of(cls, rows: dict[str, Tensor], noise: np.ndarray, task: int | None = None) -> Batch:
        """Return the batch of stored rows.

        Args:
            rows: transitions {name: [S, B, ...]}, and their task ids if they have several.
            noise: [S, 2, B, A], for the actions at obs and at next_obs.
            task: of all rows, if they share one.
        """
        return cls(
            obs=rows["obs"],
            action=rows["action"],
            reward=rows["reward"],
            next_obs=rows["next_obs"],
            done=rows["done"].float(),
            task=rows["task"].long() if task is None else task,
            noise=torch.from_numpy(noise[:, 0]),
            next_noise=torch.from_numpy(noise[:, 1]),
        )

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        tensors = {n: value.to(device) for n, value in vars(self).items() if torch.is_tensor(value)}
        return replace(self, **tensors)

    def split(self, size: int) -> list[Batch]:
        """Return the batches of the first `size` rows, the next ones and so on, as views."""
        return [self] if self.reward.shape[1] == size else split(self, size)

    def rows(self) -> dict[str, Tensor]:
        """Return the transitions as memories and saved buffers keep them, but for their task."""
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
    left out. A transition is one row of numbers (obs, next_obs, action, reward, done), so that one
    gather finds a batch; its task is kept apart.

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
        self._obs_dim = obs_dim
        self._first_rows = capacity * np.arange(n_seeds)[:, None]
        # numpy's zeros are mapped lazily: memory is used only as the buffer fills.
        self._packed = np.zeros((n_seeds, capacity, 2 * obs_dim + action_dim + 2), np.float32)
        self._task = np.zeros((n_seeds, capacity), task_dtype)
        self.clear()

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that is stored, {name: [S, capacity, ...]}, as views."""
        return self._fields(self._packed) | {"task": self._task}

    def _fields(self, packed: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parts of rows [S, n, numbers], as views."""
        # NumPy cuts them in half the time that torch takes.
        d = self._obs_dim
        return {
            "obs": packed[..., :d],
            "next_obs": packed[..., d : 2 * d],
            "action": packed[..., 2 * d : -2],
            "reward": packed[..., -2],
            "done": packed[..., -1],
        }

    def clear(self) -> None:
        """Forget everything."""
        n_seeds = len(self._packed)
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
        t = transition
        ends = (t.rewards[:, None], t.ended[:, None])
        # In float32 before they are joined: bounds and rewards may be of float64.
        rows = np.concatenate(
            (t.features, t.next_features, t.actions, *ends), 1, dtype=np.float32, casting="unsafe"
        )
        self._places = None
        for seed, kept in enumerate(t.keep):
            own = task if isinstance(task, int) else int(task[seed])
            # Also of what is left out: all seeds must come to several tasks at the same step.
            self.tasks.add(own)
            at = self.next_row(seed) if kept else None
            if at is None:
                continue
            self._packed[seed, at] = rows[seed]
            self._task[seed, at] = own
            self.size[seed] = min(self.size[seed] + 1, self.capacity)

    def next_row(self, seed: int) -> int | None:
        """Return where a seed's next transition goes, None for nowhere, and count it."""
        row = int(self.position[seed])
        self.position[seed] = (row + 1) % self.capacity
        return row

    def rows(self, index: np.ndarray, tasks: bool = True) -> dict[str, Tensor]:
        """Return the transitions at positions [S, B]: {name: [S, B, ...]}; "task" if asked for."""
        places = self._first_rows + index
        packed = self._packed.reshape(-1, self._packed.shape[-1]).take(places, 0)
        rows = {name: torch.from_numpy(part) for name, part in self._fields(packed).items()}
        if tasks:
            rows["task"] = torch.from_numpy(self._task.reshape(-1).take(places))
        return rows

    def counts(self, task: int | None = None) -> list[int]:
        """Return how many transitions each seed has, of a task or at all."""
        if self._is_all(task):
            counts: list[int] = self.size.tolist()
            return counts
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
            filled = zip(self._task, self.size, strict=True)
            self._places = task, [np.flatnonzero(row[:size] == task) for row, size in filled]
        return self._places[1]

    def only_task(self) -> int | None:
        """Return the task of every stored transition, or None if there are several."""
        return next(iter(self.tasks)) if len(self.tasks) == 1 else None

    def state(self) -> dict[str, Tensor]:
        """Return the filled part of every column, as views, and the write indices.

        Its names and types are those of agents that were saved before rows were packed.
        """
        filled = int(self.size.max(initial=0))
        state = {name: torch.from_numpy(array[:, :filled]) for name, array in self.arrays.items()}
        state["done"] = state["done"].to(torch.uint8)
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
        for name, array in self.arrays.items():
            array[:, :filled] = state[name].numpy()
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
