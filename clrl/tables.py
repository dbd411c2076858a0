"""Tables of results: one row per method and configuration, one table per sequence."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clrl.groups import Group, by_sequence, in_order, join, labels, shortfall
from clrl.matching import find_references, is_reference, set_apart
from clrl.metrics import WINDOW
from clrl.published import beside, read_published
from clrl.results import RunData, find_runs, read_run
from clrl.rows import DASH, Row, columns, measure
from clrl.statistics import LEVEL, RESAMPLES

INTERLEAVED = "Tasks take turns, so that there is nothing to forget and no transfer to measure."


@dataclass(frozen=True, eq=False)
class Section:
    """The table of one sequence.

    Attributes:
        sequence: The configuration's section of that name.
        rows: One per method and configuration.
        notes: Sentences on how to read the numbers.
        problems: Sentences on what is missing.
    """

    sequence: dict[str, Any]
    rows: list[Row]
    notes: list[str]
    problems: list[str]

    @property
    def has_halves(self) -> bool:
        """Whether the second half repeats the tasks of the first, as CW20 does."""
        tasks = self.sequence["tasks"]
        return len(tasks) > 1 and tasks[: len(tasks) // 2] == tasks[len(tasks) // 2 :]

    def markdown(self) -> str:
        """Heading, table and sentences."""
        head = columns(self.has_halves)
        lines = [f"### {_title(self.sequence)}", ""]
        if self.rows:
            lines += [_line(head), _line(["---"] + ["---:"] * (len(head) - 3) + ["---"] * 2)]
            lines += [_line(row.cells(self.has_halves)) for row in self.rows]
            lines.append("")
        return "\n".join([*lines, *(f"* {text}" for text in self.notes + self.problems)])


@dataclass(frozen=True, eq=False)
class Table:
    """What `clrl table` prints.

    Attributes:
        sections: One per sequence.
        unused: Sentences on reference runs that could not be used.
    """

    sections: list[Section]
    unused: list[str]

    @property
    def problems(self) -> list[str]:
        """Everything that is missing, as sentences; empty for complete results."""
        return [text for section in self.sections for text in section.problems] + self.unused

    def markdown(self, published: bool = False) -> str:
        """The tables, each with its sentences; with `published` also those numbers beside ours."""
        parts = [section.markdown() for section in self.sections]
        parts += [beside(self.sections)] if published else []
        parts += ["\n".join(f"* {text}" for text in self.unused)] if self.unused else []
        return "\n\n".join(parts) + "\n"

    def json(self, published: bool = False) -> str:
        """All numbers at full precision, per task and per seed too; null for what is undefined."""
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
        return json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)


def table(paths: Sequence[str | Path], references: Sequence[str | Path] = ()) -> Table:
    """Measure all runs below some directories.

    Single-task runs of `finetuning` are references where another run has their task; otherwise
    they are measured like any run.

    Args:
        paths: Run directories, or directories above them.
        references: More of them, searched for reference runs only.

    Raises:
        ConfigError: No run below a path, or the same seed of one configuration twice.
        DamagedData: A run cannot be read.
    """
    runs = [read_run(path) for path in find_runs(paths)]
    measured, beside = set_apart(runs)
    given = {run.directory.resolve(): run for run in beside}
    if references:
        found = {path.resolve(): path for path in find_runs(references)}
        known = {run.directory.resolve(): run for run in runs}
        given |= {key: known.get(key) or read_run(path) for key, path in found.items()}
    candidates = [run for run in given.values() if is_reference(run)]
    unused = [
        f"{text}: not used as a reference." for text in filter(None, map(shortfall, candidates))
    ]
    joined = join(run for run in candidates if shortfall(run) is None)
    return Table([_section(members, joined) for members in by_sequence(measured)], unused)


def _section(runs: Sequence[RunData], candidates: Sequence[Group]) -> Section:
    left_out = {run.directory: text for run in runs if (text := shortfall(run))}
    groups = in_order(join(run for run in runs if run.directory not in left_out))
    rows = [
        measure(group, label, find_references(group, candidates))
        for group, label in zip(groups, labels(groups), strict=True)
    ]
    problems = [f"{text}: left out of the table." for text in left_out.values()]
    problems += _missing_seeds(rows) + _missing_references(rows)
    return Section(runs[0].config["sequence"], rows, _notes(rows), problems)


def _missing_seeds(rows: Sequence[Row]) -> list[str]:
    every = {seed for row in rows for seed in row.group.seeds}
    lacking = {row.label: sorted(every.difference(row.group.seeds)) for row in rows}
    return [
        f"{label} lacks seeds that other rows have: {', '.join(map(str, seeds))}."
        for label, seeds in lacking.items()
        if seeds
    ]


def _missing_references(rows: Sequence[Row]) -> list[str]:
    texts = []
    for row in rows:
        if missing := row.references.missing:
            names = ", ".join(missing)
            sentence = f"Forward transfer needs reference runs that are not there: {names}."
            texts.append((" ".join([sentence, *row.references.near]), row.label))
    return _by_rows(texts, len(rows))


def _notes(rows: Sequence[Row]) -> list[str]:
    """How to read the numbers, as far as these rows need it."""
    if not rows:
        return []
    notes = [
        f"n counts seeds; in brackets {LEVEL:.0%} bootstrap intervals over seeds; performance and "
        f"forgetting average the last {min(WINDOW, _evals(rows[0]))} evaluations."
    ]
    if any(len(row.group.seeds) == 1 for row in rows):
        notes.append(f"One seed has no interval: [{DASH}].")
    texts: list[tuple[str, str]] = []
    for row in rows:
        texts += [(text, row.label) for text in _reference_notes(row)]
        if row.group.interleaved:
            texts.append((INTERLEAVED, row.label))
    return notes + _by_rows(texts, len(rows)) + _inexact(rows)


def _evals(row: Row) -> int:
    return int(row.group.config["evaluation"]["evals_per_task"])


def _reference_notes(row: Row) -> list[str]:
    references, texts = row.references, []
    counts = {name: len(group.seeds) for name, group in references.groups.items()}
    if counts:
        used = ", ".join(
            f"{name} ({n} seed{'s' * (n > 1)}: {', '.join(references.groups[name].directories)})"
            for name, n in counts.items()
        )
        texts.append(f"References: {used}.")
    if len(set(counts.values())) > 1 and not references.missing:
        texts.append(f"{min(counts.values())} seeds of every reference are used, the smallest n.")
    if counts and min(counts.values()) == 1:
        texts.append("References of one seed add nothing to the interval of forward transfer.")
    if references.differences:
        differences = "; ".join(references.differences)
        texts.append(f"Settings that the references do not share: {differences}.")
    if row.transfer and row.transfer.solved:
        names = _names(row, row.transfer.solved)
        texts.append(
            f"Left out of forward transfer, as the reference always succeeds: {names} "
            f"({len(row.transfer.solved)} of {len(row.group.tasks)} tasks)."
        )
    if row.transfer and row.transfer.nearly_solved:
        names = _names(row, row.transfer.nearly_solved)
        texts.append(f"Forward transfer is ill-conditioned (reference AUC above 0.95): {names}.")
    return texts


def _names(row: Row, tasks: Sequence[int]) -> str:
    return ", ".join(f"{row.group.tasks[task]} (task {task})" for task in tasks)


def _inexact(rows: Sequence[Row]) -> list[str]:
    runs = [run for row in rows for run in row.group.runs if run.info.get("resumed_inexact")]
    return [f"{run.directory} was resumed inexactly." for run in runs]


def _by_rows(texts: Sequence[tuple[str, str]], rows: int) -> list[str]:
    """Each text once, with the labels of its rows in front unless it holds for all."""
    whose: dict[str, list[str]] = {}
    for text, label in texts:
        whose.setdefault(text, []).append(label)
    return [
        text if len(names) == rows else f"{', '.join(names)}: {text}"
        for text, names in whose.items()
    ]


def _title(sequence: dict[str, Any]) -> str:
    name = sequence.get("name") or ", ".join(sequence["tasks"])
    n, steps = len(sequence["tasks"]), sequence["steps_per_task"]
    title = f"{name}: {n} task{'s' * (n > 1)} of {steps:,} steps"
    known = ("name", "tasks", "steps_per_task", "interleaved")
    rest = [f"{key} {value}" for key, value in sequence.items() if key not in known]
    return ", ".join([title, *rest])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(value: Any) -> Any:
    """Values as JSON takes them: arrays and tuples as lists, NaN as null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
