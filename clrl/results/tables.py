"""Tables of results: one row per method and configuration, one table per sequence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clrl.config.scores import Score
from clrl.config.scores import window as default_window
from clrl.errors import ConfigError
from clrl.results.groups import (
    Group,
    by_sequence,
    in_order,
    join,
    labels,
    whole_and_short,
)
from clrl.results.notes import heading, missing, notes
from clrl.results.published import beside, read_published
from clrl.results.reading import RunData, find_runs, read_run
from clrl.results.references.apart import fits, measured_groups, of_no_use, set_apart
from clrl.results.references.matching import find_references, is_reference
from clrl.results.rows import Measured, columns, measure
from clrl.results.statistics import LEVEL, RESAMPLES
from clrl.results.worlds import difference, has_halves


@dataclass(frozen=True, eq=False)
class Section:
    """The table of one sequence.

    Attributes:
        run: one of its runs, for what all have in common.
        window: evaluations that are averaged at the end of a block and of a run.
        rows: one per method and configuration.
        notes: sentences on how to read the numbers.
        problems: sentences on what is missing.
    """

    run: RunData
    window: int
    rows: list[Measured]
    notes: list[str]
    problems: list[str]

    @property
    def sequence(self) -> dict[str, Any]:
        """The configuration's section of that name, with the score that was measured."""
        return {**self.run.config["sequence"], "score": self.score.name}

    @property
    def score(self) -> Score:
        """What the runs are measured by."""
        return self.run.score

    @property
    def references(self) -> list[RunData]:
        """The reference runs of all rows."""
        return [
            run
            for row in self.rows
            for group in row.references.groups.values()
            for run in group.runs
        ]

    @property
    def heading(self) -> str:
        """What stands above the table."""
        evals = self.run.config["evaluation"]["evals_per_task"]
        return heading(self.sequence, self.window, evals)

    def markdown(self) -> str:
        """Return heading, table and sentences."""
        halves = has_halves(self.run)
        head = columns(self.score, halves)
        lines = [f"### {self.heading}", ""]
        if self.rows:
            lines += [_line(head), _line(["---"] + ["---:"] * (len(head) - 3) + ["---"] * 2)]
            lines += [_line(row.cells(halves)) for row in self.rows]
            lines.append("")
        return "\n".join([*lines, *(f"* {text}" for text in self.notes + self.problems)])

    def json(self) -> dict[str, Any]:
        """Return the same at full precision."""
        return {
            "sequence": self.sequence,
            "window": self.window,
            "rows": [row.json() for row in self.rows],
            "notes": self.notes,
            "problems": self.problems,
        }


@dataclass(frozen=True, eq=False)
class Table:
    """What `clrl table` prints.

    Attributes:
        sections: one per sequence.
        unused: sentences on reference runs that could not be used.
        notes: sentences on what was given as a reference and is none.
    """

    sections: list[Section]
    unused: list[str]
    notes: list[str]

    @property
    def problems(self) -> list[str]:
        """Everything that is missing, as sentences; empty for complete results."""
        return [text for section in self.sections for text in section.problems] + self.unused

    def markdown(self, published: bool = False) -> str:
        """Return the tables; with `published` also those numbers beside ours."""
        parts = [section.markdown() for section in self.sections]
        parts += [beside(self.sections)] if published else []
        below = self.notes + self.unused
        parts += ["\n".join(f"* {text}" for text in below)] if below else []
        return "\n\n".join(parts) + "\n"

    def json(self, published: bool = False) -> str:
        """Return all numbers at full precision, per task and seed too; null for the undefined."""
        content = {
            "intervals": {"level": LEVEL, "resamples": RESAMPLES},
            "tables": [section.json() for section in self.sections],
            "notes": self.notes,
            "problems": self.problems,
        }
        if published:
            content["published"] = [row.json() for row in read_published()]
        return json.dumps(_for_json(content), indent=2, allow_nan=False, ensure_ascii=False)


