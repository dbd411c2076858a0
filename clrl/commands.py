"""The commands that read runs: their flags, and what they print."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from clrl import errors
from clrl.envs.tasks import METAWORLD_TASKS, SEQUENCES
from clrl.errors import ConfigError, DamagedData

LINE, NAME = 100, 18
"""Width of a line of `clrl list methods`, and of its names."""


@dataclass(frozen=True)
class Evaluate:
    """Play a stored policy and print its score, task by task and seed by seed."""

    run_directory: Annotated[Positional[Path], arg(metavar="DIR")]
    """The run."""
    task: int | None = None
    """Position of the task that is played; all by default."""
    after: int | None = None
    """Take the policy as it was at the end of this task; by default the last one finished."""
    episodes: int = 100
    """Episodes of each task and seed."""
    deterministic: FlagCreatePairsOff[bool] = False
    """Play the policy's mean action instead of drawing from it."""

    def run(self) -> int:
        """Play, print a line per task."""
        if self.episodes < 1:
            raise ConfigError(f"episodes is {self.episodes}; it must be at least 1")
        from clrl.config import RunConfig  # here and below: imports that take a second or more
        from clrl.schema import CONFIG_FILE

        config = RunConfig.load(self.run_directory / CONFIG_FILE)
        names, score = config.sequence.tasks, config.sequence.score
        for flag, task in (("task", self.task), ("after", self.after)):
            if task is not None and not 0 <= task < len(names):
                raise ConfigError(f"--{flag} {task} is not in 0..{len(names) - 1}")
        import torch

        from clrl.builder import load_trained
        from clrl.evaluator import Evaluation

        torch.set_num_threads(config.placement.threads)
        trained = load_trained(self.run_directory, self.after)
        numbers = (0, self.episodes) if self.deterministic else (self.episodes, 0)
        how = Evaluation(stochastic_episodes=numbers[0], deterministic_episodes=numbers[1])
        played = "" if score == "accuracy" else f" in {self.episodes} episodes"
        print(f"{score}{played}, seeds {' '.join(map(str, config.seeds))}, mean")
        try:
            for task in range(len(names)) if self.task is None else [self.task]:
                # Episodes that no evaluation of the run has played.
                rows = trained.evaluate([task], 0, how, unseen=True)
                scores = [row[score] for row in rows]
                cells = "  ".join("–" if value is None else f"{value:.2f}" for value in scores)
                known = [value for value in scores if value is not None]
                mean = f"{sum(known) / len(known):.2f}" if known else "–"
                print(f"task {task:2d} {names[task]:30}{cells}  {mean}")
        finally:
            trained.close()
        return errors.OK


@dataclass(frozen=True)
class Table:
    """Measure runs: performance, forgetting and forward transfer with 90 % intervals."""

    runs: Positional[tuple[Path, ...]]
    """Runs, or directories above them."""
    references: tuple[Path, ...] = ()
    """More directories with single-task runs, for forward transfer only."""
    published: FlagCreatePairsOff[bool] = False
    """Put the published numbers of CW20 beside ours (Meta-World v1: an ordering, not a target)."""
    json: FlagCreatePairsOff[bool] = False
    """Print all numbers, per task and per seed too."""
    strict: FlagCreatePairsOff[bool] = False
    """End with code 1 if something is missing."""

    def run(self) -> int:
        """Print the table."""
        from clrl.tables import table

        result = table(_some(self.runs, "table"), self.references)
        show = result.json if self.json else result.markdown
        print(show(self.published), end="\n" if self.json else "")
        return errors.INCOMPLETE if self.strict and result.problems else errors.OK


@dataclass(frozen=True)
class Plot:
    """Draw runs: success over time, forgetting, transfer."""

    runs: Positional[tuple[Path, ...]]
    """Runs, or directories above them."""
    out: Path = Path("plots")
    """Where the images go."""

    def run(self) -> int:
        """Write the images and print where they are."""
        from clrl.plots import plot

        for path in plot(_some(self.runs, "plot"), self.out):
            print(path)
        return errors.OK


