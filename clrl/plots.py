"""Plots of runs: average performance over steps, success of every task, the task x task matrix."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from clrl.groups import Group, by_sequence, identity, join, labels, shortfall
from clrl.matching import set_apart
from clrl.metrics import WINDOW, evals_per_task
from clrl.results import RunData, find_runs, read_run
from clrl.statistics import LEVEL, curve_intervals, fresh_sampler

# Okabe and Ito's palette, told apart by colour-blind readers too; without its yellow, which
# is too pale for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":")
GREY = "#666666"
INTERVAL = f"{LEVEL:.0%} bootstrap interval over seeds"


def plot(paths: Sequence[str | Path], out_dir: str | Path) -> list[Path]:
    """Draw all runs below some directories, one line or panel per method and configuration.

    Unfinished runs are drawn as far as they are, unless finished ones of the same configuration
    are there; reference runs are not drawn beside the runs they belong to.

    Args:
        paths: Run directories, or directories above them.
        out_dir: Where the files go; made if it is not there.

    Returns:
        Three PNG files per sequence; with several sequences their names begin with the sequence.

    Raises:
        ConfigError: No run below a path, or the same seed of one configuration twice.
        DamagedData: A run cannot be read.
    """
    measured, _ = set_apart([read_run(path) for path in find_runs(paths)])
    sequences = by_sequence(measured)
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for number, runs in enumerate(sequences, start=1):
        name = re.sub(r"[^\w-]+", "-", runs[0].config["sequence"].get("name", "sequence"))[:40]
        prefix = f"{number}-{name}-" if len(sequences) > 1 else ""
        groups = _drawable(runs)
        for kind, draw in (
            ("average-performance", average_performance),
            ("task-success", task_success),
            ("task-matrix", task_matrix),
        ):
            files.append(out / f"{prefix}{kind}.png")
            draw(groups).savefig(files[-1], dpi=150)
    return files


def _drawable(runs: Sequence[RunData]) -> list[Group]:
    """Join finished runs; unfinished ones only where a configuration has nothing else."""
    finished = {identity(run.config) for run in runs if shortfall(run) is None}
    return join(
        run for run in runs if shortfall(run) is None or identity(run.config) not in finished
    )


def average_performance(groups: Sequence[Group]) -> Figure:
    """Mean success over all tasks at every evaluation, one line per group with its interval."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for index, (group, name) in enumerate(zip(groups, labels(groups), strict=True)):
        _curve(axes, group.steps, group.success.mean(axis=2), index, name)
    _boundaries(axes, groups[0])
    axes.set_ylabel("success, mean over tasks")
    axes.set_xlabel("steps")
    axes.set_xlim(0, groups[0].steps[-1])
    _legend(figure, axes, "Average performance over all tasks")
    n = len(groups[0].tasks)
    gaps = any(np.isnan(group.success).any() for group in groups)
    _caption(
        figure, groups,
        f"Success of the stochastic evaluation episodes, averaged over all {n} tasks of "
        f"{groups[0].config['sequence'].get('name', 'the sequence')}; the dotted lines are task "
        "changes." + gaps * " Shown where every task was evaluated.",
    )  # fmt: skip
    return figure


