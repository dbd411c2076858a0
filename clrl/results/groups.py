"""Runs of equal configuration joined over their seeds, and names that tell configurations apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clrl.config.schema import MAY_DIFFER_WHEN_JOINED, is_interleaved, sequence_identity
from clrl.config.scores import Score
from clrl.envs.schedule import Schedule
from clrl.errors import ConfigError
from clrl.results import metrics
from clrl.results.reading import RunData
from clrl.results.worlds import by_worlds


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one configuration.

    Attributes:
        runs: in the order of their smallest seed.
        seeds: [S] in the order of their text (0, 1, 10, 2), in which the original resamples them.
        scores: [S, E, N] what the sequence is measured by, NaN where it is not known.
    """

    runs: tuple[RunData, ...]
    seeds: tuple[int, ...]
    scores: np.ndarray

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the first run; the others differ in seeds, placement and logging."""
        return self.runs[0].config

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.config["method"]["name"])

    @property
    def interleaved(self) -> bool:
        """Whether the tasks took turns: no task has steps of its own, and none is ever old."""
        return is_interleaved(self.config)

    @property
    def schedule(self) -> Schedule:
        """Where each task starts and ends."""
        return self.runs[0].schedule

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return self.schedule.names

    @property
    def score(self) -> Score:
        """What the sequence is measured by."""
        return self.runs[0].score

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Between which scores every task is learned; None where its references have to say."""
        low_high = self.score.bounds or self.config["sequence"]["score_range"]
        return tuple(low_high) if low_high else None

    @property
    def steps(self) -> np.ndarray:
        """[E] steps of the evaluations."""
        return self.runs[0].steps

    @property
    def changes(self) -> tuple[int, ...]:
        """Steps after which the task changes; none where tasks take turns."""
        return () if self.interleaved else self.schedule.changes

    @property
    def directories(self) -> list[str]:
        """Where the runs were read."""
        return [str(run.directory) for run in self.runs]


def join(runs: Iterable[RunData]) -> list[Group]:
    """Put runs of equal configuration and of the same worlds together.

    Returns:
        one group per configuration, in the order in which they first come.

    Raises:
        ConfigError: two runs of one configuration have the same seed.
    """
    alike = by_worlds(runs, lambda run: (identity(run.config), run.score.name))
    return [_group(members) for members in alike]


def alone(run: RunData) -> Group:
    """Return the group of a single run."""
    return _group([run])


def identity(config: dict[str, Any]) -> str:
    """Return a text that is equal for configurations whose seeds may be joined."""
    compared = {k: value for k, value in config.items() if k not in MAY_DIFFER_WHEN_JOINED}
    return json.dumps({**compared, "sequence": sequence_identity(config)}, sort_keys=True)


def by_sequence(runs: Iterable[RunData]) -> list[list[RunData]]:
    """Put runs of the same sequence together, in the order in which the sequences first come.

    What the sequence reveals makes another row, not another table: the world is the same. Another
    number of evaluations makes another table, since the averages are over a share of them.
    """

    def key(run: RunData) -> str:
        measured = {
            "reveals": None,
            "score": run.score.name,
            "evals_per_task": run.config["evaluation"]["evals_per_task"],
        }
        return json.dumps({**sequence_identity(run.config), **measured}, sort_keys=True)

    return by_worlds(runs, key)


def _group(runs: Sequence[RunData]) -> Group:
    column: dict[int, tuple[RunData, np.ndarray]] = {}
    for run in runs:
        for seed, scores in zip(run.seeds, run.scores, strict=True):
            if seed in column:
                raise ConfigError(
                    f"seed {seed} of the same configuration is in {column[seed][0].directory} "
                    f"and in {run.directory}; give only one of them"
                )
            column[seed] = run, scores
    seeds = tuple(sorted(column, key=str))
    ordered = sorted(runs, key=lambda run: min(run.seeds))
    return Group(tuple(ordered), seeds, np.stack([column[seed][1] for seed in seeds]))


def in_order(groups: Iterable[Group]) -> list[Group]:
    """Sort groups as METHODS are; those of a method that this version lacks come last."""
    from clrl.agents.methods import METHODS  # here: it imports torch

    places = {name: place for place, name in enumerate(METHODS)}
    return sorted(groups, key=lambda group: places.get(group.method, len(places)))


def labels(groups: Sequence[Group]) -> list[str]:
    """Name each group: its method and, in brackets, the settings that tell it apart.

    Settings of the method are shown where groups of the same method differ in them, settings of
    the learner where such groups on the same learner do; the evaluation, the learner, the parity
    and what the sequence reveals where any two groups differ.
    """
    settings = [_settings(group.config) for group in groups]
    names = []
    for group, own in zip(groups, settings, strict=True):
        same_method = [s for g, s in zip(groups, settings, strict=True) if g.method == group.method]
        shown = []
        for key, value in own.items():
            section = key.split(".")[0]
            common = section in ("evaluation", "parity", "reveals") or key == "learner.name"
            others = settings if common else same_method
            if section == "learner" and not common:
                others = [s for s in others if s["learner.name"] == own["learner.name"]]
            if any(other.get(key) != value for other in others):
                shown.append(f"{key.removeprefix('method.')}={json.dumps(value).strip(chr(34))}")
        names.append(f"{group.method} ({', '.join(shown)})" if shown else group.method)
    return names


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return settings of method, learner, evaluation and sequence that labels may show."""
    dotted = {
        f"{section}.{key}": value
        for section in ("method", "learner", "evaluation")
        for key, value in config[section].items()
    }
    return {**dotted, "parity": config.get("parity"), "reveals": config["sequence"]["reveals"]}


def whole_and_short(
    runs: Iterable[RunData], window: int | None = None
) -> tuple[list[RunData], list[str]]:
    """Return the runs that are all there, and a sentence for each of the others.

    Args:
        runs: what to look at.
        window: evaluations that are averaged; by default a tenth of a task's.
    """
    whole, short = [], []
    for run in runs:
        if text := shortfall(run, window):
            short.append(text)
        else:
            whole.append(run)
    return whole, short


def shortfall(run: RunData, window: int | None = None) -> str | None:
    """Say in a sentence why a run cannot stand in a table; None for a run that is all there."""
    if run.state not in ("complete", "unknown"):
        return (
            f"{run.directory} is {run.state}, evaluated up to step {run.last_step:,} of "
            f"{run.steps[-1]:,}"
        )
    try:
        if not is_interleaved(run.config):
            metrics.auc(run.scores)
            metrics.learned_score(run.scores, window)
        metrics.final_score(run.scores, window)
    except metrics.MissingEvaluation as gap:
        there = run.evaluated[gap.seed, gap.evaluation, gap.task]
        return (
            f"{run.directory} has no {run.score.name if there else 'evaluation'} of task "
            f"{gap.task} ({run.tasks[gap.task]}) at step {run.steps[gap.evaluation]:,} for seed "
            f"{run.seeds[gap.seed]}" + f", which a window of {window} needs" * (window is not None)
        )
    return None
