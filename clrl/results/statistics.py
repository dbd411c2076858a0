"""Bootstrap intervals over seeds, as Continual World computes them.

Source: awarelab/continual_world, `results_processing/tables.py` (arXiv 2105.10919): 90 % percentile
intervals from 4,000 resamples, quantiles by midpoint, the generator seeded with 0 before each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.9
RESAMPLES = 4000
DASH = "–"

Sampler = np.random.RandomState | np.random.Generator
Interval = tuple[float, float]


def fresh_sampler() -> np.random.RandomState:
    """Return a generator for one interval; with it intervals equal those of the original."""
    return np.random.RandomState(0)


def resampled_means(rows: np.ndarray, rng: Sampler, resamples: int = RESAMPLES) -> np.ndarray:
    """Return means over rows drawn with replacement.

    Args:
        rows: [S, ...] one row per seed; a row is drawn whole.
        rng: draws `choice(S, (resamples, S))`, nothing else.
        resamples: how many means.

    Returns:
        [resamples, ...]
    """
    chosen = rng.choice(len(rows), (resamples, len(rows)))
    return rows[chosen].mean(axis=1)


def percentile_interval(statistics: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return the middle `level` of resampled statistics [resamples, ...], as [2, ...] (low, high).

    >>> percentile_interval(np.arange(21.0)).tolist()
    [1.0, 19.0]
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    return np.quantile(statistics, np.round(tails, 12), axis=0, method="midpoint")


def mean_interval(values: np.ndarray, rng: Sampler) -> Interval | None:
    """Return the interval of a mean over seeds.

    Args:
        values: [S] one number per seed.
        rng: generator of the resamples.

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
    """Return the interval of a statistic of two means, rows drawn independently, `rows` first.

    Args:
        statistic: from means [R, N] and reference means [R, N] to [R].
        rows: [S, N]
        reference_rows: [S_b, N]
        rng: generator of the resamples.

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
    """Return intervals at every point of a curve, the same resamples of seeds for all points.

    Args:
        curves: [S, ...] one curve per seed; NaN where it is not known.
        rng: generator of the resamples.
        resamples: fewer than a table's: an interval in a plot is read to a pixel.
        block: points taken at once, which bounds the memory.

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


@dataclass(frozen=True)
class Estimate:
    """A value and its 90 % interval; the interval is None where it is not defined."""

    value: float
    interval: Interval | None

    def text(self, units: bool = False) -> str:
        """Return `0.63 [0.59, 0.67]`; a dash for what is not defined.

        Args:
            units: whether the number has a unit, so that its size decides on its decimals.
        """
        if np.isnan(self.value):
            return DASH
        interval = self.interval or ()
        digits = _digits(max(map(abs, (self.value, *interval)))) if units else 2
        value, *bounds = (_fixed(v, digits) for v in (self.value, *interval))
        return f"{value} [{', '.join(bounds) or DASH}]"

    def short(self, units: bool = False) -> str:
        """Return the value alone, as `text` has it."""
        return self.text(units).partition(" ")[0]

    def json(self) -> dict[str, Any]:
        """Return the same at full precision."""
        return {"value": self.value, "interval": self.interval}


UNDEFINED = Estimate(float("nan"), None)


def estimate(values: np.ndarray) -> Estimate:
    """Return the mean of one number per seed [S] with its interval; undefined with a NaN."""
    if np.isnan(values).any():
        return UNDEFINED
    return Estimate(float(values.mean()), mean_interval(values, fresh_sampler()))


def _digits(largest: float) -> int:
    """Return the decimals that show three digits of a number, six at most."""
    return 2 if largest == 0 else int(np.clip(2 - np.floor(np.log10(largest)), 0, 6))


def _fixed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text if float(text) else text.removeprefix("-")  # no -0.00
