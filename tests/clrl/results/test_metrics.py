"""Metrics against worked examples (hand-checked, and equal to Continual World's own code)."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clrl.results import metrics
from clrl.results.metrics import (
    MissingEvaluation,
    auc,
    backward_transfer,
    forgetting,
    forward_transfer,
    performance,
)


def rows(text: str) -> np.ndarray:
    return np.array([[float(x) for x in row.split()] for row in text.replace("|", " ").split(";")])


# 3 tasks (rows) of 6 evaluations each, 2 seeds, 2 references per task.
SEED_0 = rows("""
    0 .2 .4 .6 .8 1 | .9 .8 .7 .6 .5 .5 | .4 .4 .3 .3 .2 .2;
    0 0 0 0 0 0 | .1 .3 .5 .7 .9 .9 | .9 .8 .8 .7 .7 .6;
    0 0 0 0 0 0 | 0 0 .1 .1 .1 .1 | .2 .4 .6 .8 1 1""")
SEED_1 = rows("""
    0 .1 .3 .5 .7 .9 | .9 .9 .8 .8 .8 .7 | .6 .6 .5 .5 .5 .4;
    0 0 0 0 0 0 | .2 .4 .6 .8 .8 1 | 1 .9 .9 .9 .8 .8;
    0 0 0 0 0 0 | 0 0 0 0 .1 .1 | .1 .3 .5 .7 .9 .9""")
SUCCESS = np.stack([SEED_0.T, SEED_1.T])
REFERENCES = np.stack(
    [
        rows("0 .2 .4 .6 .8 .8; 0 .1 .2 .5 .7 .9").mean(axis=1),
        rows("0 .1 .2 .4 .6 .7; .1 .1 .3 .5 .7 .7").mean(axis=1),
        rows("0 .2 .5 .7 .9 .9; .1 .3 .6 .8 .9 1").mean(axis=1),
    ],
    axis=1,
)

rates = st.floats(0, 1)


def some_success(seeds: int = 3, n: int = 4, tasks: int = 3) -> st.SearchStrategy[np.ndarray]:
    return arrays(float, (seeds, n * tasks, tasks), elements=rates)


def test_worked_example_gives_the_means_at_both_ends() -> None:
    np.testing.assert_allclose(
        metrics.final_score(SUCCESS, 5), [[0.28, 0.72, 0.76], [0.50, 0.86, 0.66]], atol=1e-12
    )
    np.testing.assert_allclose(
        metrics.learned_score(SUCCESS, 5), [[0.60, 0.66, 0.76], [0.50, 0.72, 0.66]], atol=1e-12
    )


def test_worked_example_gives_performance_forgetting_and_backward_transfer() -> None:
    forgotten = forgetting(SUCCESS, 5)

    np.testing.assert_allclose(forgotten, [[0.32, -0.06, 0], [0, -0.14, 0]], atol=1e-12)
    assert performance(SUCCESS, 5).mean() == pytest.approx(0.63, abs=1e-12)
    assert forgotten.mean() == pytest.approx(0.02, abs=1e-12)
    assert forgotten[:, :-1].mean() == pytest.approx(0.03, abs=1e-12)
    assert backward_transfer(SUCCESS, 5).mean() == pytest.approx(-0.03, abs=1e-12)


def test_worked_example_gives_the_last_point_versions() -> None:
    assert performance(SUCCESS, window=1).mean() == pytest.approx(0.65, abs=1e-12)
    assert forgetting(SUCCESS, window=1).mean() == pytest.approx(0.30, abs=1e-12)


def test_worked_example_gives_the_areas_under_the_curves() -> None:
    np.testing.assert_allclose(
        auc(SUCCESS),
        [[0.5, 0.566667, 0.666667], [0.416667, 0.633333, 0.566667]],
        atol=5e-7,
    )
    np.testing.assert_allclose(
        REFERENCES, [[0.466667, 0.333333, 0.533333], [0.4, 0.4, 0.616667]], atol=5e-7
    )


def test_worked_example_gives_forward_transfer() -> None:
    transfer = forward_transfer(auc(SUCCESS), REFERENCES)

    np.testing.assert_allclose(
        transfer.per_task, [0.0441177, 0.3684211, 0.0980392], rtol=0, atol=6e-8
    )
    assert transfer.mean == pytest.approx(0.1701926385, abs=5e-11)
    assert transfer.unnormalized == pytest.approx(0.1, abs=1e-12)
    assert transfer.solved == transfer.nearly_solved == ()


def test_forward_transfer_is_no_mean_of_pairs_and_no_global_ratio() -> None:
    own = auc(SUCCESS)
    pairs = ((own - REFERENCES) / (1 - REFERENCES)).mean()
    overall = (own.mean() - REFERENCES.mean()) / (1 - REFERENCES.mean())
    assert pairs == pytest.approx(0.1640743616, abs=5e-11)
    assert overall == pytest.approx(0.1846153846, abs=5e-11)

    value = forward_transfer(own, REFERENCES).mean

    assert abs(value - pairs) > 1e-3
    assert abs(value - overall) > 1e-3


def tail(success: np.ndarray, task: int, until: int, window: int) -> np.ndarray:
    """The original's `tail(5)`: the last rows of a task's column of those up to a step."""
    steps = 20_000 * np.arange(1, success.shape[1] + 1)
    rows = [success[:, k, task] for k, step in enumerate(steps) if step <= 20_000 * until]
    return np.mean(rows[-window:], axis=0)


@pytest.mark.parametrize("window", [1, 2, 5, 7, 24])
@pytest.mark.parametrize(("n", "tasks"), [(1, 4), (2, 3), (4, 6), (5, 2), (6, 4), (8, 3), (24, 1)])
def test_a_window_takes_the_originals_tail_across_the_start_of_a_block(
    n: int, tasks: int, window: int
) -> None:
    success = np.random.default_rng(n).random((3, n * tasks, tasks))
    learned, final = (
        np.stack([tail(success, i, end(i), window) for i in range(tasks)], axis=1)
        for end in (lambda i: (i + 1) * n, lambda i: n * tasks)
    )

    np.testing.assert_allclose(metrics.learned_score(success, window), learned, atol=1e-15)
    np.testing.assert_allclose(metrics.final_score(success, window), final, atol=1e-15)
    np.testing.assert_allclose(forgetting(success, window), learned - final, atol=1e-15)
    np.testing.assert_allclose(performance(success, window), final.mean(axis=1), atol=1e-15)


@pytest.mark.parametrize(("n", "window"), [(1, 1), (6, 1), (19, 1), (20, 2), (50, 5), (100, 10)])
def test_by_default_a_tenth_of_a_tasks_evaluations_is_averaged(n: int, window: int) -> None:
    success = np.random.default_rng(n).random((2, n * 2, 2))
    for metric in (performance, forgetting, backward_transfer, metrics.final_score):
        np.testing.assert_array_equal(metric(success), metric(success, window))
    assert metrics.learned_range(success[:, :, :1]) == metrics.learned_range(
        success[:, :, :1], max(1, 2 * n // 10)
    )


def test_what_falls_within_a_few_evaluations_is_forgotten() -> None:
    """A task is learned in its last two evaluations of six, kept for a moment, and lost."""
    curve = [0, 0, 0, 0.1, 0.9, 1, 0.9, 0.5, 0.2, 0.2, 0.2, 0.1]
    success = np.stack([curve, np.zeros(12)], axis=1)[None]
    assert forgetting(success)[0, 0] == pytest.approx(0.9)
    assert forgetting(success, 5)[0, 0] == pytest.approx(0.4 - 0.24)


def test_a_solved_reference_leaves_its_task_out_and_names_it() -> None:
    own = np.array([[0.5, 0.5, 0.5]])

    transfer = forward_transfer(own, np.array([[0.0, 1.0, 0.96]]))

    assert np.isnan(transfer.per_task[1])
    assert transfer.mean == pytest.approx((0.5 + (0.5 - 0.96) / 0.04) / 2)
    assert transfer.solved == (1,)
    assert transfer.nearly_solved == (2,)


def test_forward_transfer_is_nan_when_every_reference_is_solved() -> None:
    transfer = forward_transfer(np.ones((2, 2)), np.ones((3, 2)))

    assert np.isnan(transfer.mean)
    assert transfer.solved == (0, 1)


def test_forward_transfer_refuses_references_of_other_tasks() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 2\)"):
        forward_transfer(np.ones((2, 3)), np.ones((2, 2)))


def test_metrics_use_only_the_cells_they_are_defined_on() -> None:
    n, tasks = 6, 3
    economical = np.full_like(SUCCESS, np.nan)
    for task in range(tasks):
        block = slice(task * n, (task + 1) * n)
        economical[:, block, task] = SUCCESS[:, block, task]
    economical[:, -5:] = SUCCESS[:, -5:]

    for metric in (performance, forgetting, backward_transfer):
        np.testing.assert_array_equal(metric(economical, 5), metric(SUCCESS, 5))
        np.testing.assert_array_equal(metric(economical), metric(SUCCESS))
    np.testing.assert_array_equal(auc(economical), auc(SUCCESS))


@pytest.mark.parametrize(
    ("cell", "metric"),
    [
        ((1, 2, 0), auc),  # its own block
        ((1, 5, 0), forgetting),  # the end of its own block
        ((1, 17, 0), forgetting),  # the end of the run
        ((0, 17, 1), performance),
        ((1, 4, 0), lambda scores: forgetting(scores, 5)),
        ((1, 5, 1), lambda scores: forgetting(scores, 7)),  # before its own block
        ((0, 13, 1), lambda scores: performance(scores, 5)),
    ],
)
def test_a_missing_cell_is_named(
    cell: tuple[int, int, int], metric: Callable[[np.ndarray], np.ndarray]
) -> None:
    success = SUCCESS.copy()
    success[cell] = np.nan

    with pytest.raises(MissingEvaluation) as error:
        metric(success)

    assert (error.value.seed, error.value.evaluation, error.value.task) == cell


def test_evaluations_must_be_whole_per_task() -> None:
    with pytest.raises(ValueError, match="7 evaluations"):
        performance(np.zeros((1, 7, 2)))


def test_backward_transfer_of_one_task_is_not_defined() -> None:
    assert np.isnan(backward_transfer(np.ones((2, 5, 1)))).all()


def test_the_range_of_a_task_goes_from_the_first_evaluation_to_the_last_window() -> None:
    curves = np.array([[-9, -5, -2, -2, -2, -1, -1], [-7, -6, -3, -2, -1, -1, -2.0]])[:, :, None]

    assert metrics.learned_range(curves, window=5) == pytest.approx((-8, -1.7), abs=1e-12)
    assert metrics.learned_range(curves, window=1) == pytest.approx((-8, -1.5), abs=1e-12)


def test_normalised_scores_are_shares_of_each_tasks_range() -> None:
    ranges = np.array([[-200, -100], [0, 1], [3, 3], [5, 2], [np.nan, np.nan]])

    shares = metrics.normalised(np.array([[-150, 0.25, 3, 3, 3], [-250, 1, 4, 4, 4]]), ranges)

    np.testing.assert_array_equal(shares, [[0.5, 0.25, *[np.nan] * 3], [-0.5, 1, *[np.nan] * 3]])


@given(some_success())
def test_a_range_of_0_to_1_changes_no_bit(scores: np.ndarray) -> None:
    areas = auc(scores)
    ranges = np.array([[0.0, 1.0]] * 3)
    assert metrics.normalised(areas, ranges).tobytes() == areas.tobytes()


@given(some_success())
def test_bounds_hold_for_any_success(success: np.ndarray) -> None:
    for values in (performance(success), auc(success)):
        assert ((values >= 0) & (values <= 1)).all()
    assert (forgetting(success)[:, -1] == 0).all()
    assert (np.abs(forgetting(success)) <= 1).all()


@given(some_success(), st.permutations(range(3)))
def test_order_of_seeds_changes_no_value(success: np.ndarray, order: list[int]) -> None:
    reference = np.full((2, 3), 0.5)
    np.testing.assert_allclose(performance(success[order]), performance(success)[order])
    np.testing.assert_allclose(
        forward_transfer(auc(success[order]), reference).mean,
        forward_transfer(auc(success), reference).mean,
        atol=1e-12,
    )


@given(arrays(float, (3, 4), elements=rates), arrays(float, (2, 4), elements=st.floats(0, 0.99)))
def test_forward_transfer_is_at_most_one(own: np.ndarray, reference: np.ndarray) -> None:
    assert (forward_transfer(own, reference).per_task <= 1 + 1e-12).all()


@given(arrays(float, (3, 4), elements=st.floats(0, 0.99)))
def test_forward_transfer_against_oneself_is_zero(own: np.ndarray) -> None:
    assert (forward_transfer(own, own).per_task == 0).all()


@given(arrays(float, (3, 4), elements=st.floats(0, 0.4)), st.floats(0, 0.5))
def test_a_shift_of_both_leaves_unnormalized_transfer(own: np.ndarray, shift: float) -> None:
    reference = np.full((2, 4), 0.25)
    shifted = forward_transfer(own + shift, reference + shift).unnormalized
    assert shifted == pytest.approx(forward_transfer(own, reference).unnormalized, abs=1e-12)


@given(arrays(float, (2, 4), elements=rates))
def test_forgetting_is_zero_when_scores_never_change(scores: np.ndarray) -> None:
    success = np.repeat(scores[:, None, :], 8, axis=1)
    assert np.abs(forgetting(success)).max() < 1e-15
