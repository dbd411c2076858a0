"""Commands in processes of their own, some at a time, for what consists of several runs.

A run computes with one thread, because several runs of one thread each get more done than one run
of several: as many go at once as cores and memory allow, each on cores of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from clrl.machine.allowed import available_memory, own_cores, usable_cores

LAST_LINES = 15
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a job: what a run computes before `--threads` counts takes one core, too."""


@dataclass
class Job:
    """One command in a process of its own.

    Attributes:
        name: shown before each of its lines.
        command: the whole command line.
        process: the process, once started.
        cores: numbers of the cores that it runs on; any of the machine's if there are none.
        last: its last lines.
    """

    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[str] | None = None
    cores: tuple[int, ...] = ()
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    _reader: threading.Thread | None = None

    def start(self, cores: tuple[int, ...] = ()) -> None:
        """Start the process, on some cores if any are named; its lines are printed as they come."""
        environment = {**os.environ, **ONE_THREAD, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.cores = cores
        if cores:
            with suppress(OSError):  # it may be over already
                os.sched_setaffinity(self.process.pid, cores)
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


def how_many(runs: int, each: int, threads: int = 1) -> tuple[int, str]:
    """Return how many of some runs should go at once, and a sentence that says why.

    Args:
        runs: how many there are.
        each: bytes of memory that each takes at most.
        threads: of each.
    """
    cores, free = usable_cores(), available_memory()
    limits = [
        (cores // threads, f"this process may use {_count(cores, 'core')}"),
        (free // each, f"{free / 2**30:.1f} GiB of memory are free, and a run takes up to "
         f"{each / 2**30:.1f}"),
        (runs, "there are no more"),
    ]  # fmt: skip
    number, why = min(limits, key=lambda limit: limit[0])
    return max(1, number), said(max(1, number), why, threads)


def said(at_once: int, why: str, threads: int = 1) -> str:
    """Return the sentence of `how_many`."""
    return f"{_count(at_once, 'run')} at once, {_count(threads, 'thread')} each: {why}"


def shares(at_once: int) -> list[tuple[int, ...]]:
    """Return the cores of each of some jobs that run at the same time, nothing if nobody knows.

    All cores are shared out: two calls with few jobs each do not meet on the first cores. Every
    n-th core is one job's, because Linux mostly counts the second threads of all cores at the end.
    """
    cores = own_cores()
    return [cores[i % len(cores) :: at_once] if cores else () for i in range(at_once)]


def run_all(waiting: Sequence[Job], at_once: int, stop_at_failure: bool = False) -> list[Job]:
    """Run jobs, some at a time, each on its share of the cores until it ends.

    Args:
        waiting: the jobs, in the order in which they start.
        at_once: how many run at the same time.
        stop_at_failure: end the others when one fails, instead of going on.

    Returns:
        the jobs that failed.

    Raises:
        KeyboardInterrupt: a signal ended it; so have the jobs.
    """
    queue, running, failed = deque(waiting), list[Job](), list[Job]()
    free = deque(shares(at_once))
    try:
        while (queue or running) and not (failed and stop_at_failure):
            while queue and len(running) < at_once:
                running.append(queue.popleft())
                running[-1].start(free.popleft())
            time.sleep(0.05)
            codes = [(job, job.code()) for job in running]
            failed += [job for job, code in codes if code]
            free += [job.cores for job, code in codes if code is not None]
            running = [job for job, code in codes if code is None]
        return failed
    finally:
        with suppress(KeyboardInterrupt):  # a second Ctrl-C must not leave jobs behind
            for job in running:
                threading.Thread(target=job.end).start()
            for job in running:
                job.end()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
