"""A run: started, continued or found complete, always by the same call."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from clrl import compute, errors
from clrl.agents.agent import Agent
from clrl.agents.learner import NonFinite
from clrl.builder import build_agent, describe, sequence_of
from clrl.checkpoint import Checkpoint, Checkpoints, remove_leftovers, write_file
from clrl.claim import check_directory
from clrl.config import RunConfig
from clrl.errors import ConfigError, DamagedData
from clrl.evaluator import Evaluation, Row
from clrl.loop import Loop, Mirror, closing
from clrl.resources import check_resources
from clrl.results import CONFIG_FILE, RunData, read_run
from clrl.rundir import Busy, RunFile, differences, machine, owned
from clrl.signals import Signals

CODES = {
    Busy: errors.BUSY,
    ConfigError: errors.CONFIG,
    DamagedData: errors.DAMAGED,
    NonFinite: errors.FAULT,
}


class Silent:
    """Mirrors nothing."""

    def train(self, rows: Sequence[Row]) -> None:
        """Does nothing."""

    def metrics(self, rows: Sequence[Row]) -> None:
        """Does nothing."""


def run(config: RunConfig, directory: Path, logger: Mirror) -> int:
    """Starts the run of a directory, continues it, or finds it complete.

    Args:
        config: What to run.
        directory: Where; made if it is not there.
        logger: Gets every row that is recorded.

    Returns:
        An exit code of `clrl.errors`; what went wrong is written to standard error.
    """
    claim, log_every = partial(_claim, config, directory), config.logging.log_every
    attempt = _Attempt(directory, claim, log_every, logger)
    try:
        with Signals() as signals, owned(directory), _threads(config.placement.threads):
            done = attempt.make(
                signals, lambda: build_agent(config), config.evaluation, config.placement.matmul
            )
        print(f"{directory}: {'complete' if done else 'was complete already'}")
        return errors.OK
    except KeyboardInterrupt as stop:
        return _say(f"interrupted {stop}; the same command goes on", errors.INTERRUPTED)
    except (Busy, ConfigError, DamagedData, NonFinite) as error:
        return _say(str(error), CODES[type(error)])
    except Exception:
        return _say(traceback.format_exc(), errors.FAULT)


def train(
    agent: Agent,
    directory: str | Path,
    evaluation: Evaluation | None = None,
    log_every: int = 1000,
    mirror: Mirror | None = None,
) -> RunData:
    """Trains an agent over its environments' sequence; calling it again continues the run.

    Args:
        agent: A fresh agent, even if the run is to be continued. Its environments are a
            `SeedVecEnv` of `TaskSequence`s, of any gymnasium environments.
        directory: The run directory; made if it is not there.
        evaluation: When and how tasks are evaluated; by default as in Continual World.
        log_every: Steps between lines of `train.jsonl`.
        mirror: Gets every row that is recorded.

    Returns:
        The record; `clrl.tables.table([directory])` makes a table of it.

    Raises:
        ConfigError: The directory holds a run of another configuration.
        DamagedData: It cannot be continued.
        Busy: Another process owns it.
        NonFinite: Training broke down; the last checkpoint is from before.
        KeyboardInterrupt: A signal came; the run is saved.
        ValueError: The agent has trained already, its environments are of another kind, or
            `evaluation` does not fit them.
    """
    if agent.num_timesteps:
        raise ValueError(f"the agent has trained {agent.num_timesteps} steps; give a fresh one")
    evaluation = evaluation or Evaluation()
    evaluation.period(sequence_of(agent).steps_per_task)
    directory, config = Path(directory), describe(agent, evaluation)
    claim = partial(same_run, directory, config)
    attempt = _Attempt(directory, claim, log_every, mirror or Silent())
    with Signals() as signals, owned(directory):
        attempt.make(signals, lambda: agent, evaluation)
    return read_run(directory)


class _Attempt:
    """One attempt to bring the run of a directory to its end."""

    def __init__(
        self, directory: Path, claim: Callable[[], None], log_every: int, mirror: Mirror
    ) -> None:
        self.directory, self.claim = directory, claim
        self.log_every, self.mirror = log_every, mirror

    def make(
        self,
        signals: Signals,
        make_agent: Callable[[], Agent],
        evaluation: Evaluation,
        matmul: str | None = None,
    ) -> bool:
        """Runs to the end; False if there was nothing left to do."""
        with signals.raising():
            self.claim()
            run_file = RunFile(self.directory)
            if run_file.values.get("state") == "complete":
                return False
            for folder in (".", "checkpoints", "tasks"):
                remove_leftovers(self.directory / folder)
            checkpoint = Checkpoints(self.directory / "checkpoints").newest()
            agent = make_agent()
            facts = self.facts(run_file, checkpoint, matmul, agent)
            loop = Loop(agent, self.directory, evaluation, self.log_every, run_file, signals,
                        self.mirror)  # fmt: skip
        with closing(loop), _state(run_file, loop, facts):
            loop.go(checkpoint)
        return True

    def facts(
        self, run_file: RunFile, checkpoint: Checkpoint | None, matmul: str | None, agent: Agent
    ) -> dict[str, Any]:
        """What `run.json` says of this process; sets the matrix product."""
        facts = machine(str(agent.device)) | {"threads": torch.get_num_threads()}
        before = run_file.values
        if checkpoint is not None and (changes := differences(before, facts)):
            warnings.warn(f"going on, but not bit for bit: {', '.join(changes)}", stacklevel=2)
            facts["resumed_inexact"] = True
        else:
            facts["resumed_inexact"] = before.get("resumed_inexact", False)
        if matmul is not None:
            # Two products differ in their last bits: a run keeps the one it started with.
            if matmul == "auto":
                settings = agent.settings
                matmul = compute.best_matmul(settings.batch_size, max(settings.hidden_sizes))
            facts["matmul"] = before.get("matmul") or matmul
            compute.use_matmul(facts["matmul"])
        return facts


@contextmanager
def _state(run_file: RunFile, loop: Loop, facts: dict[str, Any]) -> Iterator[None]:
    """Keeps `run.json`'s `state` true, whatever happens inside."""
    run_file.values.pop("fault", None)
    run_file.update(**facts, state="running")
    try:
        yield
    except KeyboardInterrupt:
        run_file.update(state="interrupted")
        raise
    except DamagedData:
        raise
    except Exception as error:
        step = loop.agent.num_timesteps
        fault = {"error": type(error).__name__, "message": str(error), "step": step}
        run_file.update(state="failed", fault=fault)
        if isinstance(error, NonFinite):
            raise NonFinite(f"{error} (step {step})") from error
        raise
    run_file.update(state="complete")


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Computes with n threads; puts back what this process computed with before."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(n)
    compute.reuse_memory()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def _claim(config: RunConfig, directory: Path) -> None:
    check_directory(config, directory)
    if RunFile(directory).values.get("state") != "complete":
        check_resources(config, directory)
    if not (directory / CONFIG_FILE).exists():
        write_file(directory / CONFIG_FILE, config.to_yaml().encode())


def _say(message: str, code: int) -> int:
    print(f"clrl: {message}", file=sys.stderr)
    return code


def same_run(directory: Path, config: dict[str, Any]) -> None:
    """Writes `config.yaml`, or compares it with the one that is there.

    Raises:
        ConfigError: It differs, or run files lie there without one.
    """
    path = directory / CONFIG_FILE
    if not path.exists():
        if (directory / "metrics.jsonl").exists() or (directory / "checkpoints").exists():
            raise ConfigError(f"{directory} holds parts of a run but no {CONFIG_FILE}")
        write_file(path, yaml.safe_dump(config, sort_keys=False).encode())
        return
    try:
        before = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise DamagedData(f"{path}: {error}") from error
    keys = _differing(before, config)
    if keys:
        raise ConfigError(f"{directory} holds another run; these keys differ: {'; '.join(keys)}")


def _differing(before: Any, now: Any, prefix: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line for key in {**before, **now}
            for line in _differing(before.get(key), now.get(key), f"{prefix}.{key}".lstrip("."))
        ]  # fmt: skip
    return [] if before == now else [f"{prefix} was {before!r}, is {now!r}"]
