"""`clrl list`: what there is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from clrl import errors
from clrl.envs.metaworld.tasks import METAWORLD_TASKS, SEQUENCES
from clrl.errors import DamagedData

LINE, NAME = 100, 18
"""Width of a line of `clrl list methods`, and of its names."""


@dataclass(frozen=True)
class Command:
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


def _methods() -> list[str]:
    """Return of every method what it is, its defaults as flags, and where it does not work."""
    from clrl.agents.methods import METHODS
    from clrl.agents.settings.learners import SETTINGS

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
    from clrl.config.worlds import world_names

    lines = [f"{name:8}{len(tasks)} tasks: {', '.join(tasks)}" for name, tasks in SEQUENCES.items()]
    lines.append("toy     3 tasks of a stream of small classification problems")
    return lines + [f"{name}  registered" for name in world_names()]


def _runs(directory: Path) -> list[str]:
    from clrl.config.names import format_seeds
    from clrl.results.reading import find_runs, read_run

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
