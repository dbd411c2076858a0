"""Whether a world keeps its contract: tried before a run, not found out when it is continued.

The contract: an episode is a function of `np_random` at its reset and of the actions. Then a run
is continued in the middle of an episode by resetting a new object and replaying the actions.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from clrl.envs.contract.answers import BrokenWorld, in_words
from clrl.envs.contract.identity import wrappers
from clrl.envs.contract.shared import drawn_since, shared_generators_kept, shared_states
from clrl.envs.sequence import MAX_EPISODE_STEPS, TaskSequence

ACTIONS = 20
SHOWN = 128
"""Numbers that are kept of an observation at most: of a longer one weighted sums of neighbours."""

Numbers = dict[str, list[Any]]
"""What a world did: {observations: [[...], ...], rewards: [...], ends: [...], successes: [...]}.

A success is -1 where none is reported."""


def probe(
    maker: Callable[[], gym.Env],
    where: str,
    max_episode_steps: int = MAX_EPISODE_STEPS,
    others: list[weakref.ref[gym.Env]] | None = None,
) -> Numbers:
    """Try whether a world keeps the contract, and return what it did.

    Two fresh objects with the same seed take the same twenty actions, with a reset in between. Then
    one is put into the state of the other, through JSON, and both go on. Observations, rewards and
    ends must be the same bits. The generators that all of this process shares are left as they
    were.

    Args:
        maker: makes the world.
        where: its name in messages.
        max_episode_steps: see `TaskSequence`.
        others: the objects of worlds that were tried before; gets those of this one.

    Raises:
        ValueError: the world breaks the contract; the message says how.
    """
    others = [] if others is None else others
    with shared_generators_kept():
        twins: list[_Alone] = []
        try:
            twins += [_Alone(maker, where, max_episode_steps) for _ in range(2)]
            _check_objects([twin._env.unwrapped for twin in twins], where, others)
            return _compare(*twins)
        finally:
            for twin in twins:
                twin.close()


def differing_numbers(one: Numbers, other: Numbers) -> str | None:
    """Say in what two worlds differ by more than 1e-4 of its size, None if in nothing.

    Machines and versions of libraries differ in last bits, so that equal bits would be too much.
    The size of rewards, and of each number of observations, is their largest.
    """
    for what in ("ends", "rewards", "successes", "observations"):
        a, b = (np.atleast_2d(np.array(numbers[what], float).T) for numbers in (one, other))
        if a.shape != b.shape:
            return f"{what} of {a.size} numbers instead of {b.size}"
        size = np.maximum(np.abs(a), np.abs(b)).max(axis=1, initial=0.0, keepdims=True)
        far = np.abs(a - b) > 1e-4 * size + 1e-12
        if far.any():
            place = np.unravel_index(far.argmax(), far.shape)
            name = "success" if what == "successes" else what[:-1]
            return f"{name} {a[place]:.6g} instead of {b[place]:.6g}"
    return None


class _Alone(TaskSequence):
    """A sequence of one task, which messages call by the name that it has elsewhere."""

    def __init__(self, maker: Callable[[], gym.Env], where: str, max_episode_steps: int) -> None:
        self.where = where
        super().__init__([maker], 10 * ACTIONS, max_episode_steps=max_episode_steps)

    def called(self, task: int) -> str:
        return self.where


class _Trace:
    """What a world showed: one row per step and reset."""

    def __init__(self, world: _Alone) -> None:
        self.world, self.rows = world, list[tuple[np.ndarray, float, bool, bool]]()
        self.successes: list[float] = []

    def reset(self, seed: int | None = None) -> None:
        """Start an episode."""
        observation, _ = _call(self.world.where, "reset", partial(self.world.reset, seed=seed))
        self._add(observation, 0.0, False, False)

    def take(self, actions: Sequence[np.ndarray]) -> _Trace:
        """Take the actions, with a reset halfway and after each end."""
        for place, action in enumerate(actions):
            result = _call(self.world.where, "step", partial(self.world.step, action))
            blown_up = bool(result[4].get("sim_warning"))  # what that pays counts nowhere
            self._add(result[0], 0.0 if blown_up else result[1], *result[2:4])
            self.successes.append(result[4].get("success", -1.0))
            if result[2] or result[3] or place == len(actions) // 2 - 1:
                self.reset()
        return self

    def _add(self, observation: np.ndarray, reward: float, over: bool, cut: bool) -> None:
        where, last = self.world.where, f"at {'step' if self.rows else 'reset'} {len(self.rows)}"
        if not np.isfinite(observation).all() or not np.isfinite(reward):
            what = "reward" if not np.isfinite(reward) else "observation"
            raise BrokenWorld(f"{where}: a number of the {what} {last} is not finite")
        box: Any = self.world.observation_space
        slack = 1e-5 * np.maximum(1.0, np.abs(observation))
        if (observation < box.low - slack).any() or (observation > box.high + slack).any():
            raise BrokenWorld(f"{where}: the observation {last}, {observation}, is not in {box}")
        self.rows.append((observation, reward, over, cut))

    def difference(self, other: _Trace) -> str | None:
        """Say where the first row is that differs from another trace's."""
        for row, (mine, its) in enumerate(zip(self.rows, other.rows, strict=False)):
            if mine[0].tobytes() != its[0].tobytes():
                return f"other observations from row {row} on"
            if mine[1:] != its[1:]:
                return f"other rewards or ends from row {row} on"
        return None

    def numbers(self) -> Numbers:
        """Return the rows as plain numbers of seven digits."""
        observations = np.stack([row[0] for row in self.rows])
        place = np.arange(observations.shape[1])
        blocks = np.unique(np.linspace(0, len(place), SHOWN, endpoint=False).astype(int))
        weights = place - blocks[np.searchsorted(blocks, place, side="right") - 1] + 1
        shown = np.add.reduceat(observations * weights.astype(float), blocks, axis=1)
        return {
            "observations": [[_short(value) for value in row] for row in shown],
            "rewards": [_short(row[1]) for row in self.rows],
            "successes": self.successes,
            "ends": [row[2] + 2 * row[3] for row in self.rows],
        }


