"""A run: started, continued or found complete, always by the same call."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from clrl import errors
from clrl.agents.learner import Learner, NonFinite
from clrl.agents.native.path import UpdatePath, autograd_only
from clrl.agents.settings.fields import plain_values
from clrl.config.evaluation import Evaluation
from clrl.config.run import RunConfig
from clrl.envs.contract.answers import BrokenWorld
from clrl.errors import ConfigError, DamagedData
from clrl.machine import processor as compute
from clrl.machine.origin import origin
from clrl.machine.resources import check_resources
from clrl.machine.signals import Signals
from clrl.results.reading import RunData, WorldNumbers, read_run
from clrl.run.builder import build, check_update, describe, examined
from clrl.run.checkpoint import Checkpoint, Checkpoints, remove_leftovers
from clrl.run.directory import (
    Busy,
    RunFile,
    check_directory,
    differences,
    history,
    machine,
    owned,
    update_of,
    write_config,
)
from clrl.run.evaluator import Row
from clrl.run.examination import check_worlds_of, cut_episodes, examine, write_worlds
from clrl.run.loop import Loop, check_version, closing
from clrl.run.progress import Mirror
from clrl.run.trainable import Trainable

CODES = {
    Busy: errors.BUSY,
    ConfigError: errors.CONFIG,
    DamagedData: errors.DAMAGED,
    NonFinite: errors.FAULT,
    BrokenWorld: errors.FAULT,
}


class Silent:
    """Mirrors nothing."""

    def train(self, rows: Sequence[Row]) -> None:
        """Do nothing."""

    def metrics(self, rows: Sequence[Row]) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


def run(
    config: RunConfig, directory: Path, logger: Mirror, words: Sequence[str] | None = None
) -> int:
    """Start the run of a directory, continue it, or find it complete.

    Args:
        config: what to run.
        directory: where; made if it is not there.
        logger: gets every row that is recorded.
        words: the command line; by default that of this process.

    Returns:
        an exit code of `clrl.errors`; what went wrong is written to standard error.
    """

    def make() -> Trainable:
        check_resources(config, directory)
        return build(config)

    placement = config.placement
    try:
        worlds = None
        complete = RunFile(directory).values.get("state") == "complete"
        if config.sequence.probed or not complete:
            check_directory(config, directory)
            placement.check_device()
            if not complete:
                check_update(config)
            worlds = examined(config)  # before the directory is made
            check_worlds_of(directory, worlds)
        with Signals() as signals, owned(directory), _threads(placement.threads):
            done = _attempt(
                config, directory, logger, signals, make, worlds, placement.matmul, words
            )
        print(f"{directory}: {'complete' if done else 'was complete already'}")
        return errors.OK
    except KeyboardInterrupt as stop:
        return errors.say(f"interrupted {stop}; the same command goes on", errors.INTERRUPTED)
    except tuple(CODES) as error:
        return errors.say(str(error), CODES[type(error)])
    except Exception:
        return errors.say(traceback.format_exc(), errors.FAULT)


def train(
    learner: Learner,
    directory: str | Path,
    evaluation: Evaluation | None = None,
    log_every: int = 1000,
    mirror: Mirror | None = None,
    steps_per_task: int | Sequence[int] | None = None,
) -> RunData:
    """Train a learner over its worlds' sequence; calling it again continues the run.

    Args:
        learner: a fresh one, even if the run is to be continued. An agent's environments are a
            `SeedVecEnv` of `TaskSequence`s, of any gymnasium environments.
        directory: the run directory; made if it is not there.
        evaluation: when and how tasks are evaluated; by default as in Continual World.
        log_every: steps between lines of `train.jsonl`.
        mirror: gets every row that is recorded.
        steps_per_task: of a classifier: updates on each task, one number or one per task.

    Returns:
        the record; `clrl.table([directory])` makes a table of it.

    Raises:
        ConfigError: settings that do not fit together, or the directory holds a run of another
            configuration.
        DamagedData: it cannot be continued.
        Busy: another process owns it.
        NonFinite: training broke down; the last checkpoint is from before.
        BrokenWorld: a world returned what it may not return.
        KeyboardInterrupt: a signal came; the run is saved.
        ValueError: the learner has trained already, or its worlds are of another kind.
        TypeError: no learner, or no `Evaluation`.
    """
    for name, value, kind in (
        ("learner", learner, Learner),
        ("evaluation", evaluation, Evaluation),
    ):
        if not isinstance(value, kind) and (value is not None or kind is Learner):
            raise TypeError(f"{name} is {value!r}; needed is an object of {kind.__name__}")
    if learner.num_timesteps:
        raise ValueError(f"the learner has trained {learner.num_timesteps} steps; give a fresh one")
    config, trained = describe(learner, evaluation or Evaluation(), log_every,
                               plain_values(steps_per_task))  # fmt: skip
    directory = Path(directory)
    check_directory(config, directory)
    worlds = examine(config, trained.sequences)
    check_worlds_of(directory, worlds)
    with Signals() as signals, owned(directory):
        _attempt(config, directory, mirror or Silent(), signals, lambda: trained, worlds)
    return read_run(directory)


def _attempt(
    config: RunConfig,
    directory: Path,
    mirror: Mirror,
    signals: Signals,
    make: Callable[[], Trainable],
    worlds: WorldNumbers | None,
    matmul: str | None = None,
    words: Sequence[str] | None = None,
) -> bool:
    """Bring the run of a directory to its end; return False if there was nothing left to do."""
    with signals.raising():
        check_directory(config, directory)
        check_worlds_of(directory, worlds)
        run_file = RunFile(directory)
        if run_file.values.get("state") == "complete":
            return False
        checkpoint = Checkpoints(directory / "checkpoints").newest()
        check_version(checkpoint)
        trained = make()
        write_config(config, directory)
        write_worlds(directory, worlds)
        for folder in (".", "checkpoints", "tasks"):
            remove_leftovers(directory / folder)
        facts = _facts(run_file, checkpoint, matmul, trained.learner)
        mirror.say(_where(facts))
        if worlds is not None and (text := cut_episodes(trained.sequences)) is not None:
            mirror.say(text)
        facts |= history(run_file.values, origin(words))
        loop = Loop(config, trained, directory, run_file, signals, mirror)
    with closing(loop), _state(run_file, loop, facts):
        loop.go(checkpoint)
    return True


def _facts(
    run_file: RunFile, checkpoint: Checkpoint | None, matmul: str | None, learner: Any
) -> dict[str, Any]:
    """Return what `run.json` says of this process; sets the matrix product if one is named."""
    device, before = str(getattr(learner, "device", "cpu")), run_file.values
    if matmul == "auto":
        settings = learner.settings
        matmul = compute.best_matmul(device, settings.batch_size, max(settings.hidden_sizes))
    if matmul is not None:
        # Two products differ in their last bits: a run keeps the one it started with.
        kept = before.get("matmul") or matmul
        on_cpu = device.startswith("cpu") and kept in compute.MATMULS
        compute.use_matmul(matmul := kept if on_cpu else "default")
    facts = machine(device) | {"threads": torch.get_num_threads()}
    facts["matmul"] = matmul or compute.chosen_matmul()
    facts |= _update(before, checkpoint, learner)
    facts["drawn_together"] = getattr(learner, "drawn_together", 1)
    if checkpoint is not None and (changes := differences(before, facts)):
        warnings.warn(f"going on, but not bit for bit: {', '.join(changes)}", stacklevel=2)
        facts["resumed_inexact"] = True
    else:
        facts["resumed_inexact"] = before.get("resumed_inexact", False)
    return facts


def _update(before: dict[str, Any], checkpoint: Checkpoint | None, learner: Any) -> dict[str, Any]:
    """Return which code takes the gradients, and why: what the run began with, if it can be."""
    native: UpdatePath | None = getattr(learner, "native", None)
    if native is None:
        return {"update": "torch", "update_reason": autograd_only(learner.name)}
    if checkpoint is not None:
        native.go_on(update_of(before), learner)
    return {"update": native.path, "update_reason": native.reason}


def _where(facts: dict[str, Any]) -> str:
    """Return the first line of a log: what computes, and how."""
    device, threads = facts["device"], facts["threads"]
    model = facts["gpu"] or facts["processor"]
    return (
        f"device {device} ({model}), {threads} thread{'s' * (threads != 1)}, "
        f"matrix product {facts['matmul']}, update {facts['update']} ({facts['update_reason']})"
    )


@contextmanager
def _state(run_file: RunFile, loop: Loop, facts: dict[str, Any]) -> Iterator[None]:
    """Keep `run.json`'s `state` true, whatever happens inside."""
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
        step = loop.trained.num_timesteps
        fault = {"error": type(error).__name__, "message": str(error), "step": step}
        run_file.update(state="failed", fault=fault)
        if isinstance(error, NonFinite):
            raise NonFinite(f"{error} (step {step})") from error
        raise
    run_file.update(state="complete")


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Compute with n threads; put back what this process computed with before."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(n)
    compute.reuse_memory()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
