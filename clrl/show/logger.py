"""What a run says while it trains: a progress bar, or plain lines; log.txt; Weights & Biases."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from clrl.config.run import RunConfig
from clrl.config.scores import SCORES
from clrl.show.wandb_mirror import WandbMirror

LOG_FILE = "log.txt"
MAX_LISTED = 10  # tasks whose score stands in a line


class RunLogger:
    """What shows a run's rows as they are recorded.

    On a terminal there is a bar with task, speed and the time that is left, and a line for every
    evaluation above it; elsewhere only the lines. The lines also go to `log.txt`, which is opened
    with the first row: the run directory belongs to the run by then. Lines from before are kept for
    it until then.

    Args:
        config: the run's configuration.
        directory: the run directory.
        stream: where to write; standard output by default.
        clock: seconds that only move forward.
    """

    def __init__(
        self,
        config: RunConfig,
        directory: Path,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.directory, self.clock = config, directory, clock
        self.stream: TextIO | None = stream or sys.stdout
        self.schedule, self.score = config.sequence.schedule, SCORES[config.sequence.score]
        self._turns = config.method.interleaved
        self._first: tuple[int, float] | None = None  # step and time of the first row
        self._log: TextIO | None = None
        self._early: list[str] = []  # lines said before there is a log
        self._progress: Progress | None = None
        self._bar = TaskID(0)
        self._wandb = WandbMirror(config, directory, self.say)

    def train(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows of `train.jsonl`: one per seed, or an event."""
        self._see(rows[0]["step"])
        for row in rows:
            if row.get("event") == "task_start":
                what = row["value"] if self._turns else f"task {row['task']} ({row['value']})"
                self.say(f"step {row['step']:,}: {what} starts")
        self._wandb.train(rows)

    def metrics(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take the rows of one evaluation of `metrics.jsonl`."""
        if not rows:
            return
        step = rows[0]["step"]
        self._see(step)
        where = f"step {step:,} of {self.schedule.total:,}"
        self.say(f"{where} | {self._scores(rows, step)} | {self._pace(step)}")
        self._wandb.metrics(rows)

    def say(self, text: str) -> None:
        """Write a line, above the bar where there is one."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif self.stream is not None:
            try:
                print(text, file=self.stream, flush=True)
            except OSError:  # whoever read the output is gone; the run goes on
                self.stream = None
        if self._log is not None:
            print(text, file=self._log, flush=True)
        elif self._first is None:
            self._early.append(text)

    def close(self) -> None:
        """Take the bar away and close everything; waits a few seconds for wandb at most."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._wandb.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _see(self, step: int) -> None:
        """Open log and bar with the first row, and move the bar."""
        if self._first is None:
            self._first = step, self.clock()
            self._log = open(self.directory / LOG_FILE, "a", encoding="utf-8")  # noqa: SIM115
            for text in self._early:
                print(text, file=self._log, flush=True)
            self._early = []
            self._wandb.start()
            if self.stream is not None and self.stream.isatty():
                self._open_bar()
        if self._progress is not None:
            text = f"{self._task(step)} | {self._pace(step)}"
            self._progress.update(self._bar, completed=step, description=text)

    def _open_bar(self) -> None:
        columns = (
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.description}"),
        )
        console = Console(file=self.stream)
        self._progress = Progress(*columns, console=console, refresh_per_second=2, transient=True)
        self._bar = self._progress.add_task("", total=self.schedule.total)
        self._progress.start()

    def _task(self, step: int) -> str:
        if self._turns:
            return "all tasks"
        task = self.schedule.task_at(step)
        return f"task {task} {self.schedule.names[task]}"

    def _scores(self, rows: Sequence[dict[str, Any]], step: int) -> str:
        """Return the current task's score, and that of all where all were evaluated.

        It is the return where no episode reported the success that was asked for.
        """
        modes = {row["mode"] for row in rows}
        mode = self.score.mode if self.score.mode in modes else rows[0]["mode"]
        known = {key for row in rows for key in ("success", "return") if row.get(key) is not None}
        instead = self.score.name == "success" and known == {"return"}
        score = SCORES["return"] if instead else self.score
        of_task: dict[int, list[float]] = {}
        for row in rows:
            if row["mode"] == mode:
                value = row.get(score.key)
                of_task.setdefault(row["task"], []).append(math.nan if value is None else value)
        means = {task: _mean(values) for task, values in of_task.items()}
        own = means.get(self.schedule.task_at(step), math.nan)
        own = _mean(means.values()) if self._turns else own
        text = f"{self._task(step)}: {score.name} {own:.2f}"
        if len(means) > 1:
            text += "" if self._turns else f" | mean {_mean(means.values()):.2f}"
            if len(means) <= MAX_LISTED:
                text += f" of {' '.join(f'{value:.2f}' for value in means.values())}"
        return text

    def _pace(self, step: int) -> str:
        """Return steps per second of each seed in this process, and what is left of the run."""
        assert self._first is not None
        seconds, steps = self.clock() - self._first[1], step - self._first[0]
        if steps <= 0 or seconds <= 0:
            return "- steps/s"
        speed = steps / seconds
        return f"{speed:.0f} steps/s | {_left((self.schedule.total - step) / speed)}"


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _left(seconds: float) -> str:
    if seconds < 1:
        return "done"
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute left"
    return (
        f"{minutes // 60} h {minutes % 60:02d} min left" if minutes >= 60 else f"{minutes} min left"
    )
