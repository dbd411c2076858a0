"""`clrl demo`: three methods on three easy tasks, from nothing to table and plots."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clrl import errors
from clrl.machine.jobs import Job, how_many, run_all

if TYPE_CHECKING:
    from clrl.results.rows import Measured

# Chosen once, among six easy tasks, by what ten seeds learned from scratch in 10,000 steps.
TASKS = ("drawer-close-v3", "reach-v3", "coffee-button-v3")
SHOWN = ("packnet", "ewc", "finetuning")  # the longest first
SEEDS = "0..1"
FLAGS = ("--preset", "small", "--threads", "1", "--device", "cpu")
RUN_BYTES = 2600 * 2**20
"""What a run takes at most; the tests work it out, which takes torch a second to import."""
LITTLE = 0.05
"""A fall of success that goes without saying: one of the 20 episodes of both seeds."""
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
    begin, found = time.monotonic(), jobs(out)
    at_once, why = how_many(len(found), RUN_BYTES)
    print(why, flush=True)
    try:
        failed = run_all(found, at_once, stop_at_failure=True)
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
    rows = [
        row
        for section in result.sections
        if tuple(section.sequence["tasks"]) == TASKS
        for row in section.rows
    ]
    print("\n" + "\n".join(sentences({row.group.method: scores(row) for row in rows})))


@dataclass(frozen=True)
class Scores:
    """What the two sentences are about, of one method.

    Attributes:
        performance, forgetting, transfer: as the table has them.
        tasks: of every task its name and its success at its own block's end and at the run's.
    """

    performance: float
    forgetting: float
    transfer: float
    tasks: tuple[tuple[str, float, float], ...]

    @property
    def falls(self) -> list[tuple[float, str]]:
        """Falls of tasks by more than LITTLE, with what to say of each, in the order of tasks."""
        return [
            (before - after, f"from {before:.2f} to {after:.2f} ({name})")
            for name, before, after in self.tasks
            if before - after > LITTLE
        ]


def scores(row: Measured) -> Scores:
    """Read a row's scores."""
    from clrl.results.metrics import final_score, learned_score

    ends = [of(row.group.scores, row.window).mean(axis=0) for of in (learned_score, final_score)]
    return Scores(
        row.performance.value,
        row.forgetting.value,
        row.forward_transfer.value,
        tuple(zip(row.group.tasks, *(end.tolist() for end in ends), strict=True)),
    )


def sentences(found: dict[str, Scores]) -> list[str]:
    """Say in two sentences what a table shows: what was kept, and what helped."""
    if not found:
        return []
    return [f"{_kept(found)}; {_lost(found)}.", _helped(found)]


def _kept(found: dict[str, Scores]) -> str:
    best, names = _most({name: score.performance for name, score in found.items()})
    if best == 0:
        return "After the last task no method succeeds in any episode"
    several = len(names) > 1
    who = f"{_and(names)} {'do' if several else 'does'} best: {'they' if several else 'it'}"
    if len(names) == len(found) > 1:
        who = "all methods do equally well: they"
    succeed = "succeed" if several else "succeeds"
    return f"After the last task {who} {succeed} in {best:.0%} of the episodes, averaged over tasks"


def _lost(found: dict[str, Scores]) -> str:
    most, names = _most({name: score.forgetting for name, score in found.items()})
    if most > LITTLE:
        falls = {name: _and([text for _, text in found[name].falls]) for name in names}
        what = "; ".join(falls.values()) if len(falls) == 1 else "; ".join(
            f"with {name} {text}" for name, text in falls.items()
        )  # fmt: skip
        verb = "forget" if len(names) > 1 else "forgets"
        return (
            f"{_and(names)} {verb} most: from the end of a task's training to the end of the run "
            f"success falls {what}"
        )
    points = f"{100 * LITTLE:.0f} points of success"
    worst = [(fall, name, text) for name, score in found.items() for fall, text in score.falls]
    if worst:
        _, name, text = max(worst)
        return (
            f"no method forgets more than {points} on average, but one task of {name} falls {text}"
        )
    return f"no method forgets more than {points} on any task"


def _helped(found: dict[str, Scores]) -> str:
    transfers = {name: score.transfer for name, score in found.items()}
    if unknown := [name for name, value in transfers.items() if value != value]:  # NaN
        return (
            f"Forward transfer is not defined for {_and(unknown)}: a reference run is missing or "
            "leaves nothing to gain."
        )
    best, quick = _most(transfers)
    worst, slow = _most({name: -value for name, value in transfers.items()})
    speed = "faster" if round(best, 2) > 0 else "no faster"
    if len(quick) == len(found):
        text = f"is {best:+.2f}" + " for all methods" * (len(found) > 1) + ": on average"
    else:
        ends = f"{-worst:+.2f} ({', '.join(slow)}) to {best:+.2f} ({', '.join(quick)})"
        text = f"runs from {ends}: at best"
    return f"Forward transfer {text} tasks are learned {speed} than from scratch."


def _most(values: dict[str, float]) -> tuple[float, list[str]]:
    """Return the largest value, and who has it to the second decimal."""
    most = max(values.values())
    return most, [name for name, value in values.items() if round(most - value, 2) <= 0]


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@dataclass(frozen=True)
class Command:
    """Train three methods on three easy tasks, and show what came out."""

    out: Path = Path("runs/demo")
    """Where the runs go; the same command again continues them."""

    def run(self) -> int:
        """Train, print table, plots and two sentences."""
        return demo(self.out)
