"""Which runs are rows of a table, and which only references of those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clrl.results.groups import Group, alone, identity
from clrl.results.reading import RunData
from clrl.results.references.matching import closest, is_reference, mismatches, needs_references
from clrl.results.worlds import by_worlds, same_world


def set_apart(
    runs: Sequence[RunData], given: Sequence[RunData] = ()
) -> tuple[list[RunData], list[RunData]]:
    """Split runs into those to measure and those that are only references of one of them.

    A run that could be a reference, but is none for any of the others, is measured like any run.

    Args:
        runs: what to split.
        given: further runs, which are references or nothing.
    """
    groups = measured_groups(runs)
    candidates = [alone(run) for run in (*runs, *given) if is_reference(run)]
    used = {
        found.runs[0].directory
        for group in groups
        for task in range(len(group.tasks))
        for found in closest(group, task, candidates)
    }
    apart = [run for run in runs if is_reference(run) and run.directory in used]
    return [run for run in runs if run not in apart], apart


def measured_groups(runs: Iterable[RunData]) -> list[Group]:
    """Return a group of one run for each configuration that needs references and is none."""
    rows = [run for run in runs if not is_reference(run)]
    alike = by_worlds(rows, lambda run: (identity(run.config), run.score.name))
    return [group for group in (alone(members[0]) for members in alike) if needs_references(group)]


def fits(run: RunData, groups: Sequence[Group]) -> bool:
    """Return whether a run would be a reference of a group, if it were all there."""
    if not is_reference(run):
        return False
    candidates = [alone(run)]
    return any(
        closest(group, task, candidates) for group in groups for task in range(len(group.tasks))
    )


def of_no_use(runs: Sequence[RunData], groups: Sequence[Group]) -> list[str]:
    """Say why runs that were given as references are none, a sentence for each reason.

    Args:
        runs: those that no group uses.
        groups: what is measured against references.
    """
    whose: dict[str, list[str]] = {}
    for run in runs:
        whose.setdefault(_why(run, groups), []).append(str(run.directory))
    return [f"Not used as references ({why}): {', '.join(who)}." for why, who in whose.items()]


def _why(run: RunData, groups: Sequence[Group]) -> str:
    if not is_reference(run):
        return "no runs of finetuning on a single task"
    for group in groups:
        for task, name in enumerate(group.tasks):
            if name == run.tasks[0] or same_world(group.runs[0], task, run, 0):
                reasons = mismatches(group, task, alone(run))
                return "; ".join(reasons) or "others are closer in their settings"
    return "no row has their task"
