"""Published results, and a table of them beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from clrl.results.notes import steps_text
from clrl.results.rows import Measured
from clrl.results.statistics import DASH, UNDEFINED, Estimate

if TYPE_CHECKING:
    from clrl.results.tables import Section

METRICS = ("performance", "forgetting", "forward_transfer")
LABEL = (
    "Published: {sources}; CW20, multi-task rows CW10 in 10,000,000 steps, RT reference transfer; "
    "90 % intervals over 20 seeds. These are numbers of Meta-World v1, ours of v3, where "
    "thresholds, positions, rewards and observations are others: an ordering to compare with, not "
    f"a target. Theirs are of SAC, told the task, and average 5 of 50 evaluations. [{DASH}]: no "
    "interval."
)


@dataclass(frozen=True)
class Published:
    """One row of the published table.

    Attributes:
        method: as in METHODS; RT is no method but reference transfer.
        source: where it was published.
        performance, forgetting, forward_transfer: with 90 % intervals; undefined where the source
            gives none.
    """

    method: str
    source: str
    performance: Estimate
    forgetting: Estimate
    forward_transfer: Estimate

    def json(self) -> dict[str, Any]:
        """Return the row for `clrl table --json`."""
        numbers = {metric: getattr(self, metric).json() for metric in METRICS}
        return {"method": self.method, "source": self.source, **numbers}


def read_published() -> list[Published]:
    """Read the results that come with the package, in the order of the published table."""
    file = resources.files("clrl.reference") / "cw20.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [
        Published(
            row["method"],
            data["sources"][row["source"]],
            *(_estimate(row.get(metric)) for metric in METRICS),
        )
        for row in data["rows"]
    ]


def _estimate(numbers: float | list[float] | None) -> Estimate:
    """Return a value, [value, low, high] or nothing as an estimate."""
    if numbers is None:
        return UNDEFINED
    value, *interval = numbers if isinstance(numbers, list) else [numbers]
    return Estimate(value, (interval[0], interval[1]) if interval else None)


def beside(sections: Sequence[Section]) -> str:
    """Return Markdown: every published row with our rows of its method, then our other rows.

    Args:
        sections: our tables; those that cannot be compared are left out and named.
    """
    left_out = [f"{_name(section)}: {why}" for section in sections if (why := _unlike(section))]
    sections = [section for section in sections if not _unlike(section)]
    names = [_name(section) for section in sections]
    rows = [row for section in sections for row in section.rows]
    ours = [
        (row, ", ".join([_label(row, rows)] + [name] * (len(sections) > 1)))
        for section, name in zip(sections, names, strict=True)
        for row in section.rows
    ]
    theirs = read_published()
    lines = []
    for known in theirs:
        same = [(row, label) for row, label in ours if row.group.method == known.method]
        beside_it = [_cells(label, row, known) for row, label in same]
        lines += beside_it or [_cells(known.method, None, known)]
    methods = {known.method for known in theirs}
    lines += [_cells(label, row, None) for row, label in ours if row.group.method not in methods]
    head = ["method", "n"]
    for metric in METRICS:
        head += [metric.replace("_", " "), "published"]
    sources = " and ".join(dict.fromkeys(known.source for known in theirs))
    table = [head, ["---"] + ["---:"] * (len(head) - 1), *lines]
    return "\n".join([
        "### Beside the published numbers",
        "",
        *(f"| {' | '.join(cells)} |" for cells in table),
        "",
        f"* {LABEL.format(sources=sources)}",
        f"* Ours: {' and '.join(section.heading for section in sections) or 'none'}.",
        *([f"* Not beside them: {'; '.join(left_out)}."] if left_out else []),
    ])  # fmt: skip


def _unlike(section: Section) -> str | None:
    """Say why no row of a table can stand beside the published ones; None if some can."""
    if len(section.sequence["tasks"]) == 1:
        return "a single task"
    if section.score.name != "success":
        return f"measured by {section.score.name}"
    if section.sequence["family"] != "metaworld":
        return f"worlds of the family {section.sequence['family']}"
    return None


def _label(row: Measured, rows: Sequence[Measured]) -> str:
    """Name a row with what sets it apart from the published ones, unless its label has it.

    Args:
        row: the row.
        rows: all of ours: where they differ in their learner, each names its own.
    """
    config, label = row.group.config, row.label
    learners = {other.group.config["learner"]["name"] for other in rows}
    settings = []
    if learners != {"sac"}:
        settings.append(f"learner.name={config['learner']['name']}")
    if (reveals := config["sequence"]["reveals"]) != "task":
        settings.append(f"reveals={reveals}")
    if more := ", ".join(text for text in settings if text not in label):
        return f"{label.removesuffix(')')}, {more})" if "(" in label else f"{label} ({more})"
    return label


def _cells(label: str, ours: Measured | None, theirs: Published | None) -> list[str]:
    cells = [label, str(len(ours.group.seeds)) if ours else DASH]
    for metric in METRICS:
        cells += [getattr(row, metric).text() if row else DASH for row in (ours, theirs)]
    return cells


def _name(section: Section) -> str:
    sequence = section.sequence
    name = sequence.get("name") or ", ".join(sequence["tasks"])
    return f"{name} ({len(sequence['tasks'])} x {steps_text(sequence['steps_per_task'])})"
