"""Tables of results: one row per method and configuration, one table per sequence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clrl.config.scores import SCORES, WINDOW, Score
from clrl.results.groups import Group, by_sequence, in_order, join, labels, whole_and_short
from clrl.results.notes import missing, notes, title
from clrl.results.published import beside, read_published
from clrl.results.reading import RunData, find_runs, read_run
from clrl.results.references import find_references, is_reference, set_apart
from clrl.results.rows import Measured, columns, measure
from clrl.results.statistics import LEVEL, RESAMPLES


@dataclass(frozen=True, eq=False)
class Section:
    """The table of one sequence.

    Attributes:
        sequence: the configuration's section of that name.
        rows: one per method and configuration.
        notes: sentences on how to read the numbers.
        problems: sentences on what is missing.
    """

    sequence: dict[str, Any]
    rows: list[Measured]
    notes: list[str]
    problems: list[str]

    @property
    def score(self) -> Score:
        """What the sequence is measured by."""
        return SCORES[self.sequence["score"]]

    @property
    def has_halves(self) -> bool:
        """Whether the second half repeats the tasks of the first, as CW20 does."""
        tasks = self.sequence["tasks"]
        return len(tasks) > 1 and tasks[: len(tasks) // 2] == tasks[len(tasks) // 2 :]

    def markdown(self) -> str:
        """Return heading, table and sentences."""
        head = columns(self.score, self.has_halves)
        lines = [f"### {title(self.sequence)}", ""]
        if self.rows:
            lines += [_line(head), _line(["---"] + ["---:"] * (len(head) - 3) + ["---"] * 2)]
            lines += [_line(row.cells(self.has_halves)) for row in self.rows]
            lines.append("")
        return "\n".join([*lines, *(f"* {text}" for text in self.notes + self.problems)])


@dataclass(frozen=True, eq=False)
class Table:
    """What `clrl table` prints.

    Attributes:
        sections: one per sequence.
        unused: sentences on reference runs that could not be used.
    """

    sections: list[Section]
    unused: list[str]

    @property
    def problems(self) -> list[str]:
        """Everything that is missing, as sentences; empty for complete results."""
        return [text for section in self.sections for text in section.problems] + self.unused

    def markdown(self, published: bool = False) -> str:
        """Return the tables; with `published` also those numbers beside ours."""
        parts = [section.markdown() for section in self.sections]
        parts += [beside(self.sections)] if published else []
        parts += ["\n".join(f"* {text}" for text in self.unused)] if self.unused else []
        return "\n\n".join(parts) + "\n"

    def json(self, published: bool = False) -> str:
        """Return all numbers at full precision, per task and seed too; null for the undefined."""
        tables = [
            {
                "sequence": section.sequence,
                "rows": [row.json() for row in section.rows],
                "notes": section.notes,
                "problems": section.problems,
            }
            for section in self.sections
        ]
        intervals = {"level": LEVEL, "resamples": RESAMPLES, "window": WINDOW}
        content = {"intervals": intervals, "tables": tables, "problems": self.problems}
        if published:
            content["published"] = [row.json() for row in read_published()]
        return json.dumps(_for_json(content), indent=2, allow_nan=False, ensure_ascii=False)


def table(paths: Sequence[str | Path], references: Sequence[str | Path] = ()) -> Table:
    """Measure all runs below some directories.

    Single-task runs of `finetuning` are references where another run has their task; otherwise
    they are measured like any run.

    Args:
        paths: run directories, or directories above them.
        references: more of them, searched for reference runs only.

    Raises:
        ConfigError: no run below a path, or the same seed of one configuration twice.
        DamagedData: a run cannot be read.
    """
    runs = [read_run(path) for path in find_runs(paths)]
    measured, apart = set_apart(runs)
    given = {run.directory.resolve(): run for run in apart}
    if references:
        found = {path.resolve(): path for path in find_runs(references)}
        known = {run.directory.resolve(): run for run in runs}
        given |= {key: known.get(key) or read_run(path) for key, path in found.items()}
    candidates = [run for run in given.values() if is_reference(run)]
    whole, short = whole_and_short(candidates)
    unused = [f"{text}: not used as a reference." for text in short]
    joined = join(whole)
    return Table([_section(members, joined) for members in by_sequence(measured)], unused)


def _section(runs: Sequence[RunData], candidates: Sequence[Group]) -> Section:
    whole, short = whole_and_short(runs)
    groups = in_order(join(whole))
    rows = [
        measure(group, label, find_references(group, candidates))
        for group, label in zip(groups, labels(groups), strict=True)
    ]
    problems = [f"{text}: left out of the table." for text in short]
    problems += missing(rows)
    return Section(runs[0].config["sequence"], rows, notes(rows), problems)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _for_json(value: Any) -> Any:
    """Return values as JSON takes them: arrays and tuples as lists, NaN as null."""
    if isinstance(value, dict):
        return {str(key): _for_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_for_json(inner) for inner in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
