"""One row of a table: what was measured for one configuration."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from clrl import metrics
from clrl.groups import Group
from clrl.matching import References
from clrl.statistics import Interval, fresh_sampler, mean_interval, two_sample_interval

DASH = "–"


@dataclass(frozen=True)
class Estimate:
    """A value and its 90 % interval; the interval is None where it is not defined."""

    value: float
    interval: Interval | None

    def text(self) -> str:
        """`0.63 [0.59, 0.67]`; a dash for what is not defined."""
        if np.isnan(self.value):
            return DASH
        if self.interval is None:
            return f"{_two_digits(self.value)} [{DASH}]"
        low, high = map(_two_digits, self.interval)
        return f"{_two_digits(self.value)} [{low}, {high}]"

    def json(self) -> dict[str, Any]:
        """The same at full precision."""
        return {"value": self.value, "interval": self.interval}


def _two_digits(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


UNDEFINED = Estimate(float("nan"), None)


@dataclass(frozen=True, eq=False)
class Row:
    """What was measured for one group of runs.

    Attributes:
        label: The method, with the settings that tell the row apart.
        group: The runs.
        references: Their references.
        performance, forgetting, backward_transfer, forward_transfer: Means over tasks and seeds.
            Where tasks are interleaved only performance is defined.
        halves: Forward transfer over the first and the second half of the tasks.
        transfer: Forward transfer per task; None without all references.
    """

    label: str
    group: Group
    references: References
    performance: Estimate
    forgetting: Estimate
    backward_transfer: Estimate
    forward_transfer: Estimate
    halves: tuple[Estimate, Estimate]
    transfer: metrics.ForwardTransfer | None

    def cells(self, halves: bool) -> list[str]:
        """The row as text, in the order of `columns`."""
        estimates = [self.performance, self.forgetting, self.forward_transfer]
        estimates += self.halves if halves else ()
        boundaries, task_id = (_yes_no(flag) for flag in needs(self.group.method))
        backward = _two_digits(self.backward_transfer.value)
        return [
            self.label,
            str(len(self.group.seeds)),
            *(estimate.text() for estimate in estimates),
            DASH if np.isnan(self.backward_transfer.value) else backward,
            boundaries,
            task_id,
        ]

    def json(self) -> dict[str, Any]:
        """Everything at full precision, with the numbers per task and per seed."""
        success = self.group.success
        boundaries, task_id = needs(self.group.method)
        forgotten = _forgotten(self.group)
        return {
            "label": self.label,
            "method": self.group.method,
            "n": len(self.group.seeds),
            "seeds": self.group.seeds,
            "directories": self.group.directories,
            "uses_task_boundaries": boundaries,
            "uses_task_id": task_id,
            "performance": {
                **self.performance.json(),
                "per_task": metrics.final_success(success).mean(axis=0),
                "per_seed": metrics.performance(success),
                "last_evaluation": metrics.performance(success, window=1).mean(),
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
                "per_seed": _backward_transfer(self.group),
            },
            "auc": None if self.group.interleaved else metrics.auc(success),
            "forward_transfer": self._transfer_json(),
            "config": self.group.config,
        }

    def _transfer_json(self) -> dict[str, Any]:
        groups = self.references.groups
        values: dict[str, Any] = {
            **self.forward_transfer.json(),
            "first_half": self.halves[0].json(),
            "second_half": self.halves[1].json(),
            "reference_seeds": {name: group.seeds for name, group in groups.items()},
            "reference_directories": {name: group.directories for name, group in groups.items()},
            "reference_auc": {n: metrics.auc(group.success)[:, 0] for n, group in groups.items()},
            "missing_references": self.references.missing,
            "learner_differences": self.references.differences,
        }
        if self.transfer:
            values["per_task"] = self.transfer.per_task
            values["unnormalized"] = self.transfer.unnormalized
            values["solved_tasks"] = self.transfer.solved
            values["nearly_solved_tasks"] = self.transfer.nearly_solved
        return values


def columns(halves: bool) -> list[str]:
    """Heads of the columns; with `halves` forward transfer also per half of the sequence."""
    transfer = ["forward transfer", *(["FT 1st half", "FT 2nd half"] if halves else [])]
    return [
        *("method", "n", "performance", "forgetting"),
        *transfer,
        *("BWT", "task boundaries", "task id"),
    ]


def measure(group: Group, label: str, references: References) -> Row:
    """Measure one group of runs; forward transfer is undefined if a reference is missing."""
    success, half = group.success, len(group.tasks) // 2
    transfer, parts = None, [UNDEFINED] * 3
    if not references.missing and not group.interleaved:
        own, areas = metrics.auc(success), references.areas(group.tasks)
        transfer = metrics.forward_transfer(own, areas)
        parts = [
            _forward(own[:, part], areas[:, part])
            for part in (slice(None), slice(0, half), slice(half, None))
        ]
    return Row(
        label,
        group,
        references,
        _mean(metrics.performance(success)),
        _mean(_forgotten(group).mean(axis=1)),
        _mean(_backward_transfer(group)),
        parts[0],
        (parts[1], parts[2]),
        transfer,
    )


def _forgotten(group: Group, window: int = metrics.WINDOW) -> np.ndarray:
    """[S, N] forgetting; NaN where tasks are interleaved."""
    if group.interleaved:
        return np.full((len(group.seeds), len(group.tasks)), np.nan)
    return metrics.forgetting(group.success, window)


def _backward_transfer(group: Group) -> np.ndarray:
    if group.interleaved:
        return np.full(len(group.seeds), np.nan)
    return metrics.backward_transfer(group.success)


def _mean(values: np.ndarray) -> Estimate:
    if np.isnan(values).any():
        return UNDEFINED
    return Estimate(float(values.mean()), mean_interval(values, fresh_sampler()))


def _forward(own: np.ndarray, areas: np.ndarray) -> Estimate:
    """Forward transfer over some tasks; a solved reference leaves its task out of the interval."""
    if own.shape[1] == 0:
        return UNDEFINED
    transfer = metrics.forward_transfer(own, areas)
    kept = ~np.isnan(transfer.per_task)
    interval = two_sample_interval(_mean_ratio, own[:, kept], areas[:, kept], fresh_sampler())
    return Estimate(transfer.mean, interval)


def _mean_ratio(own: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return metrics.mean_of_defined(metrics.transfer_ratios(own, reference))


def needs(method: str) -> tuple[bool | None, bool | None]:
    """Whether a method uses task boundaries and task ids; None for one this version lacks."""
    from clrl.agents.methods import METHODS  # here: it imports torch, which plots do not need

    known = METHODS.get(method)
    return (known.uses_task_boundaries, known.uses_task_id) if known else (None, None)


def _yes_no(flag: bool | None) -> str:
    return {True: "yes", False: "no", None: "?"}[flag]
