"""Figures for more groups than one pair of axes can hold: a panel for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from clrl.results.groups import Group, labels
from clrl.results.statistics import curve_intervals, fresh_sampler
from clrl.show.style import (
    COLOURS,
    INTERVAL,
    caption,
    colours_of,
    heading,
    score_axis,
    short,
    source,
    steps_axis,
    task_changes,
    thin,
)

ACROSS = 4


def average_performance_panels(groups: Sequence[Group]) -> Figure:
    """Draw the mean score over all tasks: each group's curve over those of all the others."""
    figure, panels = _grid(groups, 1.75, "Average performance over all tasks")
    means = [group.scores.mean(axis=2) for group in groups]
    for axes, group, values in zip(panels, groups, means, strict=True):
        for other in means:
            axes.plot(group.steps, other.mean(axis=0), color="#D0D0D0", linewidth=0.6)
        low, high = curve_intervals(values, fresh_sampler())
        axes.fill_between(group.steps, low, high, color=COLOURS[0], alpha=0.25, linewidth=0)
        axes.plot(group.steps, values.mean(axis=0), color=COLOURS[0], linewidth=1.5)
        task_changes(axes, group)
        score_axis(axes, group.score)
        axes.spines[["top", "right"]].set_visible(False)
    text = (
        f"{source(groups[0].score)}, averaged over all {len(groups[0].tasks)} "
        "tasks; dotted: task changes. Grey: the other panels' curves."
    )
    caption(figure, text + f" Bands: {INTERVAL} (n)." * any(len(v) > 1 for v in means))
    return figure


def task_score_panels(groups: Sequence[Group]) -> Figure:
    """Draw every task's score over the whole run, an image of tasks x evaluations per group.

    An evaluation is as wide as the steps before it.
    """
    tasks, score = groups[0].tasks, groups[0].score
    height = 0.9 + 0.14 * len(tasks)
    figure, panels = _grid(
        groups, height, f"{score.name.capitalize()} of every task while the sequence is learned"
    )
    means = [thin(group)[1].mean(axis=0) for group in groups]
    colours = colours_of(score, means)
    for axes, group, mean in zip(panels, groups, means, strict=True):
        axes.set_facecolor("#E4E4E4")
        ends = group.steps.reshape(len(mean), -1)[:, -1]
        rows = np.arange(len(tasks) + 1) - 0.5
        image = axes.pcolorfast(np.append(0, ends), rows, np.ma.masked_invalid(mean.T), **colours)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        for task in range(0 if group.interleaved else len(tasks)):
            start, length = group.schedule.start(task), group.schedule.lengths[task]
            box = Rectangle((start, task - 0.5), length, 1, fill=False, linewidth=0.8)
            axes.add_patch(box)
        axes.set_yticks(range(len(tasks)), [f"{i} {short(t)}" for i, t in enumerate(tasks)])
        axes.tick_params(length=2)
    figure.colorbar(image, ax=list(panels), shrink=0.6, aspect=30, label=score.name)
    caption(
        figure,
        f"{source(score)} over steps, mean over seeds (n); outlined: "
        "the steps in which the task is trained; in runs without outlines tasks take turns. "
        "Grey: not evaluated.",
    )
    return figure


def _grid(groups: Sequence[Group], height: float, title: str) -> tuple[Figure, list[Axes]]:
    """Make one panel per group with its name; axes are labelled at the left and at the bottom."""
    down = -(-len(groups) // ACROSS)
    figure = Figure(figsize=(2.7 * ACROSS, height * down + 0.9), layout="constrained")
    grid = figure.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False)
    heading(figure, title)
    panels = list(grid.flat)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    for index, (axes, group, name) in enumerate(zip(panels, groups, labels(groups), strict=False)):
        axes.set_title(f"{name} (n = {len(group.seeds)})", loc="left", fontsize=9)
        steps_axis(axes, group)
        axes.tick_params(labelsize=8, labelbottom=index + ACROSS >= len(groups))
    return figure, panels[: len(groups)]
