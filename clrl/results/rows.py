"""One row of a table: what was measured for one configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clrl.config.scores import Score
from clrl.config.scores import window as default_window
from clrl.results import metrics
from clrl.results.groups import Group
from clrl.results.references.matching import References
from clrl.results.statistics import (
    UNDEFINED,
    Estimate,
    estimate,
    fresh_sampler,
    two_sample_interval,
)
from clrl.results.told import made_use_of, yes_no


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured for one group of runs: a row of a table.

    Performance, forgetting and backward transfer are in the units of the score.

    Attributes:
        label: the method, with the settings that tell the row apart.
        group: the runs.
        references: their references.
        window: evaluations that are averaged at the end of a block and of the run.
        performance, forgetting, backward_transfer, forward_transfer: means over tasks and seeds.
            Where tasks are interleaved only performance is defined.
        ranges: [N, 2] scores between which each task is learned; NaN where that is not known.
        share: performance as a share of those ranges, over the tasks that have one.
        halves: forward transfer over the first and the second half of the tasks.
        transfer: forward transfer per task; None without all references.
    """

    label: str
    group: Group
    references: References
    window: int
    performance: Estimate
    forgetting: Estimate
    backward_transfer: Estimate
    forward_transfer: Estimate
    ranges: np.ndarray
    share: Estimate
    halves: tuple[Estimate, Estimate]
    transfer: metrics.ForwardTransfer | None

    @property
    def flat(self) -> tuple[int, ...]:
        """Tasks whose references did not get better, so that nothing can be normalised."""
        low, high = self.ranges.T
        return tuple(np.flatnonzero(high - low <= 0).tolist())

    def cells(self, halves: bool) -> list[str]:
        """Return the row as text, in the order of `columns`."""
        units = self.group.score.bounds is None
        transfers = [self.forward_transfer, *(self.halves if halves else ())]
        return [
            self.label,
            str(len(self.group.seeds)),
            self.performance.text(units),
            self.forgetting.text(units),
            *([self.share.text()] if units else []),
            *(transfer.text() for transfer in transfers),
            self.backward_transfer.short(units),
            *map(yes_no, made_use_of(self.group.config)),
        ]

    def json(self) -> dict[str, Any]:
        """Return everything at full precision, with the numbers per task and per seed."""
        scores = self.group.scores
        boundaries, task_id = made_use_of(self.group.config)
        forgotten = _forgotten(self.group, self.window)
        return {
            "label": self.label,
            "method": self.group.method,
            "n": len(self.group.seeds),
            "seeds": self.group.seeds,
            "directories": self.group.directories,
            "score": self.group.score.name,
            "uses_task_boundaries": boundaries,
            "uses_task_id": task_id,
            "performance": {
                **self.performance.json(),
                "per_task": metrics.final_score(scores, self.window).mean(axis=0),
                "per_seed": metrics.performance(scores, self.window),
                "last_evaluation": metrics.performance(scores, window=1).mean(),
            },
            "forgetting": {
                **self.forgetting.json(),
                "per_task": forgotten.mean(axis=0),
                "per_seed": forgotten.mean(axis=1),
                "without_last_task": -self.backward_transfer.value,
                "last_evaluation": _forgotten(self.group, window=1).mean(),
            },
            "backward_transfer": {
                **self.backward_transfer.json(),
                "per_seed": _backward_transfer(self.group, self.window),
            },
            "auc": None if self.group.interleaved else metrics.auc(scores),
            **({} if self.group.score.bounds else {"normalised_performance": self._share_json()}),
            "forward_transfer": self._transfer_json(),
            "config": self.group.config,
        }

    def _share_json(self) -> dict[str, Any]:
        shares = _shares(self.group, self.ranges, self.window)
        return {
            **self.share.json(),
            "per_task": shares.mean(axis=0),
            "per_seed": metrics.mean_of_defined(shares),
            "ranges": self.ranges,
        }

    def _transfer_json(self) -> dict[str, Any]:
        groups = self.references.by_name
        values: dict[str, Any] = {
            **self.forward_transfer.json(),
            "first_half": self.halves[0].json(),
            "second_half": self.halves[1].json(),
            "reference_seeds": {name: group.seeds for name, group in groups.items()},
            "reference_directories": {name: group.directories for name, group in groups.items()},
            "reference_auc": {n: metrics.auc(group.scores)[:, 0] for n, group in groups.items()},
            "missing_references": self.references.lacking,
            "learner_differences": self.references.differences,
        }
        if self.transfer:
            values["per_task"] = self.transfer.per_task
            values["unnormalized"] = self.transfer.unnormalized
            values["solved_tasks"] = self.transfer.solved
            values["nearly_solved_tasks"] = self.transfer.nearly_solved
        return values


