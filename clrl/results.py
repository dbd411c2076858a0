"""The run directory's record: written line by line by a run, read back as arrays."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from clrl.errors import ConfigError, DamagedData

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"
RUN_FILE = "run.json"
MODES = ("stochastic", "deterministic")


class Record:
    """An append-only file of JSON lines that survives a kill at any moment.

    Every line carries `seq`, its number from 0. A last line without a newline is what a kill
    leaves of a write: opening the file for writing cuts it off.

    Attributes:
        size: Length of the file in bytes.
        seq: Number of the next line.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.size, self.seq = _complete_lines(self.path)
        self._file = open(self.path, "ab", buffering=0)
        self._file.truncate(self.size)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, each with its `seq` in front, and return once they are on the disk.

        Raises:
            ValueError: A number is not finite, which JSON has no word for; nothing is written.
            OSError: The disk refused; the file is as it was before the call.
        """
        lines = [
            json.dumps({"seq": self.seq + i, **row}, allow_nan=False) + "\n"
            for i, row in enumerate(rows)
        ]
        data = memoryview("".join(lines).encode())
        end = self.size + len(data)
        try:
            while data:  # an unbuffered write may take less than it is given
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except BaseException:  # a full disk, but also a signal between two writes
            self._file.truncate(self.size)
            raise
        self.size, self.seq = end, self.seq + len(rows)

    def truncate_to(self, size: int, seq: int) -> None:
        """Go back to an earlier state of the file, for a run that resumes from a checkpoint.

        Args:
            size: The earlier `size` in bytes.
            seq: The earlier `seq`.

        Raises:
            DamagedData: The file does not hold `seq` whole lines in its first `size` bytes.
        """
        with open(self.path, "rb") as file:
            head = file.read(size)
        whole = not head or head.endswith(b"\n")
        if len(head) != size or not whole or head.count(b"\n") != seq:
            raise DamagedData(
                f"{self.path}: the checkpoint needs its first {seq} lines ({size} bytes), "
                f"but the file has {self.seq} lines ({self.size} bytes)"
            )
        self._file.truncate(size)
        os.fsync(self._file.fileno())
        self.size, self.seq = size, seq

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _complete_lines(path: Path) -> tuple[int, int]:
    """Bytes and number of a file's lines that end in a newline; (0, 0) without a file."""
    size = end = lines = 0
    if path.exists():
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                lines += block.count(b"\n")
                if b"\n" in block:
                    end = size + block.rindex(b"\n") + 1
                size += len(block)
    return end, lines


