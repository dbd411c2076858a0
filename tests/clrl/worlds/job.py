"""Runs of strange worlds in processes of their own, to be killed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.fx.experimental.symbolic_shapes  # by the first gradient, if not here

from clrl import errors
from clrl.agents.agent import Agent
from clrl.agents.learner import NonFinite
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from clrl.cli import main
from clrl.envs.vector import SeedVecEnv
from clrl.errors import DamagedData
from clrl.run.protocol import train
from tests.clrl.worlds.changes import CASES
from tests.clrl.worlds.point import Case
from tests.clrl.worlds.table import WORLDS

KILLED = -signal.SIGKILL
SAC = {
    "hidden_sizes": (8, 8), "batch_size": 8, "buffer_size": 64, "exploration_steps": 10,
    "learning_starts": 10, "train_freq": 10, "gradient_steps": 2,
}  # fmt: skip
PPO = {"hidden_sizes": (8, 8), "n_steps": 20, "batch_size": 10, "n_epochs": 1}

_servant = multiprocessing.get_context("forkserver")
_servant.set_forkserver_preload([__name__])


def run(
    name: str, directory: Path, seconds: float = 60.0, by_command: bool = False, **job: Any
) -> int:
    """Runs a world in a process of its own and returns its exit code, as `clrl train` has it."""
    target = command if by_command else do
    process = _servant.Process(target=target, args=(name, directory), kwargs=job)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{name} has not ended after {seconds} seconds")
    return process.exitcode


def said(directory: Path) -> str:
    """What the last process said."""
    return directory.with_suffix(".said").read_text()


def agent_of(case: Case, seeds: Sequence[int]) -> Agent:
    kind, usual = {"sac": (ContinualSAC, SAC), "ppo": (ContinualPPO, PPO)}[case.learner]
    env = SeedVecEnv([partial(case.make, seed) for seed in seeds], seeds)
    return kind(env, seeds=seeds, **{**usual, **case.settings})


def do(
    name: str,
    directory: Path,
    kill_at: int | None = None,
    seeds: Sequence[int] | None = None,
) -> None:
    """Trains a world; the process ends with its exit code, or is killed before a step."""
    torch.set_num_threads(1)
    random.seed()
    np.random.seed()  # noqa: NPY002  # as in a fresh process: a fork inherits the generator
    torch.seed()
    case = CASES[name] if name in CASES else WORLDS[name]
    if kill_at is not None:
        kill_before(kill_at)
    mirror = Said()
    code = errors.OK
    try:
        agent = agent_of(case, seeds or case.seeds)
        train(agent, directory, case.evaluation, log_every=20, mirror=mirror)
    except NonFinite as error:
        code, text = errors.FAULT, str(error)
    except DamagedData as error:
        code, text = errors.DAMAGED, str(error)
    except ValueError as error:
        code, text = errors.CONFIG, str(error)
    else:
        text = "\n".join(mirror.texts)
    directory.with_suffix(".said").write_text(text)
    os._exit(code)


def command(name: str, directory: Path) -> None:
    """Trains what a function makes by `clrl train`; it says what is written to standard error."""
    case = WORLDS[name]
    function = f"{case.make.__module__}:{case.make.__name__}"
    words = f"train finetuning --sequence {function} --seeds {','.join(map(str, case.seeds))}"
    words += " --evals-per-task 2 --stochastic-episodes 1 --deterministic-episodes 0"
    for field, value in {**SAC, **case.settings}.items():
        values = value if isinstance(value, tuple) else (value,)
        words += f" --sac.{field.replace('_', '-')} {' '.join(map(str, values))}"
    with open(directory.with_suffix(".said"), "w") as file:
        with contextlib.redirect_stderr(file):
            code = main([*words.split(), "--out", str(directory)])
    os._exit(code)


def kill_before(step: int) -> None:
    """Ends this process with SIGKILL before a step of a run."""
    original = Agent._step

    def counted(agent: Agent, *args: Any) -> bool:
        if agent.num_timesteps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(agent, *args)

    setattr(Agent, "_step", counted)  # noqa: B010  # type checkers want the same signature


class Said:
    """A mirror that keeps what is said."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def train(self, rows: Sequence[dict[str, Any]]) -> None:
        pass

    def metrics(self, rows: Sequence[dict[str, Any]]) -> None:
        pass

    def say(self, text: str) -> None:
        self.texts.append(text)


def kept(directory: Path) -> dict[str, bytes]:
    """All that must not depend on kills: record, newest checkpoint, policies."""
    assert json.loads((directory / "run.json").read_text())["state"] == "complete"
    newest = max((directory / "checkpoints").glob("step-*"))
    files = [directory / "metrics.jsonl", directory / "train.jsonl", *newest.iterdir()]
    files += (directory / "tasks").glob("*/*")
    return {str(file.relative_to(directory)): file.read_bytes() for file in files}


def visible(directory: Path) -> dict[str, bytes]:
    """All files of a directory but those of its owner."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }
