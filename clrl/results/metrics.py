"""What an agent keeps, loses and gains: pure functions on arrays of scores.

`scores` are success rates, returns or accuracies with axes seeds x evaluations x tasks, [S, E, N]:
every task's block holds n = E / N evaluations, whatever its length in steps (20,000 steps apart in
the published setting, none at step 0), so block i is `scores[:, i * n : (i + 1) * n]`. Cells may be
NaN (not evaluated); a metric reads only the cells it is defined on and raises `MissingEvaluation`
if one of those is NaN.

Tasks are numbered i = 1..N in formulas, p_i(k) is the score of task i at evaluation k, K = N n,
and w evaluations are averaged where a formula says "last": `window`, or by default a tenth of n, at
least one. They are the last of all before that moment, also across the start of a task's block
where w is above n: what the original calls `tail(5)`.

Source: Continual World (arXiv 2105.10919, section 4.1) as its released code computes it
(awarelab/continual_world, `results_processing/tables.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clrl.config.scores import window as default_window

SOLVED = 1e-6
"""A reference whose AUC is this close to 1 leaves nothing to gain: no forward transfer."""

NEARLY_SOLVED = 0.05
"""Below this distance from 1 the division makes forward transfer very large or very negative."""


class MissingEvaluation(ValueError):
    """A metric needs a cell that is NaN.

    Attributes:
        seed: place on the axis of seeds.
        evaluation: place on the axis of evaluations.
        task: place on the axis of tasks.
    """

    def __init__(self, seed: int, evaluation: int, task: int):
        super().__init__(
            f"task {task} has no score at evaluation {evaluation + 1} (seed number {seed})"
        )
        self.seed, self.evaluation, self.task = seed, evaluation, task


def evals_per_task(scores: np.ndarray) -> int:
    """Return the number n of evaluations in one task's block.

    Raises:
        ValueError: the evaluations are no whole multiple of the tasks.
    """
    evaluations, tasks = scores.shape[-2:]
    if evaluations == 0 or evaluations % tasks:
        raise ValueError(f"{evaluations} evaluations are no whole number per task ({tasks} tasks)")
    return evaluations // tasks


def _last(scores: np.ndarray, task: int, end: int, window: int | None) -> np.ndarray:
    """Return a task's scores [S, w] at the last evaluations before `end`."""
    w = default_window(evals_per_task(scores)) if window is None else window
    return _known(scores, max(0, end - w), end, task)


def _known(scores: np.ndarray, start: int, end: int, task: int) -> np.ndarray:
    cells = scores[:, start:end, task]
    missing = np.argwhere(np.isnan(cells))
    if len(missing):
        raise MissingEvaluation(int(missing[0, 0]), start + int(missing[0, 1]), task)
    return cells


