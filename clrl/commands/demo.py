"""`clrl demo`: three methods on three easy tasks, from nothing to table and plots."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from clrl import errors
from clrl.machine.jobs import Job, run_all

# Chosen once, among six easy tasks, by what ten seeds learned from scratch in 10,000 steps.
TASKS = ("drawer-close-v3", "reach-v3", "coffee-button-v3")
SHOWN = ("packnet", "ewc", "finetuning")  # the longest first
SEEDS = "0..1"
FLAGS = ("--preset", "small", "--threads", "1", "--device", "cpu")
AT_ONCE = 2
TRAIN = (sys.executable, "-m", "clrl.cli", "train")


def jobs(out: Path) -> list[Job]:
    """Return the runs: methods first, since they take longest, then a reference for each task."""

    def job(name: str, method: str, sequence: str, directory: Path) -> Job:
        where = ("--sequence", sequence, "--seeds", SEEDS, "--out", str(directory))
        return Job(name, (*TRAIN, method, *where, *FLAGS))

    methods = [job(method, method, ",".join(TASKS), out / method) for method in SHOWN]
    references = [job(task, "finetuning", task, out / "references" / task) for task in TASKS]
    return methods + references


def demo(out: Path) -> int:
    """Train, then print table, plots and two sentences; the same call again continues.

    Returns:
        an exit code.
    """
    begin = time.monotonic()
    try:
        failed = run_all(jobs(out), AT_ONCE, stop_at_failure=True)
    except KeyboardInterrupt:
        return errors.say("interrupted; `clrl demo` again goes on", errors.INTERRUPTED)
    if failed:
        print(f"clrl: {failed[0].name} failed; its last lines:", file=sys.stderr)
        print("\n".join(failed[0].last), file=sys.stderr)
        code = failed[0].code() or errors.FAULT
        return code if code > 0 else errors.FAULT  # negative: a signal killed it
    print(f"\nAll runs are complete ({time.monotonic() - begin:.0f} s).\n")
    show(out)
    return errors.OK


def show(out: Path) -> None:
    """Print table, plots and what one sees."""
    from clrl.results.tables import table
    from clrl.show.plots import plot

    result = table([out])
    print(result.markdown())
    for path in plot([out], out / "plots"):
        print(path)
    scores = {
        row.group.method: Scores(
            row.performance.value, row.forgetting.value, row.forward_transfer.value
        )
        for section in result.sections
        if tuple(section.sequence["tasks"]) == TASKS
        for row in section.rows
    }
    print("\n" + "\n".join(sentences(scores)))


@dataclass(frozen=True)
class Scores:
    """A method's performance, forgetting and forward transfer."""

    performance: float
    forgetting: float
    transfer: float


def sentences(scores: dict[str, Scores]) -> list[str]:
    """Say in two sentences what a table shows: what was kept, and what helped."""
    kept = max(scores, key=lambda name: scores[name].performance)
    lost = max(scores, key=lambda name: scores[name].forgetting)
    first, last = scores[kept], scores[lost]
    text = (
        f"After the last task {kept} does best: it succeeds in {first.performance:.0%} of the "
        f"episodes, averaged over all tasks"
    )
    if last.forgetting <= 0.05:
        text += "; no method forgets more than 5 points of success."
    else:
        others = "itself" if lost == kept else f"against {first.forgetting:.0%} of {kept}"
        text += f"; {lost} forgets most, {last.forgetting:.0%} of success, {others}."
    if any(score.transfer != score.transfer for score in scores.values()):  # NaN
        return [text, "Forward transfer is not defined here: a reference run is missing."]
    quick = max(scores, key=lambda name: scores[name].transfer)
    slow = min(scores, key=lambda name: scores[name].transfer)
    best, worst = scores[quick].transfer, scores[slow].transfer
    speed = "faster" if best > 0 else "no faster"
    return [
        text,
        f"Forward transfer runs from {worst:+.2f} ({slow}) to {best:+.2f} ({quick}): at best, "
        f"tasks are learned {speed} than from scratch.",
    ]


@dataclass(frozen=True)
class Command:
    """Train three methods on three easy tasks, two runs at a time, and show what came out."""

    out: Path = Path("runs/demo")
    """Where the runs go; the same command again continues them."""

    def run(self) -> int:
        """Train, print table, plots and two sentences."""
        return demo(self.out)
