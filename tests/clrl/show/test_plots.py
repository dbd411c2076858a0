"""Plots: what is drawn is what was measured."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from clrl.errors import ConfigError
from clrl.results.groups import join
from clrl.results.reading import read_run
from clrl.results.record import METRICS_FILE
from clrl.results.statistics import curve_intervals, fresh_sampler
from clrl.show.plots import average_performance, plot, task_matrix, task_scores
from tests.clrl.synthetic import economical, random_success, write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")
KINDS = ("average-performance.png", "task-success.png", "task-matrix.png")


def first_line(axes: Axes) -> np.ndarray:
    return np.asarray(axes.get_lines()[0].get_ydata())


def is_png(path: Path) -> bool:
    return path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 10_000


def test_one_run_gives_three_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", random_success(1, 4, 3), TASKS)

    files = plot([run], tmp_path / "deep" / "plots")

    assert [file.name for file in files] == list(KINDS)
    assert all(is_png(file) for file in files)


def test_returns_are_drawn_where_no_success_is_reported(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", random_success(1, 4, 3), TASKS)
    text = re.sub(
        '"success(_last)?": [0-9.]+', r'"success\1": null', (run / METRICS_FILE).read_text()
    )
    (run / METRICS_FILE).write_text(text)

    assert [file.name for file in plot([run], tmp_path)][1] == "task-return.png"
    figure = average_performance(join([read_run(run)]))
    assert figure.axes[0].get_ylabel() == "return, mean over tasks"
    assert "Return of the stochastic" in figure._supxlabel.get_text()  # type: ignore[attr-defined]


def test_curves_at_0_and_1_lie_within_the_axes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", np.zeros((1, 4, 3)), TASKS)
    for axes in task_scores(join([read_run(run)])).axes:
        low, high = axes.get_ylim()
        assert low < 0 and high > 1


def test_two_sequences_give_files_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", random_success(2, 4, 3), TASKS)
    write_run(tmp_path / "runs" / "b", random_success(2, 4, 2), TASKS[:2], sequence={"name": "b"})

    files = plot([tmp_path / "runs"], tmp_path)

    assert [file.name for file in files] == [f"1-made-up-{kind}" for kind in KINDS] + [
        f"2-b-{kind}" for kind in KINDS
    ]


def test_average_performance_is_the_mean_over_tasks_with_its_interval(tmp_path: Path) -> None:
    success = random_success(4, 5, 3)
    group = join([read_run(write_run(tmp_path / "run", success, TASKS))])

    figure = average_performance(group)

    (axes,) = figure.axes
    expected = success.mean(axis=2)
    np.testing.assert_allclose(first_line(axes), expected.mean(axis=0))
    low, high = curve_intervals(expected, fresh_sampler())
    corners = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert np.isin(np.round(low, 9), np.round(corners, 9)).all()
    assert np.isin(np.round(high, 9), np.round(corners, 9)).all()
    assert "finetuning (n = 4)" in [line.get_label() for line in axes.get_lines()]
    assert [line.get_xdata()[0] for line in axes.get_lines()[2:]] == [5000, 10000]  # type: ignore[index]


def test_every_task_has_a_panel_with_its_own_curve(tmp_path: Path) -> None:
    success = random_success(2, 4, 3)
    group = join([read_run(write_run(tmp_path / "run", success, TASKS))])

    panels = task_scores(group).axes

    assert [axes.get_title(loc="left") for axes in panels] == ["0 hammer", "1 push", "2 reach"]
    for task, axes in enumerate(panels):
        np.testing.assert_allclose(first_line(axes), success.mean(axis=0)[:, task])


def test_long_curves_are_thinned_within_blocks_and_this_is_said(tmp_path: Path) -> None:
    success = random_success(1, 300, 1)
    group = join([read_run(write_run(tmp_path / "run", success, TASKS[:1]))])

    figure = task_scores(group)

    np.testing.assert_allclose(
        first_line(figure.axes[0]), success[0, :, 0].reshape(150, 2).mean(axis=1)
    )
    assert "mean of 2 evaluations" in " ".join(figure._supxlabel.get_text().split())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("n", "window", "said"),
    [
        (6, 1, "the last evaluation of a block"),
        (50, 5, "the mean of the last 5 evaluations of a block"),
    ],
)
def test_matrix_shows_success_at_the_end_of_each_block(
    tmp_path: Path, n: int, window: int, said: str
) -> None:
    success = random_success(3, n, 3)
    group = join([read_run(write_run(tmp_path / "run", success, TASKS))])

    figure = task_matrix(group)
    image = figure.axes[0].images[0].get_array()

    assert image is not None
    for block in range(3):
        last = success[:, (block + 1) * n - window : (block + 1) * n]
        np.testing.assert_allclose(np.asarray(image)[block], last.mean(axis=(0, 1)))
    assert f"after each task: {said}" in " ".join(figure.get_suptitle().split())


def test_matrix_leaves_out_what_was_not_evaluated(tmp_path: Path) -> None:
    success = economical(random_success(2, 6, 3))
    group = join([read_run(write_run(tmp_path / "run", success, TASKS))])

    image = task_matrix(group).axes[0].images[0].get_array()

    assert image is not None
    assert np.ma.getmaskarray(image).tolist() == [
        [False, True, True],
        [True, False, True],
        [False, False, False],
    ]


LENGTHS = {"steps_per_task": [400, 4000, 1600]}
EVALUATIONS = [100, 200, 300, 400, 1400, 2400, 3400, 4400, 4800, 5200, 5600, 6000]


def test_tasks_of_different_lengths_stand_where_they_are(tmp_path: Path) -> None:
    success = random_success(2, 4, 3)
    group = join([read_run(write_run(tmp_path / "run", success, TASKS, sequence=LENGTHS))])

    (axes,) = average_performance(group).axes

    assert np.asarray(axes.get_lines()[0].get_xdata()).tolist() == EVALUATIONS
    assert axes.get_xlim() == (0, 6000)
    changes = [line for line in axes.get_lines() if line.get_linestyle() == ":"]
    assert [np.asarray(line.get_xdata())[0] for line in changes] == [400, 4400]
    assert [text.xy[0] for text in axes.texts] == [200, 2400, 5200]  # type: ignore[attr-defined]
    shaded = [panel.patches[0].get_extents() for panel in task_scores(group).axes]
    inverse = [panel.transData.inverted() for panel in task_scores(group).axes]
    found = [tuple(i.transform(box)[:, 0].round()) for i, box in zip(inverse, shaded, strict=True)]
    assert found == [(0, 400), (400, 4400), (4400, 6000)]


def test_the_matrix_of_interleaved_tasks_names_the_true_steps(tmp_path: Path) -> None:
    told = {**LENGTHS, "interleaved": True}
    run = write_run(tmp_path / "run", random_success(2, 4, 3), TASKS, sequence=told)
    axes = task_matrix(join([read_run(run)])).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["400", "4.4k", "6k"]


def test_returns_are_drawn_as_far_as_they_go_and_named(tmp_path: Path) -> None:
    scores = random_success(2, 4, 3) * np.array([10, 3000, -60_000]) - 50
    run = write_run(tmp_path / "run", scores, TASKS, sequence={"score": "return"})
    groups = join([read_run(run)])

    average = average_performance(groups)
    (axes,) = average.axes
    assert axes.get_ylabel() == "return, mean over tasks"
    low, high = axes.get_ylim()
    assert low < scores.mean(axis=2).min() and high > scores.mean(axis=2).max() - 1
    assert average._supxlabel.get_text().startswith("Return of the stochastic evaluation ep")  # type: ignore[attr-defined]

    for task, panel in enumerate(task_scores(groups).axes):
        low, high = panel.get_ylim()
        values = scores[:, :, task].mean(axis=0)
        assert low < values.min() and values.max() < high < low + 3 * np.ptp(scores[:, :, task])

    figure = task_matrix(groups)
    image = figure.axes[0].images[0]
    matrix = np.asarray(image.get_array())
    assert image.get_clim() == (matrix.min(), matrix.max())
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 9 and texts[2].endswith("k") and len(max(texts, key=len)) <= 5
    assert [axes.get_ylabel() for axes in figure.axes] == ["after training on", "return"]

    names = [path.name for path in plot([run], tmp_path / "plots")]
    assert names == ["average-performance.png", "task-return.png", "task-matrix.png"]


@pytest.mark.filterwarnings("error")
def test_twenty_tasks_of_one_seed_are_drawn_without_a_warning(tmp_path: Path) -> None:
    for index in range(2):
        write_run(
            tmp_path / "runs" / str(index),
            economical(random_success(1, 2, 20, key=index)),
            [f"task-{i}-v3" for i in range(20)],
            method={"name": "ewc", "coef": index},
        )

    files = plot([tmp_path / "runs"], tmp_path)

    assert all(is_png(file) for file in files)


def test_an_unfinished_run_is_drawn_only_if_there_is_no_finished_one(tmp_path: Path) -> None:
    success = random_success(2, 4, 3)
    cut = success.copy()
    cut[:, 7:] = np.nan
    write_run(tmp_path / "runs" / "a", cut, TASKS, seeds=(0, 1), state="running")
    alone = plot([tmp_path / "runs"], tmp_path / "alone")[0].read_bytes()
    write_run(tmp_path / "runs" / "b", success, TASKS, seeds=(2, 3))
    both = plot([tmp_path / "runs"], tmp_path / "both")[0].read_bytes()
    finished = plot([tmp_path / "runs" / "b"], tmp_path / "finished")[0].read_bytes()

    assert both == finished
    assert alone != finished


def test_reference_runs_are_not_drawn_beside_their_run(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", random_success(2, 4, 3), TASKS)
    write_run(tmp_path / "runs" / "reference", random_success(2, 4, 1), TASKS[:1])

    assert len(plot([tmp_path / "runs"], tmp_path)) == 3


def test_a_directory_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        plot([tmp_path], tmp_path / "out")