def final_score(scores: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return every task's score at the end of the run: mean of p_i(k) over k = K-w+1..K, [S, N]."""
    tasks, end = range(scores.shape[2]), scores.shape[1]
    return np.stack([_last(scores, i, end, window).mean(axis=1) for i in tasks], axis=1)


def learned_score(scores: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return every task's score at the end of its own block: mean over the last w, [S, N]."""
    n = evals_per_task(scores)
    ends = range(n, scores.shape[1] + 1, n)
    lasts = (_last(scores, task, end, window) for task, end in enumerate(ends))
    return np.stack([last.mean(axis=1) for last in lasts], axis=1)


def performance(scores: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return performance P = (1/N) sum_i (mean of p_i over the last w evaluations of the run), [S].

    Source: arXiv 2105.10919, section 4.1. With `window=1` it is the textbook P(T).

    >>> performance(np.array([[[0.5, 0.0], [0.3, 0.7]]])).tolist()
    [0.5]
    """
    return final_score(scores, window).mean(axis=1)


def forgetting(scores: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return forgetting F_i = (own block's last w) - (run's last w), [S, N]; positive is forgotten.

    The last column is 0. The published F is the mean over all N tasks, the last one included.
    Source: arXiv 2105.10919, section 4.1.

    >>> forgetting(np.array([[[0.5, 0.0], [0.25, 0.7]]])).tolist()
    [[0.25, 0.0]]
    """
    return learned_score(scores, window) - final_score(scores, window)


def backward_transfer(scores: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return backward transfer BWT = (1/(N-1)) sum_{i<N} (p_i(T) - p_i(end of block i)), [S].

    NaN for a single task. Source: Lopez-Paz & Ranzato 2017 (GEM, arXiv 1706.08840), with the window
    of Continual World.
    """
    if scores.shape[2] == 1:
        return np.full(len(scores), np.nan)
    return -forgetting(scores, window)[:, :-1].mean(axis=1)


def auc(scores: np.ndarray) -> np.ndarray:
    """Return the area under a task's own curve: AUC_i = (1/n) sum of p_i over block i, [S, N].

    The plain mean of the n evaluations: no point at step 0, no trapezoid.
    Source: `results_processing/tables.py`.
    """
    n = evals_per_task(scores)
    blocks = (_known(scores, i * n, (i + 1) * n, i) for i in range(scores.shape[2]))
    return np.stack([block.mean(axis=1) for block in blocks], axis=1)


def learned_range(scores: np.ndarray, window: int | None = None) -> tuple[float, float]:
    """Return between which scores single-task runs [S, E, 1] learn their task.

    From the mean over seeds of the first evaluation to the mean of the last w.

    >>> learned_range(np.array([[[-8.0], [-2.0]], [[-6.0], [-4.0]]]), window=1)
    (-7.0, -3.0)
    """
    return float(_known(scores, 0, 1, 0).mean()), float(final_score(scores, window).mean())


def normalised(values: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Return values [..., N] as shares of each task's range [N, 2]: (value - low) / (high - low).

    NaN for a task whose range is not known or not above 0: nothing was learned there.

    >>> normalised(np.array([-5.0, 0.5, 3.0]), np.array([[-7, -3], [0, 1], [2, 2]])).tolist()
    [0.5, 0.5, nan]
    """
    low, room = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
    return (values - low) / np.where(room > 0, room, np.nan)


@dataclass(frozen=True, eq=False)
class ForwardTransfer:
    """Forward transfer against single-task references.

    Attributes:
        per_task: [N] FT_i; NaN where the reference is solved or the task has no range.
        mean: mean over the tasks that are defined; NaN if none is.
        unnormalized: mean over all tasks of AUC_i - AUC^b_i.
        solved: tasks left out of the mean, because 1 - AUC^b is below 1e-6.
        nearly_solved: tasks whose 1 - AUC^b is below 0.05: their FT_i has a very wide range.
    """

    per_task: np.ndarray
    mean: float
    unnormalized: float
    solved: tuple[int, ...]
    nearly_solved: tuple[int, ...]


def forward_transfer(own: np.ndarray, reference: np.ndarray) -> ForwardTransfer:
    """Return FT_i = (mean_s AUC_i - mean_r AUC^b_i) / (1 - mean_r AUC^b_i), FT = mean over tasks.

    A ratio of means over seeds, then a mean of ratios over tasks; the first task is included.

    Args:
        own: [S, N] `auc` of every seed and task, normalised where scores are returns.
        reference: [S_b, N] AUC of the single-task runs of the same tasks, likewise.

    Source: arXiv 2105.10919, section 4.1, and `results_processing/tables.py`. There a reference
    that is always successful makes FT -inf; here its task is left out and named.

    >>> forward_transfer(np.array([[0.5, 0.25]]), np.array([[0.0, 0.5]])).per_task.tolist()
    [0.5, -0.5]
    """
    if own.ndim != 2 or reference.ndim != 2 or own.shape[1] != reference.shape[1]:
        raise ValueError(f"shapes {own.shape} and {reference.shape} are not [S, N] and [S_b, N]")
    room = 1 - reference.mean(axis=0)
    per_task = transfer_ratios(own.mean(axis=0), reference.mean(axis=0))
    return ForwardTransfer(
        per_task,
        float(mean_of_defined(per_task)),
        float((own.mean(axis=0) - reference.mean(axis=0)).mean()),
        tuple(np.flatnonzero(room < SOLVED).tolist()),
        tuple(np.flatnonzero((room >= SOLVED) & (room < NEARLY_SOLVED)).tolist()),
    )


def transfer_ratios(own: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return (own - reference) / (1 - reference); NaN where 1 - reference is below 1e-6."""
    room = np.where(1 - reference < SOLVED, np.nan, 1 - reference)
    return (own - reference) / room


def mean_of_defined(ratios: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis without NaN; NaN where nothing is left."""
    defined = ~np.isnan(ratios)
    total, count = np.where(defined, ratios, 0).sum(axis=-1), defined.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
