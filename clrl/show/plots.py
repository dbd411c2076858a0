"""Plots of runs: average performance over steps, score of every task, the task x task matrix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from clrl.config.scores import Score, window
from clrl.results.groups import (
    Group,
    by_sequence,
    identity,
    in_order,
    join,
    labels,
    whole_and_short,
)
from clrl.results.metrics import evals_per_task
from clrl.results.notes import averaged
from clrl.results.reading import RunData, find_runs, read_run
from clrl.results.references.apart import set_apart
from clrl.results.statistics import curve_intervals, fresh_sampler
from clrl.show.diagnostics import diagnostics
from clrl.show.panels import average_performance_panels, task_score_panels
from clrl.show.style import (
    COLOURS,
    GREY,
    INTERVAL,
    caption,
    cell_text,
    colours_of,
    heading,
    legend,
    score_axis,
    short,
    source,
    task_changes,
    thin,
)

MOST = len(COLOURS)
"""Groups that are told apart in one pair of axes; more get a panel each."""


def plot(paths: Sequence[str | Path], out_dir: str | Path) -> list[Path]:
    """Draw all runs below some directories, one line or panel per method and configuration.

    Unfinished runs are drawn as far as they are, unless finished ones of the same configuration
    are there; reference runs are not drawn beside the runs they belong to.

    Args:
        paths: run directories, or directories above them.
        out_dir: where the files go; made if it is not there.

    Returns:
        three PNG files per sequence, and a fourth where methods reported on themselves; with
        several sequences their names begin with the sequence.

    Raises:
        ConfigError: no run below a path, or the same seed of one configuration twice.
        DamagedData: a run cannot be read.
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
            (f"task-{groups[0].score.name}", task_score_panels if many else task_scores),
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
    whole, _ = whole_and_short(runs)
    finished = {identity(run.config) for run in whole}
    return join(run for run in runs if run in whole or identity(run.config) not in finished)


