"""What the scripts that measure speed share: agents with data, turns, and records of the times.

All times are CPU time of one thread, so that other processes disturb little; contenders take turns
round by round in one process, because a machine's speed drifts. Only ratios taken round by round
mean something on another machine.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from clrl.agents.methods.base import Method
from clrl.agents.native.path import Update
from clrl.agents.sac import ContinualSAC
from clrl.agents.spaces import TaskSpaces
from clrl.agents.transition import Transition
from clrl.machine.processor import (
    best_matmul,
    chosen_matmul,
    processor_model,
    reuse_memory,
    use_matmul,
)

OBSERVATION, ACTION, BATCH, ROWS = 39, 4, 128, 3_000
"""Meta-World's shape, Continual World's batch, and the rows that an agent gets as its data."""

PATHS: tuple[Update, ...] = ("torch", "native")
"""How an update is computed, as `--update` of `clrl train` says it."""

Contender = Callable[[int], float]
"""Does something so many times, and returns the seconds of CPU time that it took."""


@dataclass
class Record:
    """What a script measured, and where.

    Attributes:
        script: the file's name.
        arguments: what it was called with, without paths.
        unit: of the times.
        times: by contender, one for each round (`bench_env.py`: for each task), to four digits.
        torch_only: contenders that could not take the native path, and why.
        machine: processor, versions, threads, matrix product of the torch path.
    """

    script: str
    arguments: dict[str, Any]
    unit: str
    times: dict[str, list[float]]
    torch_only: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=lambda: machine())

    def __post_init__(self) -> None:
        self.times = {n: [float(f"{t:.4g}") for t in own] for n, own in self.times.items()}

    def median(self, name: str) -> float:
        """Return a contender's median time."""
        return statistics.median(self.times[name])

    def ratio(self, name: str, over: str) -> float:
        """Return the median over rounds of one contender's time over another's."""
        pairs = zip(self.times[name], self.times[over], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def finish(self, path: Path | None) -> None:
        """Print what belongs below the times, and write the record to a file if there is one."""
        for name, why in self.torch_only.items():
            print(f"{name} takes the torch path: {why}")
        print(", ".join(f"{name} {value}" for name, value in self.machine.items()))
        if path is not None:
            text = json.dumps(asdict(self), indent=1)
            # A list of times takes one line.
            text = re.sub(r"\[[^][]*\]", lambda found: " ".join(found[0].split()), text)
            path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Record:
        """Return what `finish` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def machine() -> dict[str, str]:
    """Return what times depend on."""
    return {
        "processor": processor_model(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "product": chosen_matmul(),
    }


def begin(doc: str, rounds: int) -> argparse.ArgumentParser:
    """Compute in one thread, as `clrl train` does, and return a parser of all scripts' flags."""
    torch.set_num_threads(1)
    reuse_memory()
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=count, default=rounds)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the times there")
    return parser


def count(word: str) -> int:
    """Return how many rounds a flag says, at least 1."""
    if (number := int(word)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; it must be at least 1")
    return number


def arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that a record keeps: all but paths."""
    return {name: value for name, value in vars(args).items() if name not in ("json", "jax")}


def use_best_matmul(hidden: Sequence[int]) -> str:
    """Take the matrix product that `clrl train` takes for these widths, and return its name."""
    product = best_matmul("cpu", BATCH, max(hidden))
    use_matmul(product)
    return product


def take_turns(
    contenders: Mapping[str, Contender], rounds: int, times: int
) -> dict[str, list[float]]:
    """Let contenders take turns; the first round warms up and does not count.

    Returns:
        milliseconds for each of `times` times, by contender and round.
    """
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, run in contenders.items():
            spent[name].append(run(times) / times * 1e3)
    return {name: found[1:] for name, found in spent.items()}


def timed(act: Callable[[int], object]) -> Contender:
    """Return a contender of what does something so many times."""

    def run(times: int) -> float:
        start = time.process_time()
        act(times)
        return time.process_time() - start

    return run


def spaces(tasks: int = 1) -> TaskSpaces:
    """Return Meta-World's spaces, with a one-hot of the task if there are several."""
    hot = tasks if tasks > 1 else 0
    observation = gym.spaces.Box(-1.0, 1.0, (OBSERVATION + hot,), np.float32)
    return TaskSpaces(observation, gym.spaces.Box(-1.0, 1.0, (ACTION,), np.float32), tasks)


def sac(
    hidden: tuple[int, ...],
    seeds: int,
    update: Update,
    block: int,
    tasks: int = 1,
    method: Method | None = None,
    **settings: Any,
) -> ContinualSAC:
    """Return an agent without data that takes a block of so many updates at every step.

    Args:
        hidden: widths of the hidden layers.
        seeds: how many are trained side by side.
        update: one of PATHS; for native see `where_possible`.
        block: updates at a step.
        tasks: how many there are.
        method: the continual-learning method.
        **settings: of SAC.
    """
    return ContinualSAC(
        None, method, seeds=range(seeds), spaces=spaces(tasks), hidden_sizes=hidden, device="cpu",
        update=where_possible(update), train_freq=1, gradient_steps=block,
        **{"learning_starts": 0, "buffer_size": 2 * ROWS} | settings,
    )  # fmt: skip


def fill(agent: ContinualSAC) -> None:
    """Store random transitions of the task that the agent is in."""
    rng, n = np.random.default_rng(agent.task), agent.n_seeds
    for _ in range(ROWS):
        obs, after = rng.uniform(-1, 1, (2, n, OBSERVATION))
        action, reward = rng.uniform(-1, 1, (n, ACTION)), rng.uniform(0, 10, n)
        ended = np.zeros(n, bool)
        agent.task_step += 1
        agent.store(Transition(obs, action, reward, after, ended, ended, [True] * n))


def block_of(agent: ContinualSAC) -> Contender:
    """Return a contender that takes the updates of a step, as training does."""

    def act(times: int) -> None:
        assert times == agent.settings.gradient_steps
        agent.train_if_due()

    return timed(act)


def where_possible(update: Update) -> Update:
    """Return what to ask for: native refuses where it cannot be, auto takes torch there."""
    return "auto" if update == "native" else update


def refused(agent: Any, update: Update) -> str:
    """Return why an agent does not compute its updates as asked; "" if it does."""
    return "" if agent.native.path == update else str(agent.native.reason)