def task_success(groups: Sequence[Group]) -> Figure:
    """Success of each task over the whole run, one panel per task, its own block shaded."""
    tasks = groups[0].tasks
    across = min(len(tasks), 5 if len(tasks) > 6 else 3)
    down = -(-len(tasks) // across)
    figure = Figure(figsize=(max(2.4 * across, 7), 1.7 * down + 1.4), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    block = groups[0].config["sequence"]["steps_per_task"]
    thinned = [_thin(group) for group in groups]
    for task, axes in enumerate(panels.flat):
        if task >= len(tasks):
            axes.set_visible(False)
            continue
        axes.axvspan(task * block, (task + 1) * block, color="#EAEAEA", linewidth=0)
        for index, (curve, name) in enumerate(zip(thinned, labels(groups), strict=True)):
            _curve(axes, curve[0], curve[1][:, :, task], index, name)
        axes.set_title(f"{task} {_short(tasks[task])}", loc="left", fontsize=9)
        axes.tick_params(labelbottom=task + across >= len(tasks), labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlim(0, len(tasks) * block)
        axes.set_ylabel("success" if task % across == 0 else "", fontsize=8)
    _legend(figure, panels[0, 0], "Success of every task while the sequence is learned")
    each = len(groups[0].steps) // len(thinned[0][0])
    _caption(
        figure, groups,
        "Success of the stochastic evaluation episodes over steps; shaded: the steps in which the "
        "task itself is trained." + (each > 1) * f" A point is the mean of {each} evaluations.",
    )  # fmt: skip
    return figure


def task_matrix(groups: Sequence[Group]) -> Figure:
    """Success of every task (columns) at the end of every task's training (rows)."""
    tasks = groups[0].tasks
    across = min(len(groups), 2 if len(groups) < 5 else 3)
    down = -(-len(groups) // across)
    side = 2.2 + 0.24 * len(tasks)
    figure = Figure(figsize=(max(side * across + 1, 5.5), side * down + 1.1), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for axes in panels.flat[len(groups) :]:
        axes.set_visible(False)
    for axes, group, name in zip(panels.flat, groups, labels(groups), strict=False):
        matrix = _success_after(group)
        axes.set_facecolor("#E4E4E4")
        image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
        _numbers(axes, matrix)
        names = [f"{task} {_short(task_name)}" for task, task_name in enumerate(tasks)]
        axes.set_xticks(range(len(tasks)), names, rotation=90)
        axes.set_yticks(range(len(tasks)), names)
        axes.tick_params(labelsize=8, length=0)
        axes.set_title(f"{name} (n = {len(group.seeds)})", loc="left", fontsize=10)
        axes.set_ylabel("after training on", fontsize=9)
        axes.set_xlabel("success of", fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.6, aspect=30, label="success")
    figure.suptitle(
        "Success of every task after each task", fontweight="bold", fontsize=12, ha="left", x=0.01
    )
    window = min(WINDOW, evals_per_task(groups[0].success))
    average = f"last {window} evaluations" if window > 1 else "last evaluation"
    _caption(
        figure, [],
        f"Mean over seeds (n) and the {average} of each block. Above the diagonal: tasks "
        "not trained yet. Grey: not evaluated.",
    )  # fmt: skip
    return figure


def _thin(group: Group, most: int = 250) -> tuple[np.ndarray, np.ndarray]:
    """Steps [E'] and success [S, E', N] of at most 250 points, means of evaluations in a row.

    A small panel shows no more. The points of one block never mix with those of the next.
    """
    seeds, evaluations, tasks = group.success.shape
    n = evals_per_task(group.success)
    sizes = [size for size in range(1, n + 1) if n % size == 0]
    size = next((size for size in sizes if evaluations // size <= most), n)
    points = group.success.reshape(seeds, evaluations // size, size, tasks)
    return group.steps.reshape(-1, size).mean(axis=1), points.mean(axis=2)


def _success_after(group: Group) -> np.ndarray:
    """[N, N] success of task i (column) over the last evaluations of block k (row)."""
    n, tasks = evals_per_task(group.success), len(group.tasks)
    blocks = group.success.reshape(len(group.seeds), tasks, n, tasks)
    return blocks[:, :, -min(WINDOW, n) :].mean(axis=(0, 2))


def _numbers(axes: Axes, matrix: np.ndarray) -> None:
    """Print a matrix of at most ten tasks into its cells."""
    if len(matrix) > 10:
        return
    for (row, column), value in np.ndenumerate(matrix):
        if not np.isnan(value):
            colour = "white" if value > 0.6 else "black"
            text = f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _curve(axes: Axes, steps: np.ndarray, values: np.ndarray, index: int, name: str) -> None:
    """One line [S, E] with its interval; a point between gaps becomes a dot."""
    colour = COLOURS[index % len(COLOURS)]
    style = STYLES[index // len(COLOURS) % len(STYLES)]
    mean = values.mean(axis=0)
    low, high = curve_intervals(values, fresh_sampler())
    label = f"{name} (n = {len(values)})"
    axes.plot(steps, mean, style, color=colour, linewidth=1.3, label=label)
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    gaps = np.isnan(np.concatenate([[np.nan], mean, [np.nan]]))
    alone = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
    axes.plot(steps[alone], mean[alone], ".", color=colour)
    axes.set_ylim(0, 1.01)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)


def _boundaries(axes: Axes, group: Group) -> None:
    """Dotted lines at task changes and the tasks' names above the curves."""
    block = group.config["sequence"]["steps_per_task"]
    for task, name in enumerate(group.tasks):
        if task:
            axes.axvline(task * block, color=GREY, linewidth=0.6, linestyle=":")
        axes.annotate(
            _short(name), ((task + 0.5) * block, 1.01), xycoords=("data", "axes fraction"),
            rotation=0 if len(group.tasks) < 6 else 90, ha="center", va="bottom",
            fontsize=8, color=GREY,
        )  # fmt: skip


def _legend(figure: Figure, axes: Axes, title: str) -> None:
    """The figure's title with the names of the lines below it."""
    handles, names = axes.get_legend_handles_labels()
    characters = max(len(name) for name in names) + 8
    columns = max(1, min(len(names), int(figure.get_figwidth() * 13 / characters)))
    legend = figure.legend(
        handles, names, title=title, alignment="left", loc="outside upper left", ncols=columns,
        frameon=False, fontsize=9, title_fontproperties={"weight": "bold", "size": 12},
    )  # fmt: skip
    for line in legend.get_lines():
        line.set_linewidth(2)


def _caption(figure: Figure, groups: Sequence[Group], text: str) -> None:
    if any(len(group.seeds) > 1 for group in groups):
        text += f" Bands: {INTERVAL} (n)."
    elif groups:
        text += " One seed: no interval."
    width = int(figure.get_figwidth() * 16.5)
    figure.supxlabel(textwrap.fill(text, width), fontsize=8, color=GREY, ha="left", x=0.01)


def _short(task_name: str) -> str:
    return task_name.removesuffix("-v3")