def table(
    paths: Sequence[str | Path],
    references: Sequence[str | Path] = (),
    window: int | None = None,
) -> Table:
    """Measure all runs below some directories.

    A single-task run of `finetuning` that another run is measured against is no row of its own;
    every other run is one, or is named with the reason.

    Args:
        paths: run directories, or directories above them.
        references: more of them, searched for reference runs only.
        window: evaluations that are averaged at the end of a task's block and of the run; 5 is the
            original's rule, which is to take the last five of all before that moment. By default a
            tenth of a task's evaluations, at least one: 5 of the published 50.

    Raises:
        ConfigError: no run below a path, the same seed of one configuration twice, or a window
            that no run has.
        DamagedData: a run cannot be read.
    """
    runs = [read_run(path) for path in find_runs(paths)]
    _check_window(window, runs)
    known = {run.directory.resolve() for run in runs}
    found = find_runs(references) if references else []
    given = [read_run(path) for path in found if path.resolve() not in known]
    whole, _ = whole_and_short(runs, window)
    ready, _ = whole_and_short([run for run in given if is_reference(run)], window)
    whole = [run for run in whole if is_reference(run) or not _too_few(run, window)]
    shown, apart = set_apart(whole, ready)
    needy = measured_groups(shown)
    unfinished = [run for run in runs + given if run not in whole + ready and fits(run, needy)]
    _, short = whole_and_short(unfinished, window)
    used = join(apart + ready)
    idle = join(run for run in shown if is_reference(run))
    rows = [run for run in runs if run not in apart + unfinished]
    sections = [_section(members, used, idle, window) for members in by_sequence(rows)]
    _tell_apart(sections)
    serving = {id(run) for section in sections for run in section.references}
    spare = [run for run in given if run not in unfinished and id(run) not in serving]
    unused = [f"{text}: not used as a reference." for text in short]
    return Table(sections, unused, of_no_use(spare, needy))


def _check_window(window: int | None, runs: Sequence[RunData]) -> None:
    if window is None:
        return
    most = max(len(run.steps) for run in runs)
    if type(window) is not int or not 1 <= window <= most:
        raise ConfigError(
            f"window is {window!r}; it must be a whole number from 1 to {most}, the evaluations of "
            "a whole run"
        )


def _too_few(run: RunData, window: int | None) -> str | None:
    """Say so if a run has fewer evaluations than a row averages; a reference is cut to what it has.

    Its end is only the upper end of a range.
    """
    if window is None or window <= len(run.steps):
        return None
    return f"{run.directory} has only {len(run.steps)} evaluations for a window of {window}"


def _section(
    runs: Sequence[RunData], used: Sequence[Group], idle: Sequence[Group], window: int | None
) -> Section:
    """Measure the runs of one sequence.

    Args:
        runs: whole ones and others.
        used: references.
        idle: runs that could be references of other sequences; to say why they are none.
        window: evaluations that are averaged; by default a tenth of a task's.
    """
    whole, short = whole_and_short(runs, window)
    short += [text for run in whole if (text := _too_few(run, window))]
    groups = in_order(join(run for run in whole if not _too_few(run, window)))
    rows = []
    for group, label in zip(groups, labels(groups), strict=True):
        candidates = used if is_reference(group.runs[0]) else [*used, *idle]
        rows.append(measure(group, label, find_references(group, candidates), window))
    problems = [f"{text}: left out of the table." for text in short]
    problems += missing(rows)
    evals = runs[0].config["evaluation"]["evals_per_task"]
    return Section(runs[0], window or default_window(evals), rows, notes(rows), problems)


def _tell_apart(sections: Sequence[Section]) -> None:
    """Say of sections with equal headings whose worlds differ in what they do in what that is."""
    for place, section in enumerate(sections):
        for earlier in sections[:place]:
            differ = difference(section.run, earlier.run)
            if section.heading == earlier.heading and differ is not None:
                section.notes.append(
                    f"Another table than that of {earlier.run.directory}, because the worlds of "
                    f"{section.run.directory} are others: {differ}."
                )
                break


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
