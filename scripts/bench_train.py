"""Time a whole `clrl train` on each path of the update, in turns.

    python scripts/bench_train.py          # four minutes

The command is `clrl train finetuning --sequence hammer-v3,push-v3 --preset small`, one seed and one
thread. Prints its CPU time from start to end, evaluations, checkpoints and imports included, the
median over rounds, and steps per second of it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benching import PATHS, Record, arguments, begin

COMMAND = "train finetuning --sequence hammer-v3,push-v3 --preset small".split()
TASKS = 2


def run(words: list[str]) -> float:
    """Run `clrl` and return the seconds of CPU time it took."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = spent()
    subprocess.run([sys.executable, "-m", "clrl", *words], check=True, stdout=subprocess.DEVNULL)
    return spent() - start


def measure(args: argparse.Namespace) -> Record:
    words = [*COMMAND, "--steps-per-task", str(args.steps_per_task), *args.flags]
    run([*words, "--dry-run"])  # reads every file once
    times: dict[str, list[float]] = {path: [] for path in PATHS}
    for _ in range(args.rounds):
        for path, found in times.items():
            with tempfile.TemporaryDirectory() as folder:
                out = str(Path(folder, "run"))
                found.append(run([*words, "--update", path, "--out", out]))
    return Record("bench_train.py", arguments(args), "seconds of a whole command", times)


def main() -> None:
    flags = begin(__doc__, rounds=3)
    flags.add_argument("--steps-per-task", type=int, default=7_500)
    flags.add_argument("flags", nargs="*", help="more flags of clrl train, after --")
    args = flags.parse_args()
    record = measure(args)
    for path in record.times:
        seconds = record.median(path)
        print(
            f"--update {path:8} {seconds:6.1f} s, {TASKS * args.steps_per_task / seconds:5.0f} "
            f"steps/s, {record.ratio('torch', path):.2f} times torch"
        )
    record.finish(args.json)


if __name__ == "__main__":
    main()