@dataclass(frozen=True)
class List:
    """Show what there is."""

    what: Positional[Literal["methods", "sequences", "tasks", "runs"]]
    """What to show."""
    directory: Positional[Path] = Path("runs")
    """Where to look for runs."""

    def run(self) -> int:
        """Print a line for each, for a method its settings too."""
        lines = {"methods": _methods, "sequences": _sequences, "tasks": lambda: METAWORLD_TASKS}
        for line in lines[self.what]() if self.what != "runs" else _runs(self.directory):
            print(line)
        return errors.OK


@dataclass(frozen=True)
class Demo:
    """Train three methods on three easy tasks, two runs at a time, and show what came out."""

    out: Path = Path("runs/demo")
    """Where the runs go; the same command again continues them."""

    def run(self) -> int:
        """Train, print table, plots and two sentences."""
        from clrl.demo import demo

        return demo(self.out)


COMMANDS: dict[str, Any] = {
    "evaluate": Evaluate,
    "table": Table,
    "plot": Plot,
    "list": List,
    "demo": Demo,
}


def _some(paths: tuple[Path, ...], command: str) -> tuple[Path, ...]:
    if not paths:
        raise ConfigError(f"name at least one directory: clrl {command} DIR...")
    return paths


def _methods() -> list[str]:
    """Return of every method what it is, its defaults as flags, and where it does not work."""
    from clrl.agents.methods import METHODS
    from clrl.agents.settings import SETTINGS

    lines = []
    for name, kind in METHODS.items():
        title = (kind.__doc__ or "").strip().splitlines()[0]
        known = kind.paper.rpartition(", ")[2] in title  # its number in the arXiv
        paragraphs = [title if known else f"{title} {kind.paper}."]
        defaults = {f.name: getattr(kind(), f.name) for f in fields(kind)}
        paragraphs += [_flags(defaults)] if defaults else []
        for learner in SETTINGS:
            if settings := kind.learner_defaults.get(learner):
                paragraphs.append(f"with {learner}: {_flags(settings, learner)}")
        paragraphs += [f"not on {learner}: {why}" for learner, why in kind.refusals().items()]
        width = LINE - NAME
        block = [
            line for p in paragraphs for line in textwrap.wrap(p, width, break_on_hyphens=False)
        ]
        lines += [f"{'' if i else name:{NAME}}{line}" for i, line in enumerate(block)]
    return [line.replace("\xa0", " ") for line in lines]


def _flags(values: Mapping[str, Any], learner: str = "") -> str:
    """Return values as the flags that would set them."""
    words = []
    for name, value in values.items():
        off = "no-" if value is False else ""
        flag = f"--{learner}{'.' if learner else ''}{off}{name.replace('_', '-')}"
        number = f"{value:.15g}" if isinstance(value, float) else str(value)
        words.append(flag if isinstance(value, bool) else f"{flag}\xa0{number}")
    return " ".join(words)  # a flag and its value stay together


def _sequences() -> list[str]:
    from clrl.worlds import world_names

    lines = [f"{name:8}{len(tasks)} tasks: {', '.join(tasks)}" for name, tasks in SEQUENCES.items()]
    lines.append("toy     3 tasks of a stream of small classification problems")
    return lines + [f"{name}  registered" for name in world_names()]


def _runs(directory: Path) -> list[str]:
    from clrl.names import format_seeds
    from clrl.results import find_runs, read_run

    lines = []
    for path in find_runs([directory]):
        try:
            run = read_run(path)
        except DamagedData as error:
            print(f"clrl: {error}", file=sys.stderr)
            continue
        method, sequence = run.config["method"]["name"], run.config["sequence"]["name"]
        lines.append(
            f"{path}  {method} on {sequence}, seeds {format_seeds(run.seeds)}: {run.state}, "
            f"step {run.last_step:,} of {run.schedule.total:,}"
        )
    return lines
