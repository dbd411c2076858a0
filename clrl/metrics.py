"""What an agent keeps, loses and gains: pure functions on arrays of success rates.

`success` has axes seeds x evaluations x tasks, [S, E, N]: every task block holds n = E / N
evaluations (20,000 steps apart in the published setting, none at step 0), so block i is
`success[:, i * n : (i + 1) * n]`. Cells may be NaN (not evaluated); a metric reads only the cells
it is defined on and raises `MissingEvaluation` if one of those is NaN.

Tasks are numbered i = 1..N in formulas, p_i(k) is the success of task i at evaluation k, K = N n,
and w = min(window, n) evaluations are averaged where a formula says "last".

Source: Continual World (arXiv 2105.10919, section 4.1) as its released code computes it
(awarelab/continual_world, `results_processing/tables.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 5
"""Evaluations averaged at the end of a block and of a run: the last 100,000 steps as published."""

SOLVED = 1e-6
"""A reference whose AUC is this close to 1 leaves nothing to gain: no forward transfer."""

NEARLY_SOLVED = 0.05
"""Below this distance from 1 the division makes forward transfer very large or very negative."""


class MissingEvaluation(ValueError):
    """A metric needs a cell that is NaN.

    Attributes:
        seed: Place on the axis of seeds.
        evaluation: Place on the axis of evaluations.
        task: Place on the axis of tasks.
    """

    def __init__(self, seed: int, evaluation: int, task: int):
        super().__init__(
            f"task {task} has no success at evaluation {evaluation + 1} (seed number {seed})"
        )
        self.seed, self.evaluation, self.task = seed, evaluation, task


def evals_per_task(success: np.ndarray) -> int:
    """The number n of evaluations in one task's block.

    Raises:
        ValueError: The evaluations are no whole multiple of the tasks.
    """
    evaluations, tasks = success.shape[-2:]
    if evaluations == 0 or evaluations % tasks:
        raise ValueError(f"{evaluations} evaluations are no whole number per task ({tasks} tasks)")
    return evaluations // tasks


def _block(success: np.ndarray, task: int, last: int | None = None) -> np.ndarray:
    """[S, n or last] task's success at the (last) evaluations of its own block."""
    n = evals_per_task(success)
    end = (task + 1) * n
    return _known(success, end - (n if last is None else min(last, n)), end, task)


def _at_end(success: np.ndarray, task: int, window: int) -> np.ndarray:
    """[S, w] task's success at the last evaluations of the run."""
    end = success.shape[1]
    return _known(success, end - min(window, evals_per_task(success)), end, task)


def _known(success: np.ndarray, start: int, end: int, task: int) -> np.ndarray:
    cells = success[:, start:end, task]
    missing = np.argwhere(np.isnan(cells))
    if len(missing):
        raise MissingEvaluation(int(missing[0, 0]), start + int(missing[0, 1]), task)
    return cells


