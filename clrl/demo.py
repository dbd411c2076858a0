"""`clrl demo`: three methods on three easy tasks, from nothing to table and plots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from clrl import errors

# Chosen once, among six easy tasks, by what ten seeds learned from scratch in 10,000 steps.
TASKS = ("drawer-close-v3", "reach-v3", "coffee-button-v3")
METHODS = ("packnet", "ewc", "finetuning")  # the longest first
SEEDS = "0..1"
FLAGS = ("--preset", "small", "--threads", "1", "--device", "cpu")
AT_ONCE = 2
LAST_LINES = 15


@dataclass
class Job:
    """One `clrl train` in a process of its own.

    Attributes:
        name: shown before each of its lines.
        words: the command line after `clrl train`.
        process: the process, once started.
        last: its last lines.
    """

    name: str
    words: tuple[str, ...]
    process: subprocess.Popen[str] | None = None
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    _reader: threading.Thread | None = None

    def command(self) -> list[str]:
        """Return the whole command."""
        return [sys.executable, "-m", "clrl.cli", "train", *self.words]

    def start(self) -> None:
        """Start the process; its lines are printed as they come."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def code(self) -> int | None:
        """Return the exit code, None while the process runs."""
        code = self.process.poll() if self.process is not None else None
        if code is not None and self._reader is not None:
            self._reader.join(timeout=1)
        return code

    def end(self) -> None:
        """Let the process save its run and end; kill it if that takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            self.last.append(line.rstrip())
            print(f"{self.name:22}{line.rstrip()}", flush=True)


def jobs(out: Path) -> list[Job]:
    """Return the runs: methods first, since they take longest, then a reference for each task."""

    def job(name: str, method: str, sequence: str, directory: Path) -> Job:
        where = ("--sequence", sequence, "--seeds", SEEDS, "--out", str(directory))
        return Job(name, (method, *where, *FLAGS))

    methods = [job(method, method, ",".join(TASKS), out / method) for method in METHODS]
    references = [job(task, "finetuning", task, out / "references" / task) for task in TASKS]
    return methods + references


def run_all(waiting: Sequence[Job], at_once: int = AT_ONCE) -> Job | None:
    """Run jobs, some at a time.

    Returns:
        The first job that failed, after the others have been ended; None if all are done.

    Raises:
        KeyboardInterrupt: the user ended it, or SIGTERM did; so have the jobs.
    """
    queue, running = deque(waiting), list[Job]()
    try:
        while queue or running:
            while queue and len(running) < at_once:
                running.append(queue.popleft())
                running[-1].start()
            time.sleep(0.05)
            for job in list(running):
                if job.code() is not None:
                    running.remove(job)
                    if job.code():
                        return job
        return None
    finally:
        with suppress(KeyboardInterrupt):  # a second Ctrl-C must not leave jobs behind
            for job in running:
                threading.Thread(target=job.end).start()
            for job in running:
                job.end()


def demo(out: Path) -> int:
    """Train, then print table, plots and two sentences; the same call again continues.

    Returns:
        An exit code.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    try:
        failed = run_all(jobs(out))
    except KeyboardInterrupt:
        print("clrl: interrupted; `clrl demo` again goes on", file=sys.stderr)
        return errors.INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    if failed is not None:
        print(f"clrl: {failed.name} failed; its last lines:", file=sys.stderr)
        print("\n".join(failed.last), file=sys.stderr)
        code = failed.code() or errors.FAULT
        return code if code > 0 else errors.FAULT  # negative: a signal killed it
    print(f"\nAll runs are complete ({time.monotonic() - begin:.0f} s).\n")
    show(out)
    return errors.OK


def show(out: Path) -> None:
    """Print table, plots and what one sees."""
    from clrl.plots import plot
    from clrl.tables import table

    result = table([out])
    print(result.markdown())
    for path in plot([out], out / "plots"):
        print(path)
    scores = {
        row.group.method: Scores(
            row.performance.value, row.forgetting.value, row.forward_transfer.value
        )
        for section in result.sections
        if tuple(section.sequence["tasks"]) == TASKS
        for row in section.rows
    }
    print("\n" + "\n".join(sentences(scores)))


@dataclass(frozen=True)
class Scores:
    """A method's performance, forgetting and forward transfer."""

    performance: float
    forgetting: float
    transfer: float


def sentences(scores: dict[str, Scores]) -> list[str]:
    """Say in two sentences what a table shows: what was kept, and what helped."""
    kept = max(scores, key=lambda name: scores[name].performance)
    lost = max(scores, key=lambda name: scores[name].forgetting)
    first, last = scores[kept], scores[lost]
    text = (
        f"After the last task {kept} does best: it succeeds in {first.performance:.0%} of the "
        f"episodes, averaged over all tasks"
    )
    if last.forgetting <= 0.05:
        text += "; no method forgets more than 5 points of success."
    else:
        others = "itself" if lost == kept else f"against {first.forgetting:.0%} of {kept}"
        text += f"; {lost} forgets most, {last.forgetting:.0%} of success, {others}."
    if any(score.transfer != score.transfer for score in scores.values()):  # NaN
        return [text, "Forward transfer is not defined here: a reference run is missing."]
    quick = max(scores, key=lambda name: scores[name].transfer)
    slow = min(scores, key=lambda name: scores[name].transfer)
    best, worst = scores[quick].transfer, scores[slow].transfer
    speed = "faster" if best > 0 else "no faster"
    return [
        text,
        f"Forward transfer runs from {worst:+.2f} ({slow}) to {best:+.2f} ({quick}): at best, "
        f"tasks are learned {speed} than from scratch.",
    ]
