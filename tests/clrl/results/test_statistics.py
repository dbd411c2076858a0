"""Intervals against worked examples, with the original benchmark's generator."""

# ruff: noqa: NPY002 - the original draws from the global generator

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clrl.results.metrics import auc, forgetting, forward_transfer, mean_of_defined, performance
from clrl.results.metrics import transfer_ratios as ratios
from clrl.results.statistics import (
    curve_intervals,
    fresh_sampler,
    mean_interval,
    percentile_interval,
    resampled_means,
    two_sample_interval,
)
from clrl.results.tables import table
from tests.clrl.synthetic import write_run


def numbers(text: str) -> np.ndarray:
    return np.array([[float(x) for x in row.split()] for row in text.split(";")])


# 2 tasks of 5 evaluations, 5 seeds (rows), 4 references per task.
TASK_1 = numbers("""
    .1 .8 .4 .7 1 .5 .5 .1 .3 .5; .6 1 .2 .5 .9 .1 .5 .8 .7 .5; .5 .4 .7 .4 .5 .7 .4 .9 .2 .7;
    1 .7 .1 .3 .6 .2 1 .9 .8 .5; .2 .4 .4 .8 .8 .5 .5 .8 .9 .7""")
TASK_2 = numbers("""
    0 0 0 0 0 .9 .2 .5 .9 0; 0 0 0 0 0 .8 .8 .3 .6 .3; 0 0 0 0 0 0 .1 .7 .5 .7;
    0 0 0 0 0 .5 .1 .3 .3 .3; 0 0 0 0 0 .5 .8 .7 .1 .7""")
SUCCESS = np.stack([TASK_1, TASK_2], axis=2)
REFERENCES = np.stack(
    [
        numbers(".1 .4 .4 .6 .8; 0 .4 .7 .8 .8; .1 .5 .5 .6 .8; .1 .1 .2 .7 .9").mean(axis=1),
        numbers(".2 .2 .6 .8 .9; 0 .3 .5 .8 1; .2 .2 .4 .9 .9; .2 .7 .7 .8 .8").mean(axis=1),
    ],
    axis=1,
)


def mean_ratio(own: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return mean_of_defined(ratios(own, reference))


def test_performance_and_its_interval_equal_the_worked_example() -> None:
    scores = performance(SUCCESS, 5)

    assert scores.mean() == pytest.approx(0.516, abs=1e-12)
    assert mean_interval(scores, fresh_sampler()) == pytest.approx((0.47, 0.562), abs=1e-12)


def test_forgetting_and_its_interval_equal_the_worked_example() -> None:
    scores = forgetting(SUCCESS, 5).mean(axis=1)

    assert scores.mean() == pytest.approx(-0.004, abs=1e-12)
    assert mean_interval(scores, fresh_sampler()) == pytest.approx((-0.06, 0.054), abs=1e-12)


def test_forward_transfer_and_its_interval_equal_the_worked_example() -> None:
    own = auc(SUCCESS)
    transfer = forward_transfer(own, REFERENCES)

    np.testing.assert_allclose(transfer.per_task, [0.1619047619, -0.2044943820], atol=5e-11)
    assert transfer.mean == pytest.approx(-0.0212948101, abs=5e-11)
    interval = two_sample_interval(mean_ratio, own, REFERENCES, fresh_sampler())
    assert interval == pytest.approx((-0.1385339754, 0.0858965897), abs=5e-11)


def test_another_generator_gives_other_intervals() -> None:
    forgotten, own = forgetting(SUCCESS, 5).mean(axis=1), auc(SUCCESS)

    low_high = mean_interval(forgotten, np.random.default_rng(0))
    transfer = two_sample_interval(mean_ratio, own, REFERENCES, np.random.default_rng(0))

    assert low_high is not None
    assert low_high[1] == pytest.approx(0.052, abs=1e-12)
    assert transfer == pytest.approx((-0.1365016502, 0.0838405632), abs=5e-11)


def test_references_are_resampled_second() -> None:
    own, rng = auc(SUCCESS), fresh_sampler()
    reference_means = resampled_means(REFERENCES, rng)
    wrong = percentile_interval(mean_ratio(resampled_means(own, rng), reference_means))
    np.testing.assert_allclose(wrong, (-0.1362176411, 0.0812602291), atol=5e-11)

    right = two_sample_interval(mean_ratio, own, REFERENCES, fresh_sampler())

    assert right is not None
    assert abs(right[0] - wrong[0]) > 1e-3


def test_two_seeds_give_the_intervals_of_the_first_worked_example() -> None:
    performances, forgotten = np.array([1.76, 2.02]) / 3, np.array([0.26, -0.14]) / 3
    own = np.array([[3.0, 3.4, 4.0], [2.5, 3.8, 3.4]]) / 6
    reference = np.array([[2.8, 2.0, 3.2], [2.4, 2.4, 3.7]]) / 6

    assert mean_interval(performances, fresh_sampler()) == pytest.approx(
        (0.586667, 0.673333), abs=5e-7
    )
    assert mean_interval(forgotten, fresh_sampler()) == pytest.approx(
        (-0.046667, 0.086667), abs=5e-7
    )
    assert two_sample_interval(mean_ratio, own, reference, fresh_sampler()) == pytest.approx(
        (0.0954106280, 0.2327380952), abs=5e-11
    )


def test_one_seed_has_no_interval() -> None:
    assert mean_interval(np.array([0.5]), fresh_sampler()) is None
    assert two_sample_interval(mean_ratio, np.ones((1, 2)), REFERENCES, fresh_sampler()) is None
    assert np.isnan(curve_intervals(np.ones((1, 3, 2)), fresh_sampler())).all()


def test_an_undefined_statistic_has_no_interval() -> None:
    solved = np.ones((2, 2))
    assert two_sample_interval(mean_ratio, solved, solved, fresh_sampler()) is None


@settings(max_examples=20, deadline=None)
@given(arrays(float, st.integers(2, 8), elements=st.floats(0, 1)))
def test_interval_is_ordered_and_within_the_values(values: np.ndarray) -> None:
    interval = mean_interval(values, fresh_sampler())
    assert interval is not None
    low, high = interval
    assert values.min() - 1e-12 <= low <= high <= values.max() + 1e-12


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.01, 0.5), min_size=2, max_size=6))
def test_interval_of_symmetric_values_holds_their_mean(offsets: list[float]) -> None:
    interval = mean_interval(0.5 + np.array(offsets + [-x for x in offsets]), fresh_sampler())
    assert interval is not None
    assert interval[0] <= 0.5 <= interval[1]


