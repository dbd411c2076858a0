"""Figures of many groups: a panel for each, with what was measured."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from clrl.results.groups import join
from clrl.results.reading import read_run
from clrl.results.statistics import curve_intervals, fresh_sampler
from clrl.show.panels import average_performance_panels, task_score_panels
from clrl.show.plots import MOST, plot
from tests.clrl.synthetic import economical, random_success, write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")


def test_average_performance_shows_each_group_over_the_others(tmp_path: Path) -> None:
    curves = [random_success(3, 4, 3, key=key) for key in range(3)]
    for key, success in enumerate(curves):
        write_run(tmp_path / str(key), success, TASKS, method={"name": "ewc", "coef": key})
    groups = join(read_run(tmp_path / str(key)) for key in range(3))

    figure = average_performance_panels(groups)

    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"ewc (coef={key}) (n = 3)" for key in range(3)
    ]
    means = [success.mean(axis=(0, 2)) for success in curves]
    for axes, success, mean in zip(panels, curves, means, strict=True):
        lines = [np.asarray(line.get_ydata()) for line in axes.get_lines()]
        np.testing.assert_allclose(lines[:4], [*means, mean])
        low, high = curve_intervals(success.mean(axis=2), fresh_sampler())
        corners = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
        np.testing.assert_allclose([corners.min(), corners.max()], [low.min(), high.max()])


def test_task_success_is_an_image_of_tasks_and_evaluations(tmp_path: Path) -> None:
    success = economical(random_success(2, 6, 3))
    group = join([read_run(write_run(tmp_path / "run", success, TASKS))])

    axes = task_score_panels(group).axes[0]

    image = axes.images[0].get_array()
    assert image is not None
    np.testing.assert_allclose(np.ma.filled(image, np.nan), success.mean(axis=0).T)
    assert list(axes.images[0].get_extent()) == [0, 18_000, -0.5, 2.5]
    assert axes.get_ylim() == (2.5, -0.5)  # the first task above
    boxes = [patch.get_bbox().bounds for patch in axes.patches]  # type: ignore[attr-defined]
    assert boxes == [(6_000 * task, task - 0.5, 6_000, 1) for task in range(3)]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "0 hammer",
        "1 push",
        "2 reach",
    ]


def test_panels_of_returns_of_tasks_of_different_lengths(tmp_path: Path) -> None:
    scores = random_success(2, 4, 3) * 900 - 500
    scores[:, :8, 0] = np.nan
    told = {"score": "return", "steps_per_task": [400, 4000, 1600]}
    groups = join([read_run(write_run(tmp_path / "run", scores, TASKS, sequence=told))])

    axes = task_score_panels(groups).axes[0]

    image = axes.images[0]
    values = image.get_array()
    assert values is not None
    means = scores.mean(axis=0).T
    np.testing.assert_allclose(np.ma.filled(values, np.nan), means)
    assert image.get_clim() == (np.nanmin(means), np.nanmax(means))
    edges = [100, 200, 300, 400, 1400, 2400, 3400, 4400, 4800, 5200, 5600, 6000]
    assert image._Ax.tolist() == [0, *edges]  # type: ignore[attr-defined]
    boxes = [patch.get_bbox().bounds for patch in axes.patches]  # type: ignore[attr-defined]
    assert boxes == [(0, -0.5, 400, 1), (400, 0.5, 4000, 1), (4400, 1.5, 1600, 1)]
    assert axes.get_xlim() == (0, 6000)

    curves = average_performance_panels(groups).axes[0]
    changes = [line for line in curves.get_lines() if line.get_linestyle() == ":"]
    assert [np.asarray(line.get_xdata())[0] for line in changes] == [400, 4400]
    assert curves.get_ylim()[0] < np.nanmin(scores.mean(axis=(0, 2)))


def test_more_groups_than_colours_get_panels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[list[str]] = []

    def note(figure: Figure, path: Path, dpi: int) -> None:
        found = [axes.get_title(loc="left") for axes in figure.axes]
        titles.append([title for title in found if title])

    monkeypatch.setattr(Figure, "savefig", note)
    for count in (MOST, MOST + 1):
        for coef in range(count):
            run = tmp_path / str(count) / str(coef)
            method = {"name": "ewc", "coef": coef}
            write_run(run, random_success(1, 1, 2), TASKS[:2], method=method)
        plot([tmp_path / str(count)], tmp_path)

    names = [[f"ewc (coef={coef}) (n = 1)" for coef in range(n)] for n in (MOST, MOST + 1)]
    assert titles == [[], ["0 hammer", "1 push"], names[0], *[names[1]] * 3]
