"""Every row of the CW20 table at a chosen scale; started by all.sh."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from clrl import errors
from clrl.commands import demo
from clrl.config.names import sequence_name
from clrl.config.sequences import sequence_named
from clrl.errors import ConfigError
from clrl.machine.jobs import Job, run_all
from clrl.machine.signals import end_like_ctrl_c

HERE = Path(__file__).parent
SMALL_STEPS, SMALL_EVALS = 20_000, 8
TEXT = """\
Trains every row of the CW20 table and the single-task references of forward transfer, some at a
time, then prints our table beside the published one and draws plots. The same command again skips
what is complete and continues the rest. A run that fails does not stop the others.

Without flags: the published settings, 20 tasks x 1,000,000 steps (multi-task rows: CW10). With
--preset small: the demo's three tasks x 20,000 steps, 8 evaluations each. PackNet retrains for a
tenth of a task. Flags not listed here go to every `clrl train`, for example --evaluate economical.

Seeds of one call share a process, and its memory: perfect memory needs up to 7 GB per seed as
published. Give other seeds another --out; `clrl table --published` joins all below a folder:

  scripts/cw20/all.sh --seeds 0..4 --out runs/cw20/a
  scripts/cw20/all.sh --seeds 5..9 --out runs/cw20/b
  clrl table runs/cw20 --published
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
    parser.add_argument("--parity", default="clean", help="clean or original")
    parser.add_argument("--out", type=Path, help="default: runs/cw20, with the preset -small")
    jobs = min(2, os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help=f"runs at a time (here: {jobs})")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    flags, others = parser.parse_known_args(words)
    if flags.jobs < 1:
        raise ConfigError(f"--jobs is {flags.jobs}; it must be at least 1")
    small = flags.preset == "small"
    flags.sequence = flags.sequence or (",".join(demo.TASKS) if small else "CW20")
    flags.out = flags.out or Path("runs", "cw20-small" if small else "cw20")
    if small:
        flags.steps_per_task = flags.steps_per_task or SMALL_STEPS
        others = ["--preset", "small", "--evals-per-task", str(SMALL_EVALS), *others]
    return flags, others


def jobs(flags: argparse.Namespace, others: Sequence[str]) -> list[Job]:
    """Return all runs: a row for every method, then a reference for each task."""
    from clrl.agents.methods import METHODS  # here: it imports torch

    tasks = tuple(dict.fromkeys(sequence_named(flags.sequence).tasks))
    common = ["--seeds", flags.seeds, "--parity", flags.parity]
    if flags.steps_per_task is not None:
        common += ["--steps-per-task", str(flags.steps_per_task)]

    def job(script: str, name: str, out: Path, *words: str) -> Job:
        where = ("--out", str(out))
        return Job(name, (str(HERE / script), *words, *common, *where, *others))

    found = []
    for row, method in METHODS.items():
        sequence = sequence_name(tasks) if method.interleaved else flags.sequence
        words = ["train", row, "--sequence", sequence]
        if flags.steps_per_task is not None:
            for name, value in method.scaled(flags.steps_per_task).items():
                words += [f"--{name.replace('_', '-')}", str(value)]
        found.append(job("../clrl.sh", row, flags.out / row, *words))
    for task in tasks:
        found.append(job("../single_task.sh", task, flags.out / "references" / task, task))
    return found


def main(words: Sequence[str]) -> int:
    """Run everything; return an exit code."""
    flags, others = parse(words)
    found = jobs(flags, others)
    check = subprocess.run([*found[0].command, "--dry-run"], capture_output=True, text=True)
    if check.returncode:
        print(check.stderr or check.stdout, end="", file=sys.stderr)
        return check.returncode
    if flags.dry_run:
        print("\n".join(shlex.join(job.command) for job in found))
        return errors.OK
    begin = time.monotonic()
    failed = run_all(found, flags.jobs)
    print(f"\n{len(found) - len(failed)} of {len(found)} runs are complete", end="")
    print(f" ({time.monotonic() - begin:.0f} s).\n", flush=True)
    clrl = str(HERE / "../clrl.sh")
    shown = subprocess.run([clrl, "table", str(flags.out), "--published"]).returncode
    drawn = subprocess.run([clrl, "plot", str(flags.out), "--out", str(flags.out / "plots")])
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