def test_interval_of_equal_values_is_that_value() -> None:
    assert mean_interval(np.full(5, 0.25), fresh_sampler()) == (0.25, 0.25)


def test_every_point_of_a_curve_has_the_interval_of_its_mean() -> None:
    curves = np.random.default_rng(3).random((4, 7, 2))

    low, high = curve_intervals(curves, fresh_sampler(), resamples=4000, block=3)

    for e, task in ((0, 0), (6, 1)):
        expected = mean_interval(curves[:, e, task], fresh_sampler())
        assert (low[e, task], high[e, task]) == pytest.approx(expected, abs=1e-12)


def test_a_curve_keeps_its_gaps() -> None:
    curves = np.array([[0.1, np.nan], [0.3, 0.5]])

    low, high = curve_intervals(curves, fresh_sampler())

    assert 0.1 <= low[0] <= high[0] <= 0.3
    assert np.isnan([low[1], high[1]]).all()


def original_interval(values: dict[int, np.ndarray], references: dict[int, np.ndarray]) -> Any:
    """The original's: rows sorted by the seed's text, a generator seeded with 0 before each."""
    rows = np.stack([values[int(seed)] for seed in sorted(map(str, values))])
    bases = np.stack([references[int(seed)] for seed in sorted(map(str, references))])
    means, random = [], np.random.RandomState(0)
    for part in (rows, bases):
        means.append(part[random.choice(len(part), (4000, len(part)))].mean(axis=1))
    ratios_of_means = ((means[0] - means[1]) / (1 - means[1])).mean(axis=1)
    random = np.random.RandomState(0)
    performances = rows[random.choice(len(rows), (4000, len(rows)))].mean(axis=(1, 2))
    return [
        np.quantile(found, (0.05, 0.95), method="midpoint")
        for found in (performances, ratios_of_means)
    ]


@pytest.mark.parametrize("seeds", [range(12), (3, 20, 100, 7), range(5)])
def test_tables_resample_seeds_in_the_order_of_their_text(
    tmp_path: Path, seeds: Sequence[int]
) -> None:
    n, others, tasks = len(seeds), range(8, 21), ("push-v3", "reach-v3")
    rates = np.random.default_rng(n).random((n, 2)) / 2
    bases = np.random.default_rng(50).random((len(others), 2)) / 2
    write_run(tmp_path / "run", np.repeat(rates[:, None], 4, axis=1), tasks, seeds)
    for task, name in enumerate(tasks):
        curves = np.repeat(bases[:, None, [task]], 2, axis=1)
        write_run(tmp_path / name, curves[:6], [name], others[:6])
        write_run(tmp_path / f"{name}-more", curves[6:], [name], others[6:])

    (section,) = table([tmp_path]).sections

    (row,) = section.rows
    performance_bounds, transfer_bounds = original_interval(
        dict(zip(seeds, rates, strict=True)), dict(zip(others, bases, strict=True))
    )
    assert row.performance.interval == pytest.approx(performance_bounds, abs=1e-12)
    assert row.forward_transfer.interval == pytest.approx(transfer_bounds, abs=1e-12)
    ascending = mean_interval(rates.mean(axis=1), fresh_sampler())
    if n == 12:
        assert row.performance.interval != pytest.approx(ascending, abs=1e-6)
