"""Rows mirrored to Weights & Biases, which training neither needs nor waits for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clrl.config.run import RunConfig
from clrl.config.scores import NUMBERS

CONNECT_SECONDS = 60.0
CLOSE_SECONDS = 5.0


class WandbMirror:
    """What sends rows from a thread of its own; a problem is said once, and rows are then dropped.

    wandb raises without a key, blocks without a server and may stop for many other reasons. All of
    that happens in the thread. Rows carry the step as a value of their own, because a continued
    run may send a step again.

    Args:
        config: the run's configuration; `logging.wandb` is off, offline or online.
        directory: the run directory; wandb's files go into its folder `wandb`.
        warn: takes the sentence that says what went wrong.
    """

    def __init__(self, config: RunConfig, directory: Path, warn: Callable[[str], None]) -> None:
        self.config, self.directory, self.warn = config, directory, warn
        self._rows: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._run: Any = None
        self._schedule = config.sequence.schedule

    def start(self) -> None:
        """Start the thread, if wandb was asked for."""
        if self.config.logging.wandb != "off":
            self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
            self._thread.start()

    def train(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows of `train.jsonl`: one per seed, or events."""
        known = ("step", "task")  # interleaved tasks have no current one
        scalars = {name: rows[0][name] for name in known if _is_number(rows[0].get(name))}
        for row in rows:
            seed = f"/seed{row['seed']}" if "seed" in row else ""
            if "event" in row:
                row = {row["event"]: row.get("value")}
            for name, value in row.items():
                if name not in ("seq", "step", "task", "seed") and _is_number(value):
                    scalars[f"train/{name}{seed}"] = value
        self._put(scalars)

    def metrics(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows of `metrics.jsonl`."""
        scalars: dict[str, Any] = {"step": rows[0]["step"]}
        for row in rows:
            task = f"{self._schedule.number(row['task'])}-{row['task_name']}"
            for name in NUMBERS:
                if _is_number(row.get(name)):
                    scalars[f"{row['mode']}/{name}/{task}/seed{row['seed']}"] = row[name]
        self._put(scalars)

    def say(self, text: str) -> None:
        """Do nothing: lines are for people."""

    def close(self) -> None:
        """Send what is left; waits a few seconds at most."""
        if self._thread is not None:
            self._rows.put(None)
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                self.warn("wandb is not done; what it has is lost, the record is whole")
            self._thread = None

    def _put(self, scalars: dict[str, Any]) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._rows.put(scalars)

    def _work(self) -> None:
        try:
            self._open()
            while (scalars := self._rows.get()) is not None:
                self._run.log(scalars)
            self._run.finish()
        except BaseException as problem:  # SystemExit too: nothing of wandb's may end a run
            reason = " ".join(str(problem).split()) or type(problem).__name__
            self.warn(f"going on without wandb: {reason}")

    def _open(self) -> None:
        import wandb  # here: only a run that asks for it needs it

        mode: Any = self.config.logging.wandb
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise RuntimeError("there is no API key; `wandb login` stores one")
        self._run = wandb.init(
            project="clrl",
            name=self.directory.name,
            id=f"{self.directory.name}-{self.config.hash}"[-64:],
            resume="allow" if mode == "online" else None,
            mode=mode,
            dir=self.directory,
            config=self.config.to_dict(),
            settings=wandb.Settings(silent=True, console="off", init_timeout=CONNECT_SECONDS),
        )
        self._run.define_metric("*", step_metric="step")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
