"""Which reference runs belong to a run: the single-task runs that forward transfer needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clrl.errors import ConfigError
from clrl.results.groups import Group
from clrl.results.metrics import auc, learned_range
from clrl.results.reading import RunData
from clrl.results.worlds import same_world, world

LEARNER = ("name", "hidden_sizes", "layer_norm", "activation")
"""Settings of the learner in which a reference must agree: those that its curve is made of."""


@dataclass(frozen=True, eq=False)
class References:
    """The references of one group.

    Attributes:
        tasks: [N] names of the group's tasks.
        groups: position of a task -> its reference runs.
        missing: positions of the tasks without a reference.
        near: sentences on references of missing tasks that do not match, with the reason.
        differences: learner settings of the group that its references do not share, as
            `name value (references: value)`.
    """

    tasks: tuple[str, ...]
    groups: dict[int, Group]
    missing: tuple[int, ...]
    near: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def by_name(self) -> dict[str, Group]:
        """Reference runs by task name; tasks of one name with several are told apart."""
        found = {}
        for task, group in self.groups.items():
            alike = {id(self.groups.get(i)) for i in self._namesakes(task)}
            found[self._name(task, apart=len(alike) > 1)] = group
        return found

    @property
    def lacking(self) -> list[str]:
        """Names of the tasks without a reference, each once."""
        names = [
            self._name(task, apart=any(i in self.groups for i in self._namesakes(task)))
            for task in self.missing
        ]
        return list(dict.fromkeys(names))

    def _namesakes(self, task: int) -> list[int]:
        return [i for i, name in enumerate(self.tasks) if name == self.tasks[task]]

    def _name(self, task: int, apart: bool) -> str:
        return f"{self.tasks[task]} (task {task})" if apart else self.tasks[task]

    def areas(self) -> np.ndarray:
        """Return AUCs [S_b, N]: row r is the r-th seed of every task, in the order of `Group`.

        S_b is the smallest number of seeds over the tasks. None may be missing.
        """
        columns = [auc(self.groups[task].scores)[:, 0] for task in range(len(self.tasks))]
        rows = min(map(len, columns))
        return np.stack([column[:rows] for column in columns], axis=1)

    def ranges(self, group: Group, window: int | None = None) -> np.ndarray:
        """Return the scores [N, 2] between which each task of the group is learned.

        The score's own bounds; of returns the sequence's `score_range` or, without one, what all
        seeds of the task's references learned: NaN without a reference.
        """
        if group.bounds is not None:
            return np.array([group.bounds] * len(group.tasks), float)
        known = {task: learned_range(found.scores, window) for task, found in self.groups.items()}
        return np.array([known.get(i, (np.nan, np.nan)) for i in range(len(group.tasks))])


def is_reference(run: RunData) -> bool:
    """Return whether a run can be a reference: one task, learned without a continual method."""
    return len(run.tasks) == 1 and run.config["method"]["name"] == "finetuning"


def needs_references(group: Group) -> bool:
    """Return whether a group is measured against references.

    Interleaved tasks have no transfer; but what share of a return is learned is read off them.
    """
    return not group.interleaved or group.bounds is None


def find_references(group: Group, candidates: Sequence[Group]) -> References:
    """Pick a group's references.

    Args:
        group: runs of a sequence.
        candidates: reference runs, joined.

    Raises:
        ConfigError: two configurations match a task equally well.
    """
    if not needs_references(group):
        return References(group.tasks, {}, (), (), ())
    found: dict[int, Group] = {}
    near: dict[str, None] = {}
    for task, name in enumerate(group.tasks):
        best = closest(group, task, candidates)
        if len(best) > 1:
            raise ConfigError(
                f"two different configurations of {name} match {group.directories[0]} equally well "
                f"as its reference: {best[0].directories[0]} and {best[1].directories[0]}; "
                "give only one of them"
            )
        if best:
            found[task] = best[0]
            continue
        for candidate in candidates:
            if _alike(group, task, candidate):
                near[_near_sentence(group, task, candidate)] = None
    differences = {
        text: None for c in found.values() for text in _differences(group.config, c.config)
    }
    missing = tuple(task for task in range(len(group.tasks)) if task not in found)
    return References(group.tasks, found, missing, tuple(near), tuple(differences))


def closest(group: Group, task: int, candidates: Sequence[Group]) -> list[Group]:
    """Return the candidates that match a task with the fewest other differences in the learner."""
    matching = [c for c in candidates if _alike(group, task, c) and not mismatches(group, task, c)]
    distances = [len(_differences(group.config, c.config)) for c in matching]
    return [c for c, d in zip(matching, distances, strict=True) if d == min(distances)]


def _alike(group: Group, task: int, candidate: Group) -> bool:
    """Return whether a candidate's task is, or is called, a group's."""
    same = same_world(group.runs[0], task, candidate.runs[0], 0)
    return same or candidate.tasks[0] == group.tasks[task]


def mismatches(group: Group, task: int, reference: Group) -> list[str]:
    """Say in what a reference of a task differs where it may not."""
    ours, theirs = _matched(group, task), _matched(reference, 0)
    texts = [
        f"{key} {theirs.get(key)!r}, not {ours.get(key)!r}"
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]
    if not texts and not same_world(group.runs[0], task, reference.runs[0], 0):
        texts.append("its world is another")
    return texts


def _matched(group: Group, task: int) -> dict[str, Any]:
    """Return all in which a group's task and a reference must agree, under dotted names."""
    config = group.config
    counts = ("evals_per_task", f"{group.score.mode}_episodes")
    evaluation = {key: config["evaluation"].get(key) for key in counts}
    sequence = {"steps_per_task": group.schedule.lengths[task], "score": group.score.name}
    sequence |= {key: value for key, value in world(config, task).items() if key != "task"}
    learner = {key: config["learner"].get(key) for key in LEARNER}
    sections: dict[str, Mapping[str, Any]] = {
        "sequence": sequence, "evaluation": evaluation, "learner": learner,
    }  # fmt: skip
    return {f"{name}.{key}": v for name, section in sections.items() for key, v in section.items()}


def _differences(config: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """Say in what the learners differ where they may, and the parity."""
    own, other = dict(config["learner"]), dict(reference["learner"])
    own["parity"], other["parity"] = config.get("parity"), reference.get("parity")
    keys = [key for key in {**own, **other} if key not in LEARNER]
    return [
        f"{key} {own.get(key)} (references: {other.get(key)})"
        for key in keys
        if own.get(key) != other.get(key)
    ]


def _near_sentence(group: Group, task: int, candidate: Group) -> str:
    reasons = "; ".join(mismatches(group, task, candidate))
    return f"{candidate.directories[0]} is no reference for {group.tasks[task]}: {reasons}."
