"""Every row of the CW20 table at a chosen scale; started by all.sh."""

from __future__ import annotations

import argparse
import math
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from clrl import errors
from clrl.commands import demo
from clrl.config.names import format_seeds, parse_seeds, sequence_name
from clrl.config.schema import CONFIG_FILE
from clrl.config.sequences import sequence_named
from clrl.errors import ConfigError, DamagedData
from clrl.machine.allowed import usable_cores
from clrl.machine.jobs import Job, how_many, run_all, said
from clrl.machine.signals import end_like_ctrl_c

if TYPE_CHECKING:
    from clrl.config.run import RunConfig

CLRL = str(Path(__file__).parent / "../clrl.sh")
SMALL_STEPS, SMALL_EVALS = 20_000, 8
ON_A_GPU = 2
TEXT = """\
Trains every row of the CW20 table and the single-task references of forward transfer, as many at a
time as cores and memory allow, then prints our table beside the published one and draws plots. The
same command again skips what is complete and continues the rest. A run that fails does not stop the
others.

Without flags: the published settings, 20 tasks x 1,000,000 steps (multi-task rows: CW10). With
--preset small: the demo's three tasks x 20,000 steps, 8 evaluations each. PackNet retrains for a
tenth of a task. Flags not listed here go to every `clrl train`, for example --evaluate economical.

Seeds of one row share a process, and its memory: perfect memory needs up to 7 GB per seed as
published. With more cores than runs give --seeds-per-run: `--seeds 0..4 --seeds-per-run 2` makes
three runs of every row, OUT/ROW/seeds-0..1 and so on. Other seeds may follow in the same --out if
they are split; `clrl table --published` joins all below a folder.
"""


class Parser(argparse.ArgumentParser):
    """Refuses as `clrl` does."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags, and those that go to `clrl train` as they are."""
    parser = Parser(
        "all.sh",
        description=TEXT,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=["small"], help="settings for small budgets")
    parser.add_argument("--sequence", help="CW10, CW20 or task names between commas")
    parser.add_argument("--steps-per-task", type=int, help="steps of each seed on each task")
    parser.add_argument("--seeds", default="0", help="such as 0..4, trained side by side")
    parser.add_argument(
        "--seeds-per-run", type=int, help="seeds that share a process; default: all"
    )
    parser.add_argument("--parity", default="clean", help="clean or original")
    parser.add_argument("--out", type=Path, help="default: runs/cw20, with the preset -small")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: what the machine allows")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    flags, others = parser.parse_known_args(words)
    for name in ("jobs", "seeds_per_run"):
        if (value := vars(flags)[name]) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
    small = flags.preset == "small"
    flags.sequence = flags.sequence or (",".join(demo.TASKS) if small else "CW20")
    flags.out = flags.out or Path("runs", "cw20-small" if small else "cw20")
    if small:
        if flags.steps_per_task is None:  # 0 is refused, not replaced
            flags.steps_per_task = SMALL_STEPS
        others = ["--preset", "small", "--evals-per-task", str(SMALL_EVALS), *others]
    return flags, others


def jobs(flags: argparse.Namespace, others: Sequence[str]) -> list[Job]:
    """Return all runs: a row for every method, then a reference for each task."""
    from clrl.agents.methods import METHODS  # here: it imports torch

    tasks = tuple(dict.fromkeys(sequence_named(flags.sequence).tasks))
    common = ["--parity", flags.parity]
    if flags.steps_per_task is not None:
        common += ["--steps-per-task", str(flags.steps_per_task)]
    found = []

    def add(name: str, out: Path, method: str, sequence: str, *words: str) -> None:
        for seeds, where in parts(flags, out):
            own = ["--sequence", sequence, *words, "--seeds", seeds, "--out", str(where)]
            found.append(Job(name, (CLRL, "train", method, *own, *common, *others)))

    for row, method in METHODS.items():
        sequence = sequence_name(tasks) if method.interleaved else flags.sequence
        fields = {} if flags.steps_per_task is None else method.scaled(flags.steps_per_task)
        words = [w for k, v in fields.items() for w in (f"--{k.replace('_', '-')}", str(v))]
        add(row, flags.out / row, row, sequence, *words)
    for task in tasks:
        add(task, flags.out / "references" / task, "finetuning", task)
    return found