def columns(score: Score, halves: bool) -> list[str]:
    """Return the heads of the columns.

    Args:
        score: what all rows are measured by.
        halves: whether forward transfer is also shown per half of the sequence.
    """
    return [
        *("method", "n", score.of("performance"), score.of("forgetting")),
        *(["normalised performance"] if score.bounds is None else []),
        "forward transfer",
        *(["FT 1st half", "FT 2nd half"] if halves else []),
        *(score.of("BWT"), "task boundaries", "task id"),
    ]


def measure(
    group: Group, label: str, references: References, window: int | None = None
) -> Measured:
    """Measure one group of runs; forward transfer is undefined if a reference is missing.

    Args:
        group: the runs.
        label: what the row is called.
        references: the runs of its single tasks.
        window: evaluations that are averaged; by default a tenth of a task's.
    """
    if window is None:
        window = default_window(metrics.evals_per_task(group.scores))
    scores, half = group.scores, len(group.tasks) // 2
    ranges = references.ranges(group, window)
    transfer, parts = None, [UNDEFINED] * 3
    if not references.missing and not group.interleaved:
        own, areas = metrics.auc(scores), references.areas()
        gained = float((own.mean(axis=0) - areas.mean(axis=0)).mean())
        own, areas = metrics.normalised(own, ranges), metrics.normalised(areas, ranges)
        transfer = replace(metrics.forward_transfer(own, areas), unnormalized=gained)
        parts = [
            _forward(own[:, part], areas[:, part])
            for part in (slice(None), slice(0, half), slice(half, None))
        ]
    unknown = bool(np.isnan(ranges).any())  # a reference is missing: the mean would be of others
    shares = metrics.mean_of_defined(_shares(group, ranges, window))
    return Measured(
        label=label,
        group=group,
        references=references,
        window=window,
        performance=estimate(metrics.performance(scores, window)),
        forgetting=estimate(_forgotten(group, window).mean(axis=1)),
        backward_transfer=estimate(_backward_transfer(group, window)),
        forward_transfer=parts[0],
        ranges=ranges,
        share=UNDEFINED if unknown else estimate(shares),
        halves=(parts[1], parts[2]),
        transfer=transfer,
    )


def _shares(group: Group, ranges: np.ndarray, window: int) -> np.ndarray:
    """Return every task's score at the end of the run as a share of its range, [S, N]."""
    return metrics.normalised(metrics.final_score(group.scores, window), ranges)


def _forgotten(group: Group, window: int) -> np.ndarray:
    """Return forgetting [S, N]; NaN where tasks are interleaved."""
    if group.interleaved:
        return np.full((len(group.seeds), len(group.tasks)), np.nan)
    return metrics.forgetting(group.scores, window)


def _backward_transfer(group: Group, window: int) -> np.ndarray:
    if group.interleaved:
        return np.full(len(group.seeds), np.nan)
    return metrics.backward_transfer(group.scores, window)


def _forward(own: np.ndarray, areas: np.ndarray) -> Estimate:
    """Measure forward transfer over some tasks; the interval leaves out the undefined ones."""
    if own.shape[1] == 0:
        return UNDEFINED
    transfer = metrics.forward_transfer(own, areas)
    kept = ~np.isnan(transfer.per_task)
    interval = two_sample_interval(_mean_ratio, own[:, kept], areas[:, kept], fresh_sampler())
    return Estimate(transfer.mean, interval)


def _mean_ratio(own: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return metrics.mean_of_defined(metrics.transfer_ratios(own, reference))
