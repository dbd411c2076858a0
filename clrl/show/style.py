"""What all figures share: colours, the title with its legend, the caption, fewer points."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from clrl.config.scores import Score
from clrl.results.groups import Group
from clrl.results.metrics import evals_per_task
from clrl.results.statistics import LEVEL

# Okabe and Ito's palette, told apart by colour-blind readers too; without its yellow, which
# is too pale for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#666666"
INTERVAL = f"{LEVEL:.0%} bootstrap interval over seeds"


def legend(figure: Figure, axes: Axes, title: str) -> None:
    """Write the figure's title with the names of the lines below it."""
    handles, names = axes.get_legend_handles_labels()
    characters = max(len(name) for name in names) + 8
    columns = max(1, min(len(names), int(figure.get_figwidth() * 13 / characters)))
    figure.set_figheight(figure.get_figheight() + 0.18 * ((len(names) - 1) // columns))
    drawn = figure.legend(
        handles, names, title=title, alignment="left", loc="outside upper left", ncols=columns,
        frameon=False, fontsize=9, title_fontproperties={"weight": "bold", "size": 12},
    )  # fmt: skip
    for line in drawn.get_lines():
        line.set_linewidth(2)


def heading(figure: Figure, title: str) -> None:
    """Write the title of a figure without a legend."""
    title = textwrap.fill(title, int(figure.get_figwidth() * 9.5))
    figure.suptitle(title, fontweight="bold", fontsize=12, ha="left", x=0.01)


def caption(figure: Figure, text: str) -> None:
    """Write a paragraph below everything."""
    width = int(figure.get_figwidth() * 16.5)
    figure.supxlabel(textwrap.fill(text, width), fontsize=8, color=GREY, ha="left", x=0.01)


def source(score: Score) -> str:
    """Return what a caption says of the numbers: "Return of the stochastic ... episodes"."""
    return f"{score.name.capitalize()} of {score.source}"


def score_axis(axes: Axes, score: Score) -> None:
    """Let rates be seen from 0 to 1, and numbers without bounds as far as they go."""
    if score.bounds is not None:
        axes.set_ylim(score.bounds[0] - 0.015, score.bounds[1] + 0.015)  # room for lines at both


def colours_of(score: Score, values: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return how an image shows scores: from 0 to 1, or between the least and the most there is."""
    low, high = score.bounds or _span(np.concatenate([part.ravel() for part in values]))
    return {"vmin": low, "vmax": high, "cmap": "Blues"}


def _span(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def cell_text(score: Score, value: float) -> str:
    """Return a score as a cell of an image shows it: `.63`, `1`, `-42`, `1.2k`."""
    if score.bounds is not None:
        return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
    size, unit = next((u for u in units if abs(value) >= 0.9995 * u[0]), units[-1])
    text = f"{value / size:.{0 if abs(value) >= 9.95 * size else 1}f}"
    return text + unit if float(text) else "0"


def steps_axis(axes: Axes, group: Group) -> None:
    """Lay out a small panel's axis of steps."""
    axes.set_xlim(0, group.steps[-1])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def task_changes(axes: Axes, group: Group) -> None:
    """Draw a small panel's dotted lines where the task changes."""
    for change in group.changes:
        axes.axvline(change, color=GREY, linewidth=0.6, linestyle=":")


def short(task_name: str) -> str:
    """Return a task's name without Meta-World's version."""
    return task_name.removesuffix("-v3")


def thin(group: Group, most: int = 250) -> tuple[np.ndarray, np.ndarray]:
    """Return steps [E'] and scores [S, E', N] of at most 250 points, means of evaluations in a row.

    A small panel shows no more. The points of one block never mix with those of the next.
    """
    seeds, evaluations, tasks = group.scores.shape
    n = evals_per_task(group.scores)
    sizes = [size for size in range(1, n + 1) if n % size == 0]
    size = next((size for size in sizes if evaluations // size <= most), n)
    points = group.scores.reshape(seeds, evaluations // size, size, tasks)
    return group.steps.reshape(-1, size).mean(axis=1), points.mean(axis=2)