def final_success(success: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Success of every task at the end of the run: mean of p_i(k) over k = K-w+1..K, [S, N]."""
    tasks = range(success.shape[2])
    return np.stack([_at_end(success, i, window).mean(axis=1) for i in tasks], axis=1)


def learned_success(success: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Success of every task at the end of its own block: mean over its last w, [S, N]."""
    tasks = range(success.shape[2])
    return np.stack([_block(success, i, window).mean(axis=1) for i in tasks], axis=1)


def performance(success: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Performance P = (1/N) sum_i (mean of p_i over the last w evaluations of the run), [S].

    Source: arXiv 2105.10919, section 4.1. With `window=1` it is the textbook P(T).

    >>> performance(np.array([[[0.5, 0.0], [0.3, 0.7]]])).tolist()
    [0.5]
    """
    return final_success(success, window).mean(axis=1)


def forgetting(success: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Forgetting F_i = (own block's last w) - (run's last w), [S, N]; positive is forgotten.

    The last column is 0. The published F is the mean over all N tasks, the last one included.
    Source: arXiv 2105.10919, section 4.1.

    >>> forgetting(np.array([[[0.5, 0.0], [0.25, 0.7]]])).tolist()
    [[0.25, 0.0]]
    """
    return learned_success(success, window) - final_success(success, window)


def backward_transfer(success: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Backward transfer BWT = (1/(N-1)) sum_{i<N} (p_i(T) - p_i(end of block i)), [S].

    NaN for a single task. Source: Lopez-Paz & Ranzato 2017 (GEM, arXiv 1706.08840), with the window
    of Continual World.
    """
    if success.shape[2] == 1:
        return np.full(len(success), np.nan)
    return -forgetting(success, window)[:, :-1].mean(axis=1)


def auc(success: np.ndarray) -> np.ndarray:
    """Area under a task's own training curve: AUC_i = (1/n) sum of p_i over block i, [S, N].

    The plain mean of the n evaluations: no point at step 0, no trapezoid.
    Source: `results_processing/tables.py`.
    """
    tasks = range(success.shape[2])
    return np.stack([_block(success, i).mean(axis=1) for i in tasks], axis=1)


@dataclass(frozen=True, eq=False)
class ForwardTransfer:
    """Forward transfer against single-task references.

    Attributes:
        per_task: [N] FT_i; NaN where the reference is solved.
        mean: Mean over the tasks that are defined; NaN if none is.
        unnormalized: Mean over all tasks of AUC_i - AUC^b_i.
        solved: Tasks left out of the mean, because 1 - AUC^b is below 1e-6.
        nearly_solved: Tasks whose 1 - AUC^b is below 0.05: their FT_i has a very wide range.
    """

    per_task: np.ndarray
    mean: float
    unnormalized: float
    solved: tuple[int, ...]
    nearly_solved: tuple[int, ...]


def forward_transfer(own: np.ndarray, reference: np.ndarray) -> ForwardTransfer:
    """FT_i = (mean_s AUC_i - mean_r AUC^b_i) / (1 - mean_r AUC^b_i), FT = mean over tasks.

    A ratio of means over seeds, then a mean of ratios over tasks; the first task is included.

    Args:
        own: [S, N] `auc` of every seed and task.
        reference: [S_b, N] AUC of the single-task runs of the same tasks.

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
    """(own - reference) / (1 - reference) elementwise; NaN where 1 - reference is below 1e-6."""
    room = np.where(1 - reference < SOLVED, np.nan, 1 - reference)
    return (own - reference) / room


def mean_of_defined(ratios: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where nothing is left."""
    defined = ~np.isnan(ratios)
    total, count = np.where(defined, ratios, 0).sum(axis=-1), defined.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def reference_transfer(matrix: np.ndarray, sequence: Sequence[int]) -> float:
    """RT = (1/N) sum_{i=2..N} max_{j<i} FT(t_j, t_i): what the best single earlier task gives.

    The divisor is N, although the first task adds nothing. No upper bound: several tasks together
    may give more. Source: arXiv 2105.10919, equation 4.

    Args:
        matrix: [M, M] forward transfer on column b in the two-task sequence (row a, column b).
        sequence: Rows of `matrix`, in the order of the tasks; a task may come twice.

    >>> round(reference_transfer(np.array([[.5, .2], [.1, .6]]), [0, 1]), 12)
    0.1
    """
    order = list(sequence)
    best = [matrix[order[:i], task].max() for i, task in enumerate(order) if i > 0]
    return float(sum(best) / len(order))


def stream_accuracy(accuracy: np.ndarray) -> float:
    """ACC = (1/T) sum_i a_{T,i}; `accuracy[t, i]` is a_{t,i}, on task i after task t, [T, T].

    Source: imirzadeh/stable-continual-learning, `stable_sgd/utils.py`.
    """
    return float(accuracy[-1].mean())


def stream_backward_transfer(accuracy: np.ndarray) -> float:
    """BWT = (1/(T-1)) sum_{i<T} (a_{T,i} - a_{i,i}) of an accuracy matrix [T, T].

    NaN for T = 1. Source: Lopez-Paz & Ranzato 2017 (GEM).
    """
    if len(accuracy) < 2:
        return float("nan")
    return float((accuracy[-1] - accuracy.diagonal())[:-1].mean())


def stream_forgetting(accuracy: np.ndarray) -> float:
    """Forgetting (1/(T-1)) sum_{i<T} max_{t<T} (a_{t,i} - a_{T,i}) of an accuracy matrix [T, T].

    NaN for T = 1. Source: Chaudhry et al. 2018 (arXiv 1801.10112), as in `stable_sgd/utils.py`.
    """
    if len(accuracy) < 2:
        return float("nan")
    return float((accuracy[:-1] - accuracy[-1]).max(axis=0)[:-1].mean())
