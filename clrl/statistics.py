"""Bootstrap intervals over seeds, as Continual World computes them.

Source: awarelab/continual_world, `results_processing/tables.py` (arXiv 2105.10919): 90 % percentile
intervals from 4,000 resamples, quantiles by midpoint, the generator seeded with 0 before each.
"""

from collections.abc import Callable

import numpy as np

LEVEL = 0.9
RESAMPLES = 4000

Sampler = np.random.RandomState | np.random.Generator
Interval = tuple[float, float]


def fresh_sampler() -> np.random.RandomState:
    """A generator for one interval; with it intervals equal those of the original benchmark."""
    return np.random.RandomState(0)


def resampled_means(rows: np.ndarray, rng: Sampler, resamples: int = RESAMPLES) -> np.ndarray:
    """Means over rows drawn with replacement.

    Args:
        rows: [S, ...] one row per seed; a row is drawn whole.
        rng: Draws `choice(S, (resamples, S))`, nothing else.
        resamples: How many means.

    Returns:
        [resamples, ...]
    """
    chosen = rng.choice(len(rows), (resamples, len(rows)))
    return rows[chosen].mean(axis=1)


def percentile_interval(statistics: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """The middle `level` of resampled statistics [resamples, ...], as [2, ...] (low, high).

    >>> percentile_interval(np.arange(21.0)).tolist()
    [1.0, 19.0]
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    return np.quantile(statistics, np.round(tails, 12), axis=0, method="midpoint")


def mean_interval(values: np.ndarray, rng: Sampler) -> Interval | None:
    """Interval of a mean over seeds.

    Args:
        values: [S] one number per seed.
        rng: Generator of the resamples.

    Returns:
        (low, high); None for a single seed, whose spread is unknown.
    """
    if len(values) < 2:
        return None
    low, high = percentile_interval(resampled_means(values, rng))
    return float(low), float(high)


def two_sample_interval(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rows: np.ndarray,
    reference_rows: np.ndarray,
    rng: Sampler,
) -> Interval | None:
    """Interval of a statistic of two means whose rows are drawn independently, `rows` first.

    Args:
        statistic: From means [R, N] and reference means [R, N] to [R].
        rows: [S, N]
        reference_rows: [S_b, N]
        rng: Generator of the resamples.

    Returns:
        (low, high); None for a single seed or where a resample leaves the statistic undefined.
    """
    if len(rows) < 2:
        return None
    means = resampled_means(rows, rng)
    low, high = percentile_interval(statistic(means, resampled_means(reference_rows, rng)))
    return None if np.isnan(low) else (float(low), float(high))


def curve_intervals(
    curves: np.ndarray, rng: Sampler, resamples: int = 1000, block: int = 500
) -> np.ndarray:
    """Intervals at every point of a curve, the same resamples of seeds for all points.

    Args:
        curves: [S, ...] one curve per seed; NaN where it is not known.
        rng: Generator of the resamples.
        resamples: Fewer than a table's: an interval in a plot is read to a pixel.
        block: Points taken at once, which bounds the memory.

    Returns:
        [2, ...] (low, high); for a single seed both are NaN.
    """
    points = curves.reshape(len(curves), -1)
    bounds = np.full((2, points.shape[1]), np.nan)
    if len(curves) > 1:
        chosen = rng.choice(len(curves), (resamples, len(curves)))
        for start in range(0, points.shape[1], block):
            part = slice(start, start + block)
            bounds[:, part] = percentile_interval(points[:, part][chosen].mean(axis=1))
    return bounds.reshape(2, *curves.shape[1:])
