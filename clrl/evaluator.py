"""Success of every task: a pure function of the agent's weights, task, step and seed.

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
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np

from clrl.agents.fields import check_fields, number
from clrl.agents.randomness import EVALUATION, generator
from clrl.envs.sequence import TaskSequence

SIMULATORS = 24
"""The most simulators of one task alive at a time; one of Meta-World takes about 25 MB."""
KEPT = 80
"""The most simulators of all tasks kept between evaluations, because making one takes 0.1 s."""
WINDOW = 5
"""Evaluations that the metrics average over (Continual World, results_processing/tables.py)."""
MODES = ("stochastic", "deterministic")

Row = dict[str, Any]


class Policy(Protocol):
    """What is evaluated: an agent, or anything else that acts for S seeds at once."""

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds, S of them."""

    def act(self, obs: np.ndarray, deterministic: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Actions [S, K, A] for `obs` [S, K, D]; row k takes no noise where `deterministic[k]`."""

    def evaluating(self, task: int, *key: int) -> AbstractContextManager[Any]:
        """The weights of `task` are in place inside this block.

        What the policy itself draws inside it depends on seed, task and `key` alone.
        """


@dataclass(frozen=True)
class Evaluation:
    """When tasks are evaluated and with how many episodes; the defaults are Continual World's.

    Attributes:
        evals_per_task: Evaluations within each task, evenly spaced, the last one at its end.
        stochastic_episodes: Episodes with the policy's noise; the metrics use these.
        deterministic_episodes: Episodes with the policy's mean action.
        tasks: "all" at every evaluation; "economical": the current task, and all tasks only at
            the last five evaluations of the run, which is all that P, F and FT read. Where tasks
            are interleaved there is no current task: only those five are left.
        stop_at_success: End an episode at its first success; returns are then not recorded.
    """

    evals_per_task: int = number(50, least=1)
    stochastic_episodes: int = number(10, least=0)
    deterministic_episodes: int = number(1, least=0)
    tasks: Literal["all", "economical"] = "all"
    stop_at_success: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        if self.episodes < 1:
            raise ValueError(
                "stochastic_episodes and deterministic_episodes are both 0; give at least one"
            )

    @property
    def episodes(self) -> int:
        """Episodes of one task and seed in one evaluation."""
        return self.stochastic_episodes + self.deterministic_episodes

    def period(self, steps_per_task: int) -> int:
        """Steps between evaluations.

        Raises:
            ValueError: `evals_per_task` does not divide `steps_per_task`.
        """
        if steps_per_task % self.evals_per_task:
            raise ValueError(
                f"evals_per_task is {self.evals_per_task}; it must divide "
                f"steps_per_task, which is {steps_per_task}"
            )
        return steps_per_task // self.evals_per_task

    def due(
        self, step: int, steps_per_task: int, n_tasks: int, interleaved: bool = False
    ) -> list[int]:
        """The tasks to evaluate after `step` steps of the sequence, [] between evaluations."""
        period = self.period(steps_per_task)
        if step == 0 or step % period:
            return []
        left = n_tasks * self.evals_per_task - step // period
        if self.tasks == "all" or left < WINDOW:
            return list(range(n_tasks))
        return [] if interleaved else [(step - 1) // steps_per_task]


class Simulators:
    """Simulators by task name, kept from one evaluation to the next.

    Tasks of one name share them: only the one-hot differs, and the evaluator writes that itself.

    Attributes:
        sequence: Where they come from.
        together: How many of one task play at the same time. The number of names decides it and
            not the number of seeds: see `_Batch`.
    """

    def __init__(self, sequence: TaskSequence) -> None:
        self.sequence = sequence
        self.together = max(2, min(SIMULATORS, KEPT // len(set(sequence.task_names))))
        self._kept: dict[str, list[gym.Env]] = {}

    def of(self, task: int, n: int) -> list[gym.Env]:
        """At least `n` simulators of a task."""
        pool = self._kept.setdefault(self.sequence.task_names[task], [])
        while len(pool) < n:
            pool.append(self.sequence.make_task(task))
        return pool

    def trim(self, task: int) -> None:
        """Closes what `task` has beyond the bound, so that tasks visited in turn keep theirs."""
        pool = self._kept.get(self.sequence.task_names[task], [])
        for _ in range(min(len(pool), sum(map(len, self._kept.values())) - KEPT)):
            pool.pop().close()

    def close(self) -> None:
        """Closes all simulators."""
        for pool in self._kept.values():
            for env in pool:
                env.close()
        self._kept = {}


@dataclass
class Episode:
    """One episode of one seed, and what it came to."""

    seed: int
    mode: str
    random: np.random.Generator
    success: float = 0.0
    success_last: float = 0.0
    total: float = 0.0
    over: bool = False

    def count(self, reward: float, info: dict[str, Any], over: bool, stop: bool) -> None:
        """Takes one step's outcome in."""
        self.success_last = float(info.get("success", 0.0) > 0)
        self.success = max(self.success, self.success_last)
        self.total += reward
        self.over = over or (stop and self.success > 0)


def evaluate(
    policy: Policy, simulators: Simulators, tasks: Sequence[int], step: int, how: Evaluation
) -> list[Row]:
    """Evaluates tasks one by one.

    Args:
        policy: What acts.
        simulators: The sequence's simulators.
        tasks: Which tasks.
        step: Step of the run; enters the episodes' seeds and the rows.
        how: Numbers of episodes.

    Returns:
        Rows of `metrics.jsonl` without `seq`: by task, then seed, then mode. `success` is the
        share of episodes with a success at any step, `success_last` at the last step.
    """
    rows = []
    for task in tasks:
        episodes = _episodes(policy.seeds, task, step, how)
        for batch in _batches(episodes, simulators.together):
            # A third mode beside the two of `_episodes`: no draw of the policy is one of theirs.
            with policy.evaluating(task, step, len(MODES), batch.start):
                batch.play(policy, simulators, task, how.stop_at_success)
        simulators.trim(task)
        rows += _rows(episodes, task, simulators.sequence.task_names[task], step, how)
    return rows


def _episodes(seeds: Sequence[int], task: int, step: int, how: Evaluation) -> list[list[Episode]]:
    """The episodes of each seed: stochastic ones, then deterministic ones.

    Deterministic episodes start from the same states at every evaluation: the score of a policy
    that has not changed does not change.
    """
    numbers = (how.stochastic_episodes, how.deterministic_episodes)
    return [
        [
            Episode(seed, MODES[m], generator(seed, EVALUATION, task, (step, 0)[m], m, i))
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
        start: Position among its seed's episodes of the one in row 0.
    """

    start: int
    n_seeds: int
    rows: int
    episodes: dict[tuple[int, int], Episode] = field(default_factory=dict)

    def play(self, policy: Policy, simulators: Simulators, task: int, stop: bool) -> None:
        """Runs the episodes to their ends."""
        sequence = simulators.sequence
        n_tasks = len(sequence.task_names)
        obs_dim, action_dim = _size(sequence.observation_space), _size(sequence.action_space)
        own = obs_dim - n_tasks if n_tasks > 1 else obs_dim
        obs = np.zeros((self.n_seeds, self.rows, obs_dim), np.float32)
        obs[:, :, own:] = np.eye(n_tasks, dtype=np.float32)[task] if n_tasks > 1 else 0
        noise = np.zeros((self.n_seeds, self.rows, action_dim), np.float32)
        deterministic = np.ones(self.rows, bool)
        envs = dict(zip(self.episodes, simulators.of(task, len(self.episodes)), strict=False))
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
            live = {place: episode for place, episode in live.items() if not episode.over}


def _batches(episodes: list[list[Episode]], together: int) -> Iterator[_Batch]:
    """Splits into batches of at most `together` episodes, the rows of a seed equally many."""
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
                   "success": float(np.mean([e.success for e in some])),
                   "success_last": float(np.mean([e.success_last for e in some])),
                   "return": float(np.mean([e.total for e in some]))}  # fmt: skip
            rows.append(row | ({"success_last": None, "return": None} if how.stop_at_success
                               else {}))  # fmt: skip
    return rows


def _size(space: gym.Space) -> int:
    assert space.shape is not None
    return math.prod(space.shape)