def parts(flags: argparse.Namespace, out: Path) -> list[tuple[str, Path]]:
    """Return the seeds of each run of a row, and its directory: by the command line alone.

    Raises:
        ConfigError: an earlier call split the seeds in another way, so that a seed would be trained
            twice.
    """
    if flags.seeds_per_run is None:
        return [(flags.seeds, out)]
    if (out / CONFIG_FILE).exists():
        raise ConfigError(f"{out} is a run of all seeds; leave --seeds-per-run out to continue it")
    every, n = parse_seeds(flags.seeds), flags.seeds_per_run
    found = {
        out / f"seeds-{format_seeds(some)}": some
        for some in (every[i : i + n] for i in range(0, len(every), n))
    }
    for other in sorted(set(out.glob("seeds-*")) - set(found)):
        both = set(every) & set(parse_seeds(other.name.removeprefix("seeds-")))
        if both:
            raise ConfigError(
                f"{other} has seed {min(both)} already; give --seeds-per-run as then, "
                "other --seeds, or another --out"
            )
    return [(format_seeds(some), where) for where, some in found.items()]


def at_once(flags: argparse.Namespace, found: Sequence[Job]) -> tuple[int, str]:
    """Return how many runs go at once, and a sentence that says why.

    Raises:
        ConfigError: a row's first run cannot start, or not go on in its directory.
    """
    from clrl.machine.costs import on_cpu
    from clrl.machine.resources import need

    # One run of each row: later ones have as many seeds or fewer, a reference needs no more.
    configs = [config_of(job) for job in {job.name: job for job in found[::-1]}.values()]
    threads = max(config.placement.threads for config in configs)
    if flags.jobs is not None:
        return flags.jobs, said(flags.jobs, "--jobs says so", threads)
    if not all(map(on_cpu, configs)):
        return ON_A_GPU, said(ON_A_GPU, "they share a GPU (--jobs gives another number)", threads)
    number, why = how_many(len(found), max(need(config).total for config in configs), threads)
    seeds, cores = max(len(config.seeds) for config in configs), usable_cores() // threads
    if number == len(found) < cores and seeds > 1:
        fills = math.ceil(seeds / math.ceil(cores / len(found)))
        why += f"; --seeds-per-run {fills} would use {cores} cores"
    return number, why


def config_of(job: Job) -> RunConfig:
    """Return a run's configuration, checked.

    Raises:
        ConfigError: it is not allowed, its device is not there, native updates are asked for and
            cannot be, or its directory holds another one.
    """
    from clrl.commands.flags import look
    from clrl.commands.train import options_of
    from clrl.run.builder import check_update
    from clrl.run.directory import check_directory

    words = job.command[2:]
    options = options_of(look(words), words)
    options.run.placement.check_device()
    try:
        check_update(options.run)
    except ConfigError as error:
        raise ConfigError(f"{job.name}: {error}") from None
    with suppress(DamagedData):  # the run itself says so, and the others go on
        check_directory(options.run, options.out or options.run.directory)
    return options.run


def main(words: Sequence[str]) -> int:
    """Run everything; return an exit code."""
    flags, others = parse(words)
    found = jobs(flags, others)
    number, why = at_once(flags, found)
    if flags.dry_run:
        print("\n".join(shlex.join(job.command) for job in found))
        return errors.OK
    print(why, flush=True)
    begin = time.monotonic()
    failed = run_all(found, number)
    print(f"\n{len(found) - len(failed)} of {len(found)} runs are complete", end="")
    print(f" ({time.monotonic() - begin:.0f} s).\n", flush=True)
    shown = subprocess.run([CLRL, "table", str(flags.out), "--published"]).returncode
    drawn = subprocess.run([CLRL, "plot", str(flags.out), "--out", str(flags.out / "plots")])
    for job in failed:
        last = job.last[-1] if job.last else "no output"
        print(f"{job.name} ended with code {job.code()}: {last}", file=sys.stderr)
    return errors.INCOMPLETE if failed else shown or drawn.returncode


if __name__ == "__main__":
    end_like_ctrl_c()
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigError as error:
        print(f"all.sh: {error}", file=sys.stderr)
        sys.exit(errors.CONFIG)
    except KeyboardInterrupt:
        print("all.sh: interrupted; the same command again goes on", file=sys.stderr)
        sys.exit(errors.INTERRUPTED)
