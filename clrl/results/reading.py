"""Run directories, found and read back as arrays."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clrl.config.schema import CONFIG_FILE, read_config, schedule_of
from clrl.config.scores import MODES, NUMBERS, SCORES, Score, score_of
from clrl.envs.contract.probe import Numbers, differing_numbers
from clrl.envs.schedule import Schedule
from clrl.errors import ConfigError, DamagedData
from clrl.results.record import METRICS_FILE, read_lines

RUN_FILE = "run.json"
WORLDS_FILE = "worlds.json"
"""What the worlds of a run did when they were tried, to tell worlds apart by."""
ALL = "all"
"""The key of `worlds.json` where all seeds have the same worlds; else each seed's number is one."""

WorldNumbers = dict[str, list[Numbers]]
"""The numbers of each task's world, under ALL or under every seed."""


@dataclass(frozen=True, eq=False)
class RunData:
    """What one run directory holds.

    The arrays have axes seeds x evaluations x tasks and are NaN where nothing was evaluated or the
    record does not know the number.

    Attributes:
        directory: where it was read.
        config: `config.yaml`, in today's schema.
        info: `run.json` ({} without one).
        seeds: [S] as in the configuration.
        schedule: the tasks, in order, and where each starts and ends.
        steps: [E] the steps at which the whole run evaluates, counted over the sequence.
        evaluated: [S, E, N] where the record has a line.
        score: what the run is measured by: the sequence's score, or returns where that is success
            and the record has none.
        scores: [S, E, N] the numbers of this score.
        success: [S, E, N] rate of the stochastic episodes that succeeded at any step.
        deterministic: [S, E, N] the same for the deterministic episodes.
        success_last: [S, E, N] rate of the stochastic episodes that succeeded at their last step.
        returns: [S, E, N] mean return of the stochastic episodes.
        worlds: what the worlds did when they were tried; None where that is not recorded.
    """

    directory: Path
    config: dict[str, Any]
    info: dict[str, Any]
    seeds: tuple[int, ...]
    schedule: Schedule
    steps: np.ndarray
    evaluated: np.ndarray
    score: Score
    scores: np.ndarray
    success: np.ndarray
    deterministic: np.ndarray
    success_last: np.ndarray
    returns: np.ndarray
    worlds: WorldNumbers | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return self.schedule.names

    @property
    def last_step(self) -> int:
        """The step of the last evaluation that is recorded; 0 without one."""
        done = np.flatnonzero(self.evaluated.any(axis=(0, 2)))
        return int(self.steps[done[-1]]) if len(done) else 0

    @property
    def state(self) -> str:
        """`running`, `interrupted`, `complete` or `failed`; `unknown` without `run.json`."""
        return str(self.info.get("state", "unknown"))


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """Find the directories that hold a run, at or below the given ones.

    A run is known by its content: `config.yaml` beside `metrics.jsonl`.

    Returns:
        each directory once, sorted within each given path.

    Raises:
        ConfigError: a path does not exist or there is no run below it.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise ConfigError(f"{path} is not a directory")
        runs = sorted(_runs_below(path))
        if not runs:
            raise ConfigError(
                f"{path} holds no run (a directory with {CONFIG_FILE} and {METRICS_FILE})"
            )
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def _runs_below(path: Path) -> Iterator[Path]:
    for directory, below, files in os.walk(path):
        if CONFIG_FILE in files and METRICS_FILE in files:
            below.clear()  # a run's own folders (checkpoints, wandb) hold no further runs
            yield Path(directory)


def read_run(directory: str | Path) -> RunData:
    """Read a run directory, of any version.

    A torn last line of `metrics.jsonl` (a kill while it was written) is ignored.

    Raises:
        DamagedData: anything else that does not fit, naming the file and the line.
    """
    directory = Path(directory)
    config = read_config(directory / CONFIG_FILE)
    cells = _Cells(config)
    path = directory / METRICS_FILE
    for number, row in read_lines(path):
        try:
            if row["seq"] != number - 1:
                raise ValueError(f"seq is {row['seq']!r}, not {number - 1}: lines are missing")
            cells.place(row)
        except KeyError as missing:
            raise DamagedData(f"{path}: line {number} has no {missing}") from None
        except ValueError as wrong:
            raise DamagedData(f"{path}: line {number}: {wrong}") from None
    score, drawn, values = cells.score(), MODES[0], cells.values
    return RunData(
        directory=directory,
        config=config,
        info=read_info(directory / RUN_FILE),
        seeds=tuple(cells.seeds),
        schedule=cells.schedule,
        steps=np.array(list(cells.steps)),
        evaluated=cells.seen[0] | cells.seen[1],
        score=score,
        scores=values[score.mode, score.key],
        success=values[drawn, "success"],
        deterministic=values[MODES[1], "success"],
        success_last=values[drawn, "success_last"],
        returns=values[drawn, "return"],
        worlds=read_worlds(directory),
    )


def read_info(path: Path) -> dict[str, Any]:
    """Return what `run.json` says, {} without one.

    Raises:
        DamagedData: it is not a JSON object.
    """
    if not path.exists():
        return {}
    try:
        info = json.loads(path.read_bytes())
    except ValueError as wrong:
        raise DamagedData(f"{path} cannot be read: {wrong}") from None
    if not isinstance(info, dict):
        raise DamagedData(f"{path} is not a JSON object")
    return info


def read_worlds(directory: Path) -> WorldNumbers | None:
    """Return what a run's `worlds.json` says, None without one.

    Raises:
        DamagedData: it cannot be read.
    """
    path = directory / WORLDS_FILE
    if not path.exists():
        return None
    try:
        worlds = json.loads(path.read_bytes())
        for tasks in worlds.values():
            for numbers in tasks:
                differing_numbers(numbers, numbers)  # reads all of them
    except (ValueError, TypeError, KeyError, AttributeError) as wrong:
        raise DamagedData(f"{path} cannot be read: {' '.join(str(wrong).split())}") from None
    read: WorldNumbers = worlds
    return read


def differing_worlds(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str | None:
    """Say in what worlds differ, as far as both are known for the same seeds; None for nothing."""
    for key in one.keys() & other.keys() if one is not None and other is not None else ():
        assert one is not None and other is not None
        if len(one[key]) != len(other[key]):
            return f"{len(one[key])} worlds instead of {len(other[key])}"
        if text := differing_tasks(one[key], other[key]):
            return f"the world of {text}"
    return None


def differing_tasks(one: Sequence[Numbers], other: Sequence[Numbers]) -> str | None:
    """Say in what the worlds of equally many tasks differ, None for nothing."""
    for task, pair in enumerate(zip(one, other, strict=True)):
        if text := differing_numbers(*pair):
            return f"task {task} gives the {text}"
    return None


class _Cells:
    """The numbers of a record while it is read, with axes seeds x evaluations x tasks.

    Args:
        config: the run's configuration, which says what there can be.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.schedule, self._asked = schedule_of(config), score_of(config)
        evaluations = self.schedule.evaluations(config["evaluation"]["evals_per_task"])
        self.steps = {step: place for place, step in enumerate(evaluations)}
        self.seeds = {seed: place for place, seed in enumerate(config["seeds"])}
        shape = (len(self.seeds), len(self.steps), self.schedule.n_tasks)
        self.seen = np.zeros((len(MODES), *shape), bool)
        self.values = {(mode, key): np.full(shape, np.nan) for mode in MODES for key in NUMBERS}

    def place(self, row: dict[str, Any]) -> None:
        """Check where a line belongs and put its numbers there.

        Raises:
            ValueError: it does not fit the configuration, or its cell is taken.
            KeyError: something is missing.
        """
        step, task, seed, mode = row["step"], row["task"], row["seed"], row["mode"]
        names = self.schedule.names
        if not _whole(step) or step not in self.steps:
            raise ValueError(f"step {step!r} is no step at which this run evaluates")
        if not _whole(task) or not 0 <= task < len(names):
            raise ValueError(f"task {task!r} is not in 0..{len(names) - 1}")
        if row["task_name"] != names[task]:
            raise ValueError(f"task_name {row['task_name']!r} is not the name of task {task}")
        if not _whole(seed) or seed not in self.seeds:
            raise ValueError(f"seed {seed!r} is not among the run's seeds {list(self.seeds)}")
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        cell = self.seeds[seed], self.steps[step], task
        if self.seen[MODES.index(mode)][cell]:
            raise ValueError(f"task {task}, seed {seed}, {mode} at step {step} is there twice")
        self.seen[MODES.index(mode)][cell] = True
        for key, value in _numbers(row).items():
            self.values[mode, key][cell] = value

    def score(self) -> Score:
        """Return what the run is measured by: a world that reports no success has its returns."""
        instead = SCORES["return"]
        if self._asked.name == "success" and not any(self._knows(m, "success") for m in MODES):
            return instead if self._knows(instead.mode, instead.key) else self._asked
        return self._asked

    def _knows(self, mode: str, key: str) -> bool:
        return not np.isnan(self.values[mode, key]).all()


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """Return a line's numbers, checked; null (not known) is NaN."""
    episodes = row["episodes"]
    if not _whole(episodes) or episodes < 1:
        raise ValueError(f"episodes {episodes!r} is not a positive whole number")
    numbers = {}
    for key in NUMBERS:
        value = row.get(key) if key == "accuracy" else row[key]  # only a classifier has one
        rate = key != "return"
        if value is None:
            value = math.nan
        elif type(value) not in (int, float) or (rate and not 0 <= value <= 1):
            raise ValueError(f"{key} {value!r} is not {'in 0..1' if rate else 'a finite number'}")
        elif not math.isfinite(value):
            raise ValueError(f"{key} {value!r} is not a finite number")
        numbers[key] = value
    return numbers


def _whole(value: object) -> bool:
    return type(value) is int  # bool is an int too, but a step is not True
