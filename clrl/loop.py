"""The order of events over a sequence, and what of it is on the disk.

Within a task: steps, a checkpoint, an evaluation, and again. After a task's last step: a
checkpoint, `end_task` (the method learns from the task's data), the policy's snapshot, the
evaluation of that step, and `start_task` of the next one. Everything after a checkpoint is done
again after a kill, from the same generators: the files then hold the same bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.learner import NonFinite
from clrl.checkpoint import STATE, TENSORS, Checkpoint, Checkpoints, pack, write_directory
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv
from clrl.errors import DamagedData
from clrl.evaluator import Evaluation, Row, Simulators, evaluate
from clrl.results import Record
from clrl.rundir import RunFile
from clrl.signals import Signals


class Mirror(Protocol):
    """Where rows go besides the record: the screen, wandb. Never needed to go on."""

    def train(self, rows: Sequence[Row]) -> None:
        """Takes rows of `train.jsonl`."""

    def metrics(self, rows: Sequence[Row]) -> None:
        """Takes rows of `metrics.jsonl`."""


class Progress(BaseCallback):
    """Counts finished episodes, writes `train.jsonl`, and stops the loop after a signal.

    Args:
        record: `train.jsonl`.
        log_every: Steps between lines.
        steps_per_task: For the lines' task.
        signals: Asked at every step.
        mirror: Gets the same rows.
    """

    def __init__(
        self, record: Record, log_every: int, steps_per_task: int, signals: Signals, mirror: Mirror
    ) -> None:
        super().__init__()
        self.record, self.mirror, self.signals = record, mirror, signals
        self.log_every, self.steps_per_task = log_every, steps_per_task
        self.sim_warnings = 0
        self.episodes: list[list[list[float]]] = []
        """For each seed, (return, length, success) of the episodes since its last line."""

    def start(self, agent: Agent) -> None:
        """Forgets everything counted."""
        self.sim_warnings, self.episodes = 0, [[] for _ in agent.seeds]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return {"sim_warnings": self.sim_warnings, "episodes": self.episodes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""
        self.sim_warnings, self.episodes = state["sim_warnings"], state["episodes"]

    def _on_step(self) -> bool:
        for finished, info in zip(self.episodes, self.locals["infos"], strict=True):
            self.sim_warnings += bool(info.get("sim_warning", False))
            if "episode" in info:
                episode = info["episode"]
                success = float(info["is_success"])
                finished.append([float(episode["r"]), float(episode["l"]), success])
        if self.num_timesteps % self.log_every == 0:
            self.write()
        return not self.signals.requested

    def write(self) -> None:
        """Writes one line per seed."""
        agent: Any = self.model
        losses = agent.losses_log()
        step = self.num_timesteps
        rows = []
        for s, (seed, finished) in enumerate(zip(agent.seeds, self.episodes, strict=True)):
            means: list[float | None] = [sum(c) / len(c) for c in zip(*finished, strict=True)]
            means = means or [None, None, None]
            rows.append({"step": step, "task": (step - 1) // self.steps_per_task, "seed": seed,
                         "episodes": len(finished), "return_mean": means[0],
                         "length_mean": means[1], "success_mean": means[2],
                         **{name: values[s] for name, values in losses.items()}})  # fmt: skip
            finished.clear()
        self.record.append(rows)
        self.mirror.train(rows)


class Loop:
    """One run, from wherever its directory says it is to its end.

    Args:
        agent: A fresh agent; its environments are a `SeedVecEnv` of `TaskSequence`s.
        directory: The run directory, owned by the caller.
        evaluation: When and how to evaluate.
        log_every: Steps between lines of `train.jsonl`.
        run_file: `run.json`.
        signals: The handlers, installed.
        mirror: Gets every row.

    Raises:
        ValueError: `evals_per_task` does not divide the steps per task.
    """

    def __init__(
        self,
        agent: Agent,
        directory: Path,
        evaluation: Evaluation,
        log_every: int,
        run_file: RunFile,
        signals: Signals,
        mirror: Mirror,
    ) -> None:
        env = agent.get_env()
        assert isinstance(env, SeedVecEnv) and isinstance(env.envs[0], TaskSequence)
        self.agent, self.env, self.sequence = agent, env, env.envs[0]
        self.directory, self.evaluation, self.run_file = directory, evaluation, run_file
        self.signals, self.mirror = signals, mirror
        self.steps_per_task = self.sequence.steps_per_task
        self.period = evaluation.period(self.steps_per_task)
        self.metrics = Record(directory / "metrics.jsonl")
        self.train = Record(directory / "train.jsonl")
        self.progress = Progress(self.train, log_every, self.steps_per_task, signals, mirror)
        self.progress.start(agent)
        self.checkpoints = Checkpoints(directory / "checkpoints")
        self.simulators = Simulators(self.sequence)
        self.saved = -1
        """Step of the newest checkpoint."""
        self._spent = (time.perf_counter(), time.process_time())

    def go(self, checkpoint: Checkpoint | None) -> None:
        """Trains from a checkpoint (None: from the start) to the end of the sequence.

        Raises:
            Interrupted: A signal came; all is saved.
            NonFinite: A loss or a number of the agent's state is not finite; nothing of it is
                saved.
            DamagedData: The directory cannot be continued.
        """
        try:
            with self.signals.raising():
                step = self.restore(checkpoint)
            if step > 0:
                self.finish_period(step)
            while step < self.sequence.n_tasks * self.steps_per_task:
                if step % self.steps_per_task == 0:
                    self.start_task(step)
                step = self.train_until(step - step % self.period + self.period)
                self.finish_period(step)
        finally:
            self.simulators.close()

    def restore(self, checkpoint: Checkpoint | None) -> int:
        """Goes back to a checkpoint, the record's files included.

        Returns:
            The checkpoint's step; 0 without one.
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
        self.agent.load_state_dict({"tensors": checkpoint.tensors, "json": state["agent"]})
        self.env.restore(state["environments"])
        self.progress.load_state(state["progress"])
        self.saved = int(state["step"])
        return self.saved

    def start_task(self, step: int) -> None:
        """Starts the task whose first step is next."""
        task = step // self.steps_per_task
        with self.signals.raising():
            self.agent.start_task(task)
        event = {"step": step, "task": task, "event": "task_start",
                 "value": self.sequence.task_names[task]}  # fmt: skip
        self.train.append([event])
        self.mirror.train([event])

    def train_until(self, step: int) -> int:
        """Trains to `step` and saves; after a signal saves at the next step and ends."""
        self.signals.check()
        done = self.agent.num_timesteps
        self.agent.learn(step - done, callback=self.progress, reset_num_timesteps=False)
        self.save(self.agent.num_timesteps)
        self.signals.check()
        return step

    def finish_period(self, step: int) -> None:
        """Does what follows a checkpoint at `step`: the task's end, the evaluation due there."""
        task = (step - 1) // self.steps_per_task
        with self.signals.raising():
            if step % self.steps_per_task == 0:
                self.agent.end_task()
                self.save_policy(task, step)
            due = self.evaluation.due(step, self.steps_per_task, self.sequence.n_tasks)
            rows = evaluate(self.agent, self.simulators, due, step, self.evaluation)
        self.metrics.append(rows)
        self.mirror.metrics(rows)
        self.account(task, step)

    def save(self, step: int) -> None:
        """Writes the checkpoint of `step`, unless the newest one is of this step."""
        if step == self.saved:
            return
        state = self.agent.state_dict(copy_data=False)
        self.check(state["tensors"], step)
        records = {"metrics": self.metrics, "train": self.train}
        written = self.checkpoints.save(step, state["tensors"], {
            "step": step,
            "agent": state["json"],
            "environments": self.env.states(),
            "progress": self.progress.state(),
            "records": {n: {"size": r.size, "seq": r.seq} for n, r in records.items()},
        })  # fmt: skip
        if written:
            self.saved = step
        self.account((step - 1) // self.steps_per_task, step)

    def save_policy(self, task: int, step: int) -> None:
        """Writes the snapshot of the policy at a task's end."""
        tensors = self.agent.policy_state()
        self.check(tensors, step)
        name = self.sequence.task_names[task]
        state = {"task": task, "task_name": name, "step": step}
        files = [(TENSORS, pack(tensors)), (STATE, json.dumps(state).encode())]
        write_directory(self.directory / "tasks" / f"{task:02d}-{_plain(name)}", files)

    def check(self, tensors: dict[str, Tensor], step: int) -> None:
        """Raises NonFinite, naming tensor, seed and task, before anything bad is saved."""
        for name, tensor in tensors.items():
            # The sum is ten times as fast, and finite only if every number is.
            if not tensor.is_floating_point() or bool(torch.isfinite(tensor.sum())):
                continue
            if bool(torch.isfinite(tensor).all()):
                continue
            seeds = self.agent.seeds
            if tensor.ndim and tensor.shape[0] == len(seeds):
                finite = torch.isfinite(tensor).reshape(len(seeds), -1).all(1).tolist()
                seeds = tuple(s for s, good in zip(seeds, finite, strict=True) if not good)
            task = (step - 1) // self.steps_per_task
            which = ", ".join(map(str, seeds))
            raise NonFinite(f"{name} of seed {which} is not finite in task {task}")

    def account(self, task: int, step: int) -> None:
        """Adds the time since the last call to `task` in `run.json`."""
        now = (time.perf_counter(), time.process_time())
        spent = {}
        for i, name in enumerate(("wall_seconds", "cpu_seconds")):
            tasks = dict(self.run_file.values.get(name, {}))
            tasks[str(task)] = round(tasks.get(str(task), 0.0) + now[i] - self._spent[i], 3)
            spent[name] = tasks
        self._spent = now
        self.run_file.update(step=step, sim_warnings=self.progress.sim_warnings, **spent)


@contextmanager
def closing(loop: Loop) -> Iterator[Loop]:
    """Closes the loop's files and environments at the end."""
    try:
        yield loop
    finally:
        loop.metrics.close()
        loop.train.close()
        loop.env.close()


def _plain(name: str) -> str:
    """A task's name as a folder's."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