def _compare(first: _Alone, second: _Alone) -> Numbers:
    where, (early, late) = first.where, _actions(first.action_space)
    before, traces = shared_states(), []
    for world in (first, second):
        trace = _Trace(world)
        trace.reset(seed=0)
        traces.append(trace.take(early))
    if drawn := drawn_since(before):
        raise BrokenWorld(f"{where} {drawn}")
    if difference := traces[0].difference(traces[1]):
        raise BrokenWorld(
            f"{where}: two new objects with the same seed and actions give {difference}; all "
            "that is random must come from self.np_random, which reset(seed=...) seeds, and "
            "nothing from a clock or a generator of its own"
        )
    numbers = traces[0].numbers()
    try:
        state = json.loads(json.dumps(first.state()))
        second.restore(state)
        difference = _Trace(first).take(late).difference(_Trace(second).take(late))
    except BrokenWorld:
        raise
    except Exception as error:  # the user's code, or what it showed
        difference = in_words(error)
    if difference:
        raise BrokenWorld(
            f"{where} cannot be continued: a new object, in which an episode after the first is "
            f"replayed, goes on in another way ({difference}). An episode must be a function of "
            "np_random at its reset and of the actions; nothing else may live on from episode to "
            f"episode, in {type(first._env.unwrapped).__name__} or its wrappers "
            f"({', '.join(type(w).__name__ for w in wrappers(first._env.env)) or 'none'}): no "
            "statistics, no counters, no generators"
        )
    return numbers


def _check_objects(made: list[gym.Env], where: str, others: list[weakref.ref[gym.Env]]) -> None:
    """Raise BrokenWorld if an object was made, or given, twice."""
    if made[0] is made[1] or any(other() is env for other in others for env in made):
        raise BrokenWorld(
            f"{where}: its maker gives an object that was given before; every call, of every "
            "task's and seed's maker, must make a new environment"
        )
    others += [weakref.ref(env) for env in made]


def _actions(space: gym.Space) -> list[list[np.ndarray]]:
    """Return twice twenty actions, always the same."""
    assert isinstance(space, gym.spaces.Box)
    rng = np.random.default_rng(0)
    low, high = np.maximum(space.low, -1e6), np.minimum(space.high, 1e6)
    near = np.where((low > -1e6) & (high < 1e6), 1.0, 0.0)
    draws = rng.uniform(size=(2, ACTIONS, *space.shape))
    wide = np.clip(2.0 * draws - 1.0, low, high)  # where there are no bounds
    actions = near * (low + draws * (high - low)) + (1.0 - near) * wide
    return [list(part.astype(space.dtype)) for part in actions]


def _call(where: str, what: str, call: Callable[[], Any]) -> Any:
    """Call a world's code; its exceptions become sentences."""
    try:
        return call()
    except BrokenWorld:
        raise
    except Exception as error:  # the user's code
        raise BrokenWorld(f"{where}: {what} fails: {in_words(error)}") from error


def _short(value: float) -> float:
    return float(f"{value:.7g}")
