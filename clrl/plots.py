"""Plots of runs: average performance over steps, success of every task, the task x task matrix."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from clrl.diagnostics import diagnostics
from clrl.drawing import COLOURS, GREY, INTERVAL, caption, legend, short, thin
from clrl.groups import Group, by_sequence, identity, in_order, join, labels, shortfall
from clrl.matching import set_apart
from clrl.metrics import WINDOW, evals_per_task
from clrl.panels import average_performance_panels, task_success_panels
from clrl.results import RunData, find_runs, read_run
from clrl.statistics import curve_intervals, fresh_sampler

MOST = len(COLOURS)
"""Groups that are told apart in one pair of axes; more get a panel each."""


def plot(paths: Sequence[str | Path], out_dir: str | Path) -> list[Path]:
    """Draw all runs below some directories, one line or panel per method and configuration.

    Unfinished runs are drawn as far as they are, unless finished ones of the same configuration
    are there; reference runs are not drawn beside the runs they belong to.

    Args:
        paths: Run directories, or directories above them.
        out_dir: Where the files go; made if it is not there.

    Returns:
        Three PNG files per sequence, and a fourth where methods reported on themselves; with
        several sequences their names begin with the sequence.

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
        groups = in_order(_drawable(runs))
        many = len(groups) > MOST
        for kind, draw in (
            ("average-performance", average_performance_panels if many else average_performance),
            ("task-success", task_success_panels if many else task_success),
            ("task-matrix", task_matrix),
        ):
            files.append(out / f"{prefix}{kind}.png")
            draw(groups).savefig(files[-1], dpi=150)
        if (figure := diagnostics(groups)) is not None:
            files.append(out / f"{prefix}diagnostics.png")
            figure.savefig(files[-1], dpi=150)
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
    changing = [group for group in groups if not group.interleaved]
    if changing:
        _boundaries(axes, changing[0])
    axes.set_ylabel("success, mean over tasks")
    axes.set_xlabel("steps")
    axes.set_xlim(0, groups[0].steps[-1])
    legend(figure, axes, "Average performance over all tasks")
    n = len(groups[0].tasks)
    gaps = any(np.isnan(group.success).any() for group in groups)
    _caption(
        figure, groups,
        f"Success of the stochastic evaluation episodes, averaged over all {n} tasks of "
        f"{groups[0].config['sequence'].get('name', 'the sequence')}"
        + "; the dotted lines are task changes" * bool(changing) + "."
        + gaps * " Shown where every task was evaluated." + _turns(groups),
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
    thinned = [thin(group) for group in groups]
    for task, axes in enumerate(panels.flat):
        if task >= len(tasks):
            axes.set_visible(False)
            continue
        if not all(group.interleaved for group in groups):
            axes.axvspan(task * block, (task + 1) * block, color="#EAEAEA", linewidth=0)
        for index, (curve, name) in enumerate(zip(thinned, labels(groups), strict=True)):
            _curve(axes, curve[0], curve[1][:, :, task], index, name)
        axes.set_title(f"{task} {short(tasks[task])}", loc="left", fontsize=9)
        axes.tick_params(labelbottom=task + across >= len(tasks), labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlim(0, len(tasks) * block)
        axes.set_ylabel("success" if task % across == 0 else "", fontsize=8)
    legend(figure, panels[0, 0], "Success of every task while the sequence is learned")
    each = len(groups[0].steps) // len(thinned[0][0])
    _caption(
        figure, groups,
        "Success of the stochastic evaluation episodes over steps; shaded: the steps in which the "
        "task itself is trained." + (each > 1) * f" A point is the mean of {each} evaluations."
        + _turns(groups),
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
        names = [f"{task} {short(task_name)}" for task, task_name in enumerate(tasks)]
        axes.set_xticks(range(len(tasks)), names, rotation=90)
        block = group.config["sequence"]["steps_per_task"]
        blocks = [EngFormatter(sep="")(block * (task + 1)) for task in range(len(tasks))]
        axes.set_yticks(range(len(tasks)), blocks if group.interleaved else names)
        axes.tick_params(labelsize=8, length=0)
        axes.set_title(f"{name} (n = {len(group.seeds)})", loc="left", fontsize=10)
        axes.set_ylabel("after steps" if group.interleaved else "after training on", fontsize=9)
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
        "not trained yet. Grey: not evaluated." + _turns(groups),
    )  # fmt: skip
    return figure


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
    mean = values.mean(axis=0)
    low, high = curve_intervals(values, fresh_sampler())
    label = f"{name} (n = {len(values)})"
    axes.plot(steps, mean, color=colour, linewidth=1.3, label=label)
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
            short(name), ((task + 0.5) * block, 1.01), xycoords=("data", "axes fraction"),
            rotation=0 if len(group.tasks) < 6 else 90, ha="center", va="bottom",
            fontsize=8, color=GREY,
        )  # fmt: skip


def _turns(groups: Sequence[Group]) -> str:
    """What a caption says of multi-task runs."""
    names = [name for group, name in zip(groups, labels(groups), strict=True) if group.interleaved]
    return f" On all tasks in turn, an episode each: {', '.join(names)}." if names else ""


def _caption(figure: Figure, groups: Sequence[Group], text: str) -> None:
    if any(len(group.seeds) > 1 for group in groups):
        text += f" Bands: {INTERVAL} (n)."
    elif groups:
        text += " One seed: no interval."
    caption(figure, text)
