"""The order of events over a sequence, and what of it is on the disk.

Within a task: steps, a checkpoint, an evaluation, and again. After a task's last step: a
checkpoint, `end_task` (the method learns from the task's data), the policy's snapshot, the
evaluation of that step, and `start_task` of the next one. Everything after a checkpoint is done
again after a kill, from the same generators: the files then hold the same bytes.

Interleaved tasks are one long task: it starts and ends once. Its policy is still written after
every `steps_per_task` steps, as `tasks/00-all-tasks`, `01-all-tasks` and so on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.learner import NonFinite
from clrl.checkpoint import STATE, TENSORS, Checkpoint, Checkpoints, pack, write_directory
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv
from clrl.errors import DamagedData
from clrl.evaluator import Evaluation, Simulators, evaluate
from clrl.progress import Mirror, Progress
from clrl.results import Record
from clrl.rundir import RunFile
from clrl.signals import Signals


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
        self.interleaved = self.sequence.interleaved
        self.total = self.sequence.n_tasks * self.steps_per_task
        self.period = evaluation.period(self.steps_per_task)
        self.metrics = Record(directory / "metrics.jsonl")
        self.train = Record(directory / "train.jsonl")
        named = None if self.interleaved else self.steps_per_task
        self.progress = Progress(self.train, log_every, named, signals, mirror)
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
            while step < self.total:
                if step == 0 or (step % self.steps_per_task == 0 and not self.interleaved):
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
        checkpoint.tensors.clear()  # a full replay buffer's file need not stay for the whole run
        self.saved = int(state["step"])
        return self.saved

    def start_task(self, step: int) -> None:
        """Starts the task whose first step is next."""
        task = step // self.steps_per_task
        with self.signals.raising():
            self.agent.start_task(task)
        event = {"step": step, "task": None if self.interleaved else task, "event": "task_start",
                 "value": self.name(task)}  # fmt: skip
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
            if step == self.total or (step % self.steps_per_task == 0 and not self.interleaved):
                self.agent.end_task()
            if step % self.steps_per_task == 0:
                self.save_policy(task, step)
            due = self.evaluation.due(
                step, self.steps_per_task, self.sequence.n_tasks, self.interleaved
            )
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
        name = self.name(task)
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
            which = ", ".join(map(str, seeds))
            raise NonFinite(f"{name} of seed {which} is not finite in {self.agent.where}")

    def name(self, task: int) -> str:
        """What a task is called; interleaved, what all of them are."""
        return "all-tasks" if self.interleaved else self.sequence.task_names[task]

    def account(self, task: int, step: int) -> None:
        """Adds the time since the last call to `task`, or to those steps, in `run.json`."""
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