def average_performance(groups: Sequence[Group]) -> Figure:
    """Draw the mean score over all tasks at every evaluation, a line with its interval each."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for index, (group, name) in enumerate(zip(groups, labels(groups), strict=True)):
        _curve(axes, group, group.steps, group.scores.mean(axis=2), index, name)
    changing = [group for group in groups if not group.interleaved]
    if changing:
        _boundaries(axes, changing[0])
    score = groups[0].score
    axes.set_ylabel(f"{score.name}, mean over tasks")
    axes.set_xlabel("steps")
    axes.set_xlim(0, groups[0].steps[-1])
    legend(figure, axes, "Average performance over all tasks")
    n = len(groups[0].tasks)
    gaps = any(np.isnan(group.scores).any() for group in groups)
    _caption(
        figure, groups,
        f"{source(score)}, averaged over all {n} tasks of "
        f"{groups[0].config['sequence'].get('name', 'the sequence')}"
        + "; the dotted lines are task changes" * bool(changing) + "."
        + gaps * " Shown where every task was evaluated." + _turns(groups),
    )  # fmt: skip
    return figure


def task_scores(groups: Sequence[Group]) -> Figure:
    """Draw each task's score over the whole run, one panel per task, its own block shaded."""
    tasks, score, schedule = groups[0].tasks, groups[0].score, groups[0].schedule
    across = min(len(tasks), 5 if len(tasks) > 6 else 3)
    down = -(-len(tasks) // across)
    figure = Figure(figsize=(max(2.4 * across, 7), 1.7 * down + 1.4), layout="constrained")
    comparable = score.bounds is not None  # returns of one task may be thousands of another's
    panels = figure.subplots(down, across, sharex=True, sharey=comparable, squeeze=False)
    thinned, names = [thin(group) for group in groups], labels(groups)
    for task, axes in enumerate(panels.flat):
        if task >= len(tasks):
            axes.set_visible(False)
            continue
        if not all(group.interleaved for group in groups):
            axes.axvspan(schedule.start(task), schedule.end(task), color="#EAEAEA", linewidth=0)
        named = zip(groups, thinned, names, strict=True)
        for index, (group, (steps, curves), name) in enumerate(named):
            _curve(axes, group, steps, curves[:, :, task], index, name)
        axes.set_title(f"{task} {short(tasks[task])}", loc="left", fontsize=9)
        axes.tick_params(labelbottom=task + across >= len(tasks), labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlim(0, schedule.total)
        axes.set_ylabel(score.name if task % across == 0 else "", fontsize=8)
    legend(
        figure,
        panels[0, 0],
        f"{score.name.capitalize()} of every task while the sequence is learned",
    )
    each = len(groups[0].steps) // len(thinned[0][0])
    _caption(
        figure, groups,
        f"{source(score)} over steps; shaded: the steps in which the "
        "task itself is trained." + (each > 1) * f" A point is the mean of {each} evaluations."
        + " Every panel has an axis of its own." * (not comparable) + _turns(groups),
    )  # fmt: skip
    return figure


def task_matrix(groups: Sequence[Group]) -> Figure:
    """Draw the score of every task (columns) at the end of every task's training (rows)."""
    tasks, score = groups[0].tasks, groups[0].score
    across = min(len(groups), 2 if len(groups) < 5 else 3)
    down = -(-len(groups) // across)
    side = 2.2 + 0.24 * len(tasks)
    figure = Figure(figsize=(max(side * across + 1, 5.5), side * down + 1.1), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for axes in panels.flat[len(groups) :]:
        axes.set_visible(False)
    matrices = [_score_after(group) for group in groups]
    colours = colours_of(score, matrices)
    low, high = colours["vmin"], colours["vmax"]
    for axes, group, name, matrix in zip(
        panels.flat, groups, labels(groups), matrices, strict=False
    ):
        axes.set_facecolor("#E4E4E4")
        image = axes.imshow(matrix, **colours)
        _numbers(axes, score, matrix, dark=low + 0.6 * (high - low))
        names = [f"{task} {short(task_name)}" for task, task_name in enumerate(tasks)]
        axes.set_xticks(range(len(tasks)), names, rotation=90)
        blocks = [EngFormatter(sep="")(end) for end in group.schedule.ends]
        axes.set_yticks(range(len(tasks)), blocks if group.interleaved else names)
        axes.tick_params(labelsize=8, length=0)
        axes.set_title(f"{name} (n = {len(group.seeds)})", loc="left", fontsize=10)
        axes.set_ylabel("after steps" if group.interleaved else "after training on", fontsize=9)
        axes.set_xlabel(f"{score.name} of", fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.6, aspect=30, label=score.name)
    n = evals_per_task(groups[0].scores)
    average = averaged(window(n))
    heading(
        figure, f"{score.name.capitalize()} of every task after each task: {average} of a block"
    )
    _caption(
        figure, [],
        f"Mean over seeds (n). Each block has {n} evaluation{'s' * (n > 1)}. Above the diagonal: "
        "tasks not trained yet. Grey: not evaluated." + _turns(groups),
    )  # fmt: skip
    return figure


def _score_after(group: Group) -> np.ndarray:
    """Return the score of task i (column) over the last evaluations of block k (row), [N, N]."""
    n, tasks = evals_per_task(group.scores), len(group.tasks)
    blocks = group.scores.reshape(len(group.seeds), tasks, n, tasks)
    return blocks[:, :, -window(n) :].mean(axis=(0, 2))


def _numbers(axes: Axes, score: Score, matrix: np.ndarray, dark: float) -> None:
    """Print a matrix of at most ten tasks into its cells, in white above `dark`."""
    if len(matrix) > 10:
        return
    for (row, column), value in np.ndenumerate(matrix):
        if not np.isnan(value):
            colour = "white" if value > dark else "black"
            text = cell_text(score, value)
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _curve(
    axes: Axes, group: Group, steps: np.ndarray, values: np.ndarray, index: int, name: str
) -> None:
    """Draw one line [S, E] with its interval; a point between gaps becomes a dot."""
    colour = COLOURS[index % len(COLOURS)]
    mean = values.mean(axis=0)
    low, high = curve_intervals(values, fresh_sampler())
    label = f"{name} (n = {len(values)})"
    axes.plot(steps, mean, color=colour, linewidth=1.3, label=label)
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    gaps = np.isnan(np.concatenate([[np.nan], mean, [np.nan]]))
    alone = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
    axes.plot(steps[alone], mean[alone], ".", color=colour)
    score_axis(axes, group.score)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)


def _boundaries(axes: Axes, group: Group) -> None:
    """Draw dotted lines at task changes and write the tasks' names above the curves."""
    task_changes(axes, group)
    schedule = group.schedule
    narrow = min(schedule.lengths) <= schedule.total / 6
    for task, name in enumerate(group.tasks):
        axes.annotate(
            short(name), ((schedule.start(task) + schedule.end(task)) / 2, 1.01),
            xycoords=("data", "axes fraction"),
            rotation=90 if narrow else 0, ha="center", va="bottom",
            fontsize=8, color=GREY,
        )  # fmt: skip


def _turns(groups: Sequence[Group]) -> str:
    """Return what a caption says of multi-task runs."""
    names = [name for group, name in zip(groups, labels(groups), strict=True) if group.interleaved]
    return f" On all tasks in turn, an episode each: {', '.join(names)}." if names else ""


def _caption(figure: Figure, groups: Sequence[Group], text: str) -> None:
    if any(len(group.seeds) > 1 for group in groups):
        text += f" Bands: {INTERVAL} (n)."
    elif groups:
        text += " One seed: no interval."
    caption(figure, text)
