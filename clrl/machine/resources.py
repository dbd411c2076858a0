"""What a run needs of memory and disk, and whether it is there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from clrl.config.evaluation import KEPT, together
from clrl.config.run import RunConfig
from clrl.errors import ConfigError
from clrl.machine.allowed import available_memory

PROCESS_BYTES = 500 * 2**20
"""Python, PyTorch and MuJoCo (300 MiB), and the activations of an update."""


@dataclass(frozen=True)
class Need:
    """Bytes that a run takes at most, all its seeds together.

    Attributes:
        seeds: how many there are.
        data: replay buffers or rollouts with all rows filled.
        networks: networks and optimizers, and a checkpoint's copy of them.
        memories: what the method keeps of old tasks, and a checkpoint's copy of it.
        process: simulators of training and evaluation, and the program.
        checkpoint: of `data`, `networks` and `memories`, what a checkpoint writes.
    """

    seeds: int
    data: int
    networks: int
    memories: int
    process: int
    checkpoint: int

    @property
    def of_seeds(self) -> int:
        """What grows with the seeds."""
        return self.data + self.networks + self.memories

    @property
    def total(self) -> int:
        """All of it."""
        return self.of_seeds + self.process

    @property
    def parts(self) -> list[str]:
        """What the seeds take, and what the rest takes, as phrases."""
        data, networks, memories = (
            readable(part // self.seeds) for part in (self.data, self.networks, self.memories)
        )
        number = f"{self.seeds} seeds" if self.seeds > 1 else "1 seed"
        return [
            f"{number} of {readable(self.of_seeds // self.seeds)}: data {data}, "
            f"networks {networks}, method's memory {memories}",
            f"simulators and program: {readable(self.process)}",
        ]


def need(config: RunConfig) -> Need:
    """Return what a run needs at its fullest; builds nothing."""
    learner, method, seeds = config.learner, config.method, len(config.seeds)
    n_tasks, names = len(config.sequence.tasks), len(set(config.sequence.tasks))
    sizes = config.sizes
    row = learner.row_bytes(*sizes)
    data = seeds * stored_rows(config) * row
    policy, all_networks = learner.network_numbers(*sizes, config.n_ids)
    copies = method.copies_of_weights(n_tasks)
    output = 4 * 2 * sizes[1]  # mean and deviation of the action that a policy gave to a row
    remembered = method.memory_rows(n_tasks) * (row + output)
    networks, memories = 4 * seeds * all_networks, seeds * (4 * copies * policy + remembered)
    kept = min(KEPT, names * min(together(names), seeds * config.evaluation.episodes))
    trained = seeds * (n_tasks if method.interleaved else 1)
    return Need(
        seeds=seeds,
        data=data,
        networks=2 * networks,
        memories=2 * memories,
        process=PROCESS_BYTES + (kept + trained) * config.sequence.simulator_bytes,
        checkpoint=data + networks + memories,
    )


def stored_rows(config: RunConfig) -> int:
    """Return the rows of each seed that the learner's store can ever hold."""
    lengths = config.sequence.schedule.lengths
    return int(config.learner.rows_stored(lengths, not config.tells_boundaries))


def free_disk(directory: Path) -> int:
    """Return the free bytes where a directory is, or will be made."""
    directory = directory.absolute()
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


def check_resources(config: RunConfig, directory: Path) -> None:
    """Check that a run has the memory that it will need, and a new one the disk.

    Raises:
        ConfigError: it has not, with the numbers and what to change.
    """
    needed, allowed = need(config), available_memory()
    fewer = "fewer --seeds per process, " if needed.seeds > 1 else ""
    flag = config.learner.memory_flag
    smaller = f"a smaller {flag}, " if flag else ""
    if needed.total > allowed:
        raise ConfigError(
            f"too little memory: the run takes up to {readable(needed.total)} "
            f"({'; '.join(needed.parts)}), and {readable(allowed)} are available; "
            f"give {fewer}{smaller}or a larger machine"
        )
    pair, free = 2 * needed.checkpoint, free_disk(directory)
    if pair > free and not (directory / "checkpoints").exists():
        raise ConfigError(
            f"too little disk: two checkpoints take up to {readable(pair)}, "
            f"and {readable(free)} are free in {os.fspath(directory.parent)}; "
            f"give {fewer}{smaller}or another --out"
        )


def readable(number: int) -> str:
    """Return bytes as a phrase."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
