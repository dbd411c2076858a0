"""Commands in processes of their own, some at a time, for what consists of several runs."""

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

LAST_LINES = 15


@dataclass
class Job:
    """One command in a process of its own.

    Attributes:
        name: shown before each of its lines.
        command: the whole command line.
        process: the process, once started.
        last: its last lines.
    """

    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[str] | None = None
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    _reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process; its lines are printed as they come."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            self.command,
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


def run_all(waiting: Sequence[Job], at_once: int, stop_at_failure: bool = False) -> list[Job]:
    """Run jobs, some at a time.

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
    try:
        while (queue or running) and not (failed and stop_at_failure):
            while queue and len(running) < at_once:
                running.append(queue.popleft())
                running[-1].start()
            time.sleep(0.05)
            codes = [(job, job.code()) for job in running]
            failed += [job for job, code in codes if code]
            running = [job for job, code in codes if code is None]
        return failed
    finally:
        with suppress(KeyboardInterrupt):  # a second Ctrl-C must not leave jobs behind
            for job in running:
                threading.Thread(target=job.end).start()
            for job in running:
                job.end()
