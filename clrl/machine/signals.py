"""Ctrl-C and its relatives: finish the step, keep everything, end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, *(
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
))  # fmt: skip


def end_like_ctrl_c() -> None:
    """Let every stopping signal raise KeyboardInterrupt; for a command that is starting up."""
    for number in STOPPING:
        signal.signal(number, signal.default_int_handler)


class Interrupted(KeyboardInterrupt):
    """A signal ended the run; all that cannot be done again is saved."""


class Signals:
    """Turns SIGINT, SIGTERM, SIGUSR1, SIGUSR2 into a flag or, where nothing is lost, an exception.

    In the training loop a signal only sets `requested`: the loop stops at its next step and the run
    is saved there. Inside `raising()` (a hook, an evaluation: work that is done again from its
    start) the first signal raises `Interrupted` at once; later ones set the flag and nothing else.
    A context manager; outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = ""
        """The name of the last signal that came; empty before."""
        self._raise = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in STOPPING}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        if self._raise:
            self.check()

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.requested:
            self._raise = False
            raise Interrupted(self.requested)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Open a block that a signal may leave at any point."""
        self._raise = True
        try:
            self.check()
            yield
        finally:
            self._raise = False
