"""The order of events over a sequence, and what of it is on the disk.

Within a task: steps, a checkpoint, an evaluation, and again. After a task's last step: a
checkpoint, `end_task` (the method learns from the task's data), the policy's snapshot, the
evaluation of that step, and `start_task` of the next one. Everything after a checkpoint is done
again after a kill, from the same generators: the files then hold the same bytes.

An agent that is not told of changes sees one long task, number 0: it starts and ends once. So do
interleaved tasks. The record, the snapshots and the evaluations go by the true tasks all the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from clrl.agents.learner import NonFinite
from clrl.config.run import RunConfig
from clrl.errors import ConfigError, DamagedData
from clrl.machine.signals import Signals
from clrl.results.record import METRICS_FILE, TRAIN_FILE, Record
from clrl.run.checkpoint import STATE, TENSORS, Checkpoint, Checkpoints, pack, write_directory
from clrl.run.directory import RunFile
from clrl.run.progress import Mirror, Progress
from clrl.run.trainable import Infos, Trainable

FORMAT = 2
"""Of a checkpoint's state."""


class Loop:
    """One run, from wherever its directory says it is to its end.

    Args:
        config: the run's configuration.
        trained: a fresh learner with its worlds.
        directory: the run directory, owned by the caller.
        run_file: `run.json`.
        signals: the handlers, installed.
        mirror: gets every row.
    """

    def __init__(
        self,
        config: RunConfig,
        trained: Trainable,
        directory: Path,
        run_file: RunFile,
        signals: Signals,
        mirror: Mirror,
    ) -> None:
        self.trained, self.directory, self.run_file = trained, directory, run_file
        self.signals, self.mirror, self.evaluation = signals, mirror, config.evaluation
        self.schedule = config.sequence.schedule
        self.interleaved = config.method.interleaved
        self.tells_boundaries = config.tells_boundaries
        self.metrics = Record(directory / METRICS_FILE)
        self.train = Record(directory / TRAIN_FILE)
        self.progress = Progress(
            trained.learner, self.train, config.logging.log_every, self.task_at, mirror
        )
        self.checkpoints = Checkpoints(directory / "checkpoints")
        self.saved = -1
        """Step of the newest checkpoint."""
        self._spent = (time.perf_counter(), time.process_time())

    def go(self, checkpoint: Checkpoint | None) -> None:
        """Train from a checkpoint (None: from the start) to the end of the sequence.

        Raises:
            Interrupted: a signal came; all is saved.
            NonFinite: a loss or a number of the learner's state is not finite; nothing of it is
                saved.
            DamagedData: the directory cannot be continued.
        """
        with self.signals.raising():
            step = self.restore(checkpoint)
        if step > 0:
            self.finish_period(step)
        for end in self.schedule.evaluations(self.evaluation.evals_per_task):
            if end <= step:
                continue
            if step == 0 or (step in self.schedule.changes and not self.interleaved):
                self.start_task(step)
            step = self.train_until(end)
            self.finish_period(step)

    def restore(self, checkpoint: Checkpoint | None) -> int:
        """Go back to a checkpoint, the record's files included.

        Returns:
            the checkpoint's step; 0 without one.
        """
        if checkpoint is None:
            if self.metrics.size:
                raise DamagedData(
                    f"{self.metrics.path} has evaluations, but there is no checkpoint"
                )
            self.train.truncate_to(0, 0)
            return 0
        state = checkpoint.state
        for name, record in (("metrics", self.metrics), ("train", self.train)):
            record.truncate_to(**state["records"][name])
        self.trained.load_state_dict({"tensors": checkpoint.tensors, "json": state["learner"]})
        self.progress.load_state(state["progress"])
        checkpoint.tensors.clear()  # a full replay buffer's file need not stay for the whole run
        self.saved = int(state["step"])
        return self.saved

    def start_task(self, step: int) -> None:
        """Start the task whose first step is next, and tell the learner if it may know."""
        task = self.schedule.task_at(step + 1)
        if step == 0 or self.tells_boundaries:
            with self.signals.raising():
                self.trained.start_task(task)
        event = {"step": step, "task": None if self.interleaved else task, "event": "task_start",
                 "value": self.name(task)}  # fmt: skip
        self.train.append([event])
        self.mirror.train([event])

    def train_until(self, step: int) -> int:
        """Train to `step` and save; after a signal save at the next step and end."""
        self.signals.check()
        self.trained.learn(step - self.trained.num_timesteps, self.watch)
        self.save(self.trained.num_timesteps)
        self.signals.check()
        return step

    def watch(self, infos: Infos) -> bool:
        """Count a step; say whether to go on."""
        self.progress.count(infos)
        return not self.signals.requested

    def finish_period(self, step: int) -> None:
        """Do what follows a checkpoint at `step`: the task's end, the evaluation due there."""
        task, ends = self.schedule.task_at(step), step in self.schedule.ends
        with self.signals.raising():
            if step == self.schedule.total or (ends and self.tells_boundaries):
                self.trained.end_task()
            if ends:
                self.save_policy(task, step)
            due = self.evaluation.due(step, self.schedule, self.interleaved)
            rows = self.trained.evaluate(due, step, self.evaluation)
        self.metrics.append(rows)
        self.mirror.metrics(rows)
        self.account(task, step)

    def save(self, step: int) -> None:
        """Write the checkpoint of `step`, unless the newest one is of this step."""
        if step == self.saved:
            return
        state = self.trained.state_dict()
        self.check(state["tensors"], step)
        records = {"metrics": self.metrics, "train": self.train}
        written = self.checkpoints.save(step, state["tensors"], {
            "format": FORMAT,
            "step": step,
            "learner": state["json"],
            "progress": self.progress.state(),
            "records": {n: {"size": r.size, "seq": r.seq} for n, r in records.items()},
        })  # fmt: skip
        if written:
            self.saved = step
        self.account(self.schedule.task_at(step), step)

    def save_policy(self, task: int, step: int) -> None:
        """Write the snapshot of the policy at a task's end."""
        tensors = self.trained.policy_state()
        self.check(tensors, step)
        name = self.name(task)
        state = {"task": task, "task_name": name, "step": step}
        files = [(TENSORS, pack(tensors)), (STATE, json.dumps(state).encode())]
        folder = f"{self.schedule.number(task)}-{_plain(name)}"
        write_directory(self.directory / "tasks" / folder, files)

    def check(self, tensors: dict[str, Tensor], step: int) -> None:
        """Raise NonFinite, naming tensor, seed and task, before anything bad is saved."""
        for name, tensor in tensors.items():
            # The sum is ten times as fast, and finite only if every number is.
            if not tensor.is_floating_point() or bool(torch.isfinite(tensor.sum())):
                continue
            if bool(torch.isfinite(tensor).all()):
                continue
            seeds = self.trained.learner.seeds
            if tensor.ndim and tensor.shape[0] == len(seeds):
                finite = torch.isfinite(tensor).reshape(len(seeds), -1).all(1).tolist()
                seeds = tuple(s for s, good in zip(seeds, finite, strict=True) if not good)
            which = ", ".join(map(str, seeds))
            where = "interleaved tasks" if self.interleaved else f"task {self.task_at(step)}"
            raise NonFinite(f"{name} of seed {which} is not finite in {where}")

    def name(self, task: int) -> str:
        """Return what a task is called; interleaved, what all of them are."""
        return "all-tasks" if self.interleaved else self.schedule.names[task]

    def task_at(self, step: int) -> int | None:
        """Return the task that the record names at a step; None where tasks take turns."""
        return None if self.interleaved else self.schedule.task_at(step)

    def account(self, task: int, step: int) -> None:
        """Add the time since the last call to `task`, or to those steps, in `run.json`."""
        now = (time.perf_counter(), time.process_time())
        spent = {}
        for i, name in enumerate(("wall_seconds", "cpu_seconds")):
            tasks = dict(self.run_file.values.get(name, {}))
            tasks[str(task)] = round(tasks.get(str(task), 0.0) + now[i] - self._spent[i], 3)
            spent[name] = tasks
        self._spent = now
        self.run_file.update(step=step, sim_warnings=self.progress.sim_warnings, **spent)


def check_version(checkpoint: Checkpoint | None) -> None:
    """Raise ConfigError if a checkpoint was written by a version that this one cannot continue."""
    if checkpoint is not None and checkpoint.state.get("format") != FORMAT:
        raise ConfigError(
            f"{checkpoint.path} was written by another version and cannot be continued; "
            "`clrl table` and `clrl plot` read the run, and another directory starts it anew"
        )


@contextmanager
def closing(loop: Loop) -> Iterator[Loop]:
    """Close the loop's files and worlds at the end."""
    try:
        yield loop
    finally:
        loop.metrics.close()
        loop.train.close()
        loop.trained.close()


def _plain(name: str) -> str:
    """Return a task's name as a folder's."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
