"""What shows a method at work: everything that learner and method report about it, over steps."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import reduce

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from clrl.errors import DamagedData
from clrl.results.groups import Group, labels
from clrl.results.reading import RunData
from clrl.results.record import TRAIN_FILE, read_lines
from clrl.show.style import COLOURS, caption, heading, steps_axis, task_changes

OF_THE_LEARNER = ("actor", "critic", "alpha", "policy", "value", "classifier")
"""Parts whose quantities (losses, entropy, ...) show the learner; all others are drawn."""
POINTS = 200
"""Of a line: more cannot be told apart in a small panel."""
ACROSS = 4
WIDE = 100.0
"""Largest over smallest value from which a panel's axis is logarithmic."""
DECADES = 9
"""Most decades of a logarithmic axis that begins at 0; what is smaller lies between."""


def diagnostics(groups: Sequence[Group]) -> Figure | None:
    """Draw one panel for each quantity of each group, the groups one after the other.

    Gradient norms share a panel, and so do quantities whose names differ in their last part only
    (`method/importance/q50`, `method/importance/q99`).

    Returns:
        None if no run reported anything.
    """
    panels = [
        (group, f"{label}: {_title(family)}", steps, lines)
        for group, label in zip(groups, labels(groups), strict=True)
        for family, (steps, lines) in _families(group).items()
    ]
    if not panels:
        return None
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(max(2.7 * across, 5.4), 1.85 * down + 0.8), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index < len(panels):
            _panel(axes, *panels[index])
        else:
            axes.set_visible(False)
    heading(figure, "Methods at work")
    caption(figure, _reading(groups))
    return figure


def read_reports(run: RunData) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read a run's `train.jsonl`.

    Returns:
        steps [T] and for each reported quantity its values [S, T], NaN where a line lacks it.

    Raises:
        DamagedData: a line that does not fit.
    """
    path = run.directory / TRAIN_FILE
    if not path.exists():
        return np.empty(0), {}
    rows = [row for _, row in read_lines(path) if "event" not in row]
    try:
        steps, places = np.unique([row["step"] for row in rows], return_inverse=True)
        seeds = [run.seeds.index(row["seed"]) for row in rows]
    except (KeyError, ValueError) as wrong:
        raise DamagedData(f"{path} does not fit the run: {wrong}") from None
    values: dict[str, np.ndarray] = {}
    for row, seed, place in zip(rows, seeds, places, strict=True):
        for name, value in row.items():
            part, _, rest = name.partition("/")
            if rest and part not in OF_THE_LEARNER and isinstance(value, (int, float)):
                if name not in values:
                    values[name] = np.full((len(run.seeds), len(steps)), np.nan)
                values[name][seed, place] = value
    return steps, values


def _families(group: Group) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Return {family: (steps [T], {name in the panel: values [S, T]})} at the steps all have."""
    reports = [report for report in map(read_reports, group.runs) if len(report[0])]
    steps = reduce(np.intersect1d, [steps for steps, _ in reports]) if reports else np.empty(0)
    families: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
    for name in dict.fromkeys(name for _, values in reports for name in values):
        rows = []
        for own_steps, values in reports:
            missing = np.full((1, len(own_steps)), np.nan)
            rows.append(values.get(name, missing)[:, np.isin(own_steps, steps)])
        joined = np.concatenate(rows)
        if np.isnan(joined).all():
            continue
        points, thinned = _thin(steps, joined)
        words = name.split("/")
        depth = 1 if words[0] == "gradient" else 2
        family = families.setdefault("/".join(words[:depth]), (points, {}))
        family[1]["/".join(words[depth:])] = thinned
    return dict(sorted(families.items()))


def _thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of points in a row, at most POINTS; NaN does not count."""
    size = -(-len(steps) // POINTS)
    starts = np.arange(0, len(steps), size)
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0), starts, axis=1)
    count = np.add.reduceat(known, starts, axis=1, dtype=int)
    ends = np.append(starts[1:], len(steps)) - 1
    with np.errstate(invalid="ignore"):
        return (steps[starts] + steps[ends]) / 2, total / count


def _title(family: str) -> str:
    if family == "gradient":
        return "gradient norm"
    return family.removeprefix("method/").replace("/", " ").replace("_", " ")


def _panel(
    axes: Axes, group: Group, title: str, steps: np.ndarray, lines: dict[str, np.ndarray]
) -> None:
    for index, (name, values) in enumerate(lines.items()):
        known = ~np.isnan(values).all(axis=0)
        at, own = steps[known], values[:, known]
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(at, np.nanmean(own, axis=0), color=colour, linewidth=1.1, label=name)
        low, high = np.nanmin(own, axis=0), np.nanmax(own, axis=0)
        axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
    task_changes(axes, group)
    axes.set_title(textwrap.fill(title, 38), loc="left", fontsize=9)
    steps_axis(axes, group)
    _scale(axes, np.concatenate([values.ravel() for values in lines.values()]))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(
            fontsize=7, ncols=2, handlelength=1, labelspacing=0.2, columnspacing=1, borderpad=0.2,
            edgecolor="none", framealpha=0.7,
        )  # fmt: skip


def _scale(axes: Axes, values: np.ndarray) -> None:
    """Make a logarithmic axis where positive values differ by more than WIDE, with room for zeros.

    Otherwise a linear one, from 0 if nothing is negative.
    """
    values = values[~np.isnan(values)]
    positive = values[values > 0]
    if values.min() < 0 or not len(positive) or positive.max() <= WIDE * positive.min():
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylim(bottom=min(0, values.min()))
        return
    low, high = np.log10(positive.min()), np.log10(positive.max())
    if values.min() > 0:
        axes.set_yscale("log")
        ticks = _powers(low, high)
    else:
        ticks = _powers(max(np.floor(low), np.floor(high) - DECADES), high)
        axes.set_yscale("symlog", linthresh=ticks[0], linscale=0.5 * (high - low) / 3)
        axes.set_ylim(bottom=0)
        ticks.insert(0, 0.0)
    axes.set_yticks(ticks)
    axes.yaxis.set_minor_locator(NullLocator())


def _powers(low: float, high: float) -> list[float]:
    """Return at most four powers of ten, evenly spaced, from 10^low up to 10^high."""
    exponents = np.arange(np.ceil(low), high + 1e-9)
    return list(10.0 ** exponents[:: -(-len(exponents) // 4)])


def _reading(groups: Sequence[Group]) -> str:
    text = (
        "What learner and method report while they train; gradient norms at the weights that the "
        "method protects: rl of the learner's own losses, penalty of what the method adds. Dotted "
        "lines: task changes."
    )
    if any(len(group.seeds) > 1 for group in groups):
        text += " Lines: mean over seeds; bands: from the lowest to the highest seed."
    return text
