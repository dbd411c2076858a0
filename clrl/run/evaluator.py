"""The score of every task: a pure function of the agent's weights, task, step and seed.

Evaluation goes task by task. The episodes of one task run together, with one policy call per step;
two tasks never share a call, because a method may change the weights for each. Every episode has a
generator of its own (its environment's seed, then its policy noise), and so has every batch of them
for a policy that draws its weights. Nothing that evaluation does reaches training, and an
evaluation done again gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from clrl.agents.randomness import EVALUATION, generator
from clrl.config.evaluation import Evaluation
from clrl.config.scores import MODES
from clrl.envs.contract.answers import BrokenWorld, number
from clrl.envs.contract.shared import drawn_since, shared_states
from clrl.run.simulators import Simulators

UNSEEN = 3
"""Takes the mode's place in the generator of deterministic episodes that no run plays: theirs start
alike at every evaluation."""

Row = dict[str, Any]


class Policy(Protocol):
    """What is evaluated: an agent, or anything else that acts for S seeds at once."""

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds, S of them."""

    def act(self, obs: np.ndarray, deterministic: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return actions [S, K, A] for `obs` [S, K, D]; without noise if `deterministic[k]`."""

    def evaluating(self, task: int, *key: int) -> AbstractContextManager[Any]:
        """Keep the weights of `task` in place inside this block.

        What the policy itself draws inside it depends on seed, task and `key` alone.
        """


@dataclass
class Episode:
    """One episode of one seed, and what it came to.

    Attributes:
        success: whether any step succeeded, 0 or 1: None if the world reported nothing, NaN if
            what it reported is no success.
        success_last: the same of the last step.
        total: return of the episode, without steps whose simulation blew up.
    """

    seed: int
    mode: str
    random: np.random.Generator
    success: float | None = None
    success_last: float | None = None
    total: float = 0.0
    over: bool = False

    def count(self, reward: float, info: dict[str, Any], over: bool, stop: bool) -> None:
        """Take one step's outcome in; success stays unknown until the world reports it."""
        reported = _success(info.get("success"))
        if reported is not None or self.success is not None:
            self.success_last = reported or 0.0
            known = (self.success or 0.0, self.success_last)
            self.success = 1.0 if 1.0 in known else sum(known)  # NaN stays, until there is a 1
        if not info.get("sim_warning"):
            self.total += reward
        self.over = over or (stop and self.success == 1.0)

    def lose(self) -> None:
        """End it: nobody can act on what the world showed, and what it comes to is not known."""
        self.success = self.success_last = self.total = math.nan
        self.over = True


def evaluate(
    policy: Policy,
    simulators: Simulators,
    tasks: Sequence[int],
    step: int,
    how: Evaluation,
    unseen: bool = False,
) -> list[Row]:
    """Evaluate tasks one by one, each seed in its own worlds.

    Args:
        policy: what acts.
        simulators: the environments of all seeds.
        tasks: which tasks.
        step: step of the run; enters the episodes' seeds and the rows.
        how: numbers of episodes.
        unseen: play deterministic episodes, too, that no evaluation of a run plays. (Of stochastic
            ones no run plays those of step 0.)

    Returns:
        rows of `metrics.jsonl` without `seq`: by task, then seed, then mode. `success` is the
        share of episodes with a success at any step, `success_last` at the last step; both are
        None for worlds that report none.

    Raises:
        BrokenWorld: a world drew from a generator that all of the process shares. (The probe of a
            run looks at twenty steps; this at whole episodes.)
    """
    rows, before = [], shared_states()
    for task in tasks:
        episodes = _episodes(policy.seeds, task, step, how, unseen)
        for batch in _batches(episodes, simulators.together):
            # A third mode beside the two of `_episodes`: no draw of the policy is one of theirs.
            with policy.evaluating(task, step, len(MODES), batch.start):
                batch.play(policy, simulators, task, how.stop_at_success)
        simulators.trim(task)
        if drawn := drawn_since(before):
            called = simulators.first.called(task)
            raise BrokenWorld(f"while {called} was evaluated, it or the method {drawn}")
        rows += _rows(episodes, task, simulators.first.task_names[task], step, how)
    return rows


def _episodes(
    seeds: Sequence[int], task: int, step: int, how: Evaluation, unseen: bool
) -> list[list[Episode]]:
    """Return the episodes of each seed: stochastic ones, then deterministic ones.

    Deterministic episodes start from the same states at every evaluation: the score of a policy
    that has not changed does not change.
    """
    numbers = (how.stochastic_episodes, how.deterministic_episodes)
    keys = ((step, 0), (0, UNSEEN if unseen else 1))
    return [
        [
            Episode(seed, MODES[m], generator(seed, EVALUATION, task, *keys[m], i))
            for m, number in enumerate(numbers)
            for i in range(number)
        ]
        for seed in seeds
    ]


@dataclass
class _Batch:
    """Episodes that run together: row k of every seed that takes part.

    A policy call always has a row for every seed and `rows` rows for each, whoever takes part:
    a product's last bits may depend on its shape, and a seed's record must not depend on the
    seeds beside it.

    Attributes:
        start: position among its seed's episodes of the one in row 0.
    """

    start: int
    n_seeds: int
    rows: int
    episodes: dict[tuple[int, int], Episode] = field(default_factory=dict)

    def play(self, policy: Policy, simulators: Simulators, task: int, stop: bool) -> None:
        """Run the episodes to their ends."""
        sequence = simulators.first
        obs_dim, action_dim = _size(sequence.observation_space), _size(sequence.action_space)
        own = obs_dim - sequence.one_hot_size
        obs = np.zeros((self.n_seeds, self.rows, obs_dim), np.float32)
        if sequence.one_hot_size:
            obs[:, :, own + task] = 1.0
        noise = np.zeros((self.n_seeds, self.rows, action_dim), np.float32)
        deterministic = np.ones(self.rows, bool)
        lent = simulators.lend(task, [s for s, _ in self.episodes])
        envs = dict(zip(self.episodes, lent, strict=True))
        for (s, k), episode in self.episodes.items():
            deterministic[k] = episode.mode == "deterministic"
            seed = int(episode.random.integers(2**32))
            obs[s, k, :own] = envs[s, k].reset(seed=seed)[0][:own]
        live = dict(self.episodes)
        while live:
            for (s, k), episode in live.items():
                if not deterministic[k]:
                    episode.random.standard_normal(dtype=np.float32, out=noise[s, k])
            actions = policy.act(obs, deterministic, noise)
            for (s, k), episode in live.items():
                got, reward, terminated, truncated, info = envs[s, k].step(actions[s, k])
                obs[s, k, :own] = got[:own]
                episode.count(float(reward), info, terminated or truncated, stop)
                if not np.isfinite(got).all():
                    episode.lose()
                    obs[s, k, :own] = 0.0
            live = {place: episode for place, episode in live.items() if not episode.over}


def _batches(episodes: list[list[Episode]], together: int) -> Iterator[_Batch]:
    """Split into batches of at most `together` episodes, the rows of a seed equally many."""
    n_seeds, n_episodes = len(episodes), len(episodes[0])
    rows = math.ceil(n_episodes / math.ceil(n_episodes / together))
    seeds = together // rows
    for first in range(0, n_seeds, seeds):
        for start in range(0, n_episodes, rows):
            batch = _Batch(start, n_seeds, rows)
            for s in range(first, min(first + seeds, n_seeds)):
                for k, episode in enumerate(episodes[s][start : start + rows]):
                    batch.episodes[s, k] = episode
            yield batch


def _rows(
    episodes: list[list[Episode]], task: int, name: str, step: int, how: Evaluation
) -> list[Row]:
    rows = []
    for column in episodes:
        for mode in MODES:
            some = [episode for episode in column if episode.mode == mode]
            if not some:
                continue
            row = {"step": step, "task": task, "task_name": name, "seed": some[0].seed,
                   "mode": mode, "episodes": len(some),
                   "success": mean_or_null([e.success for e in some]),
                   "success_last": mean_or_null([e.success_last for e in some]),
                   "return": mean_or_null([e.total for e in some])}  # fmt: skip
            rows.append(row | ({"success_last": None, "return": None} if how.stop_at_success
                               else {}))  # fmt: skip
    return rows


def mean_or_null(values: Sequence[float | None]) -> float | None:
    """Return a mean over episodes as a record has it.

    None (JSON's null) where no episode says anything, or where one says what is not finite: the
    mean of the others would be another number. A single episode without a word on success did not
    succeed, if others of its world have one.
    """
    if all(value is None for value in values):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean([value or 0.0 for value in values]))
    return mean if math.isfinite(mean) else None


def _success(value: Any) -> float | None:
    """Return a reported success as 0 or 1; None without one, NaN for what is no rate."""
    if value is None:
        return None
    try:
        rate = number(value, "success")
    except BrokenWorld:
        return math.nan
    return float(rate > 0) if 0 <= rate <= 1 else math.nan


def _size(space: gym.Space) -> int:
    assert space.shape is not None
    return math.prod(space.shape)
