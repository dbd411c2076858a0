"""Tiny runs in processes of their own, to be killed. Not a test: `test_resume.py` starts it.

Reads one job per line (JSON), forks a process for it and answers with its pid; a line with a pid is
answered with its exit code. Forking from here saves importing torch for every run.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.native.path import Update
from clrl.agents.sac import ContinualSAC
from clrl.config.evaluation import Evaluation
from clrl.envs.interleaved import InterleavedTasks
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv
from clrl.envs.wrappers import OneTask
from clrl.machine.signals import Signals
from clrl.run.directory import Busy
from clrl.run.protocol import train

STEPS_PER_TASK, EVALS_PER_TASK = 90, 3


class Drift(gym.Env):
    """A noisy point that is to be held at the goal; each task has another goal. 12 steps."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gym.spaces.Box(-2.0, 2.0, (2,))

    def __init__(self, goal: float) -> None:
        self.goal = goal

    def _observation(self) -> np.ndarray:
        return np.array([*self.place, self.goal])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.normal(size=2), 0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> Any:
        self.place = self.place + 0.3 * action + 0.1 * self.np_random.normal(size=2)
        self.steps += 1
        distance = float(np.abs(self.place - self.goal).mean())
        success = {"success": float(distance < 0.3)}
        return self._observation(), -distance, distance > 9.0, self.steps == 12, success


def make_sequence(interleaved: bool = False) -> TaskSequence:
    goals = (-0.5, 0.5)
    kind = InterleavedTasks if interleaved else TaskSequence
    return kind([functools.partial(Drift, goal) for goal in goals], STEPS_PER_TASK)


SHORT = {"ref_batches": 2, "retrain_steps": 20}
"""Shorter values of the methods' hyperparameters, where they have them."""


def make_agent(
    method: str = "finetuning", n_seeds: int = 1, update: Update = "auto"
) -> ContinualSAC:
    torch.set_num_threads(1)
    seeds = range(n_seeds)
    kind = METHODS[method]
    fields = getattr(kind, "__dataclass_fields__", {})
    return ContinualSAC(
        SeedVecEnv([functools.partial(make_sequence, kind.interleaved)] * n_seeds, seeds),
        kind(**{name: value for name, value in SHORT.items() if name in fields}),
        seeds=seeds,
        hidden_sizes=(32, 32),
        batch_size=16,
        buffer_size=64,
        exploration_steps=20,
        learning_starts=20,
        train_freq=10,
        gradient_steps=5,
        reset_buffer=True,
        update=update,
    )


EVALUATION = Evaluation(EVALS_PER_TASK, stochastic_episodes=2, deterministic_episodes=1)


class Killer:
    """Ends the process with SIGKILL at a tick, or waits there; counts ticks and training steps.

    Args:
        kill_at: the tick at which the process ends.
        hold_at: the tick at which it waits for a signal; that comes again at the next two ticks.
        mark: a file that is there as soon as it waits.
    """

    def __init__(self, kill_at: int | None, hold_at: int | None, mark: Path) -> None:
        self.kill_at, self.hold_at, self.mark = kill_at, hold_at, mark
        self.ticks = self.steps = 0
        self.at_signal: int | None = None
        """Steps taken when the first signal came."""
        self._again: list[int] = []

    def __call__(self) -> None:
        self.ticks += 1
        if self.ticks == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._again:
            os.kill(os.getpid(), self._again.pop())
        if self.ticks == self.hold_at:
            self.mark.touch()
            while self.at_signal is None:
                time.sleep(0.001)

    def note_signals(self) -> None:
        """Notes the first signal that a run gets."""
        original = Signals._handle

        def handle(signals: Signals, number: int, frame: FrameType | None) -> None:
            if self.at_signal is None:
                self.at_signal = self.steps
                self._again = [number, number] if self.hold_at else []
            original(signals, number, frame)

        Signals._handle = handle  # type: ignore[assignment, method-assign]

    def watch(self, owner: Any, name: str) -> None:
        """Ticks before each call of `owner.name`."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            self()
            if name == "_step":
                self.steps += 1
            return original(*args, **kwargs)

        setattr(owner, name, call)


def slow(owner: Any, name: str, mark: Path) -> None:
    """Makes `owner.name` take a minute, in many small bits, with a mark at begin and end."""
    original = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        mark.touch()
        for _ in range(6000):
            time.sleep(0.01)
        mark.with_suffix(".whole").touch()
        return result

    setattr(owner, name, call)


def do(job: dict[str, Any]) -> int:
    """Runs one job; the exit code is 75 after a signal, as `clrl train` has it."""
    out = Path(job["directory"])
    agent = make_agent(
        job.get("method", "finetuning"), job.get("n_seeds", 1), job.get("update", "auto")
    )
    killer = Killer(job.get("kill_at"), job.get("hold_at"), out.with_suffix(".held"))
    killer.note_signals()
    steps: list[tuple[Any, str]] = [(ContinualSAC, "_step")]
    saving: list[tuple[Any, str]] = [(os, "fsync"), (os, "rename"), (os, "replace")]
    rest: list[tuple[Any, str]] = [(OneTask, "step")]
    rest += [(ContinualSAC, name) for name in ("update", "end_task", "start_task")]
    only = {"steps": steps, "saving": saving}
    for owner, name in only.get(job.get("only", ""), steps + saving + rest):
        killer.watch(owner, name)
    if "slow" in job:
        owner = OneTask if job["slow"] == "step" else type(agent.method)
        slow(owner, job["slow"], out.with_suffix(".slow"))
    if "step_seconds" in job:
        original = ContinualSAC._step

        def step(*args: Any) -> Any:
            time.sleep(job["step_seconds"])
            return original(*args)

        ContinualSAC._step = step  # type: ignore[assignment, method-assign]
    code = 0
    try:
        train(agent, out, EVALUATION, log_every=25)
    except KeyboardInterrupt:
        code = errors.INTERRUPTED
    except Busy as busy:
        out.with_suffix(f".busy-{os.getpid()}").write_text(str(busy))
        return errors.BUSY
    counts = {"ticks": killer.ticks, "steps": killer.steps}
    if killer.at_signal is not None:
        counts["after_signal"] = killer.steps - killer.at_signal
    out.with_suffix(".counts").write_text(json.dumps(counts))
    return code


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip().isdigit():
            print(os.waitstatus_to_exitcode(os.waitpid(int(line), 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = do(json.loads(line))
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