@dataclass(frozen=True, eq=False)
class RunData:
    """What one run directory holds.

    The arrays have axes seeds x evaluations x tasks and are NaN where nothing was evaluated.

    Attributes:
        directory: Where it was read.
        config: `config.yaml`.
        info: `run.json` ({} without one).
        seeds: [S] as in the configuration.
        tasks: [N] names, in order.
        steps: [E] the steps at which the whole run evaluates, counted over the sequence.
        success: [S, E, N] rate of the stochastic episodes that succeeded at any step.
        deterministic: [S, E, N] the same for the deterministic episodes.
        success_last: [S, E, N] rate of the stochastic episodes that succeeded at their last step.
        returns: [S, E, N] mean return of the stochastic episodes.
    """

    directory: Path
    config: dict[str, Any]
    info: dict[str, Any]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    steps: np.ndarray
    success: np.ndarray
    deterministic: np.ndarray
    success_last: np.ndarray
    returns: np.ndarray

    @property
    def state(self) -> str:
        """`running`, `interrupted`, `complete` or `failed`; `unknown` without `run.json`."""
        return str(self.info.get("state", "unknown"))


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """Find the directories that hold a run, at or below the given ones.

    A run is known by its content: `config.yaml` beside `metrics.jsonl`.

    Returns:
        Each directory once, sorted within each given path.

    Raises:
        ConfigError: A path does not exist or there is no run below it.
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
    """Read a run directory.

    A torn last line of `metrics.jsonl` (a kill while it was written) is ignored.

    Raises:
        DamagedData: Anything else that does not fit, naming the file and the line.
    """
    directory = Path(directory)
    config = _read_config(directory / CONFIG_FILE)
    tasks, seeds = tuple(config["sequence"]["tasks"]), tuple(config["seeds"])
    evaluations = len(tasks) * config["evaluation"]["evals_per_task"]
    period = config["sequence"]["steps_per_task"] // config["evaluation"]["evals_per_task"]
    values = np.full((4, len(seeds), evaluations, len(tasks)), np.nan)
    columns = {seed: column for column, seed in enumerate(seeds)}
    path = directory / METRICS_FILE
    for number, row in read_lines(path):
        try:
            if row["seq"] != number - 1:
                raise ValueError(f"seq is {row['seq']!r}, not {number - 1}: lines are missing")
            _place(row, values, period, columns, tasks)
        except KeyError as missing:
            raise DamagedData(f"{path}: line {number} has no {missing}") from None
        except ValueError as wrong:
            raise DamagedData(f"{path}: line {number}: {wrong}") from None
    return RunData(
        directory, config, _read_info(directory / RUN_FILE), seeds, tasks,
        period * np.arange(1, evaluations + 1), *values,
    )  # fmt: skip


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        steps, evals = config["sequence"]["steps_per_task"], config["evaluation"]["evals_per_task"]
        lists = [config["sequence"]["tasks"], config["seeds"]]
        config["method"]["name"], config["learner"]["name"]
    except (OSError, ValueError, yaml.YAMLError) as wrong:
        raise DamagedData(f"{path} cannot be read: {' '.join(str(wrong).split())}") from None
    except KeyError as missing:
        raise DamagedData(f"{path} has no {missing}") from None
    except TypeError:
        raise DamagedData(f"{path} is not the configuration of a run") from None
    if not all(isinstance(values, list) and values for values in lists):
        raise DamagedData(f"{path}: sequence.tasks and seeds must be lists that are not empty")
    if len(set(lists[1])) < len(lists[1]):
        raise DamagedData(f"{path}: seeds {lists[1]} has a seed twice")
    if not (_whole(steps) and _whole(evals) and evals > 0 and steps > 0 and steps % evals == 0):
        raise DamagedData(
            f"{path}: evaluation.evals_per_task is {evals}; sequence.steps_per_task ({steps}) "
            "must be a multiple of it"
        )
    return config


def _read_info(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        info = json.loads(path.read_bytes())
    except ValueError as wrong:
        raise DamagedData(f"{path} cannot be read: {wrong}") from None
    if not isinstance(info, dict):
        raise DamagedData(f"{path} is not a JSON object")
    return info


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers (from 1) and contents of the lines, without a torn last one."""
    torn: int | None = None
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if torn:
                raise DamagedData(f"{path}: line {torn} is not JSON")
            try:
                row = json.loads(line.decode())
            except ValueError:
                torn = number  # fine if it is the last
                continue
            if not isinstance(row, dict):
                raise DamagedData(f"{path}: line {number} is not a JSON object")
            yield number, row


def _place(
    row: dict[str, Any],
    values: np.ndarray,
    period: int,
    seeds: dict[int, int],
    tasks: tuple[str, ...],
) -> None:
    """Check where a line belongs and put its numbers there in `values` [4, S, E, N].

    `seeds` gives each seed's place on the axis S; `period` is the steps between evaluations.
    """
    step, task, seed, mode = row["step"], row["task"], row["seed"], row["mode"]
    if not _whole(step) or step % period or not 0 < step <= period * values.shape[2]:
        raise ValueError(f"step {step!r} is no step at which this run evaluates")
    if not _whole(task) or not 0 <= task < len(tasks):
        raise ValueError(f"task {task!r} is not in 0..{len(tasks) - 1}")
    if row["task_name"] != tasks[task]:
        raise ValueError(f"task_name {row['task_name']!r} is not the name of task {task}")
    if not _whole(seed) or seed not in seeds:
        raise ValueError(f"seed {seed!r} is not among the run's seeds {list(seeds)}")
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is not one of {', '.join(MODES)}")
    kind, s, e = MODES.index(mode), seeds[seed], step // period - 1
    if not math.isnan(values[kind, s, e, task]):
        raise ValueError(f"task {task}, seed {seed}, {mode} at step {step} is there twice")
    success, success_last, returns = _scores(row)
    values[kind, s, e, task] = success
    if kind == 0:
        values[2, s, e, task], values[3, s, e, task] = success_last, returns


def _scores(row: dict[str, Any]) -> tuple[float, float, float]:
    """A line's success, success_last and return, checked; null (not known) becomes NaN."""
    episodes, success, last = row["episodes"], row["success"], row["success_last"]
    if not _whole(episodes) or episodes < 1:
        raise ValueError(f"episodes {episodes!r} is not a positive whole number")
    for name, rate in (("success", success), ("success_last", 0 if last is None else last)):
        if type(rate) not in (int, float) or not 0 <= rate <= 1:
            raise ValueError(f"{name} {rate!r} is not in 0..1")
    returns = row["return"]
    if returns is not None and not (type(returns) in (int, float) and math.isfinite(returns)):
        raise ValueError(f"return {returns!r} is not a finite number")
    return success, math.nan if last is None else last, math.nan if returns is None else returns


def _whole(value: object) -> bool:
    return type(value) is int  # bool is an int too, but a step is not True
