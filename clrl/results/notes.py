"""What is said above and below a table: its title, how to read it, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clrl.config.schema import ADDED
from clrl.envs.told import MAX_EPISODE_STEPS
from clrl.results.references.matching import is_reference
from clrl.results.rows import Measured
from clrl.results.statistics import DASH, LEVEL
from clrl.results.told import NOTE, made_use_of
from clrl.results.worlds import UNKNOWN, is_unknown

INTERLEAVED = "Tasks take turns, so that there is nothing to forget and no transfer to measure."
USUAL = {"max_episode_steps": MAX_EPISODE_STEPS, "per_seed": False}
"""Keys of worlds that are not ours, and what they are unless something else is said."""
UNTOLD = {
    "boundaries": "The sequence tells when its task changes, not which one it is.",
    "nothing": "The sequence tells neither when its task changes nor which one it is.",
}


NO_SUCCESS = (
    "No episode reported success, so these runs are measured by their returns; a sequence whose "
    "score is return says so from the start."
)


def heading(sequence: dict[str, Any], window: int, evals_per_task: int) -> str:
    """Return what stands above a table: the sequence and over how much its numbers average."""
    s = "s" * (window > 1)
    return f"{title(sequence)}, window of {window} evaluation{s} ({evals_per_task} per task)"


def title(sequence: dict[str, Any]) -> str:
    """Name a sequence: its tasks, their steps, and the settings that differ from the usual."""
    name = sequence.get("name") or ", ".join(sequence["tasks"])
    n = len(sequence["tasks"])
    title = f"{name}: {n} task{'s' * (n > 1)} of {steps_text(sequence['steps_per_task'])}"
    known = {"name", "tasks", "steps_per_task", "interleaved", "reveals"}
    known |= {key for key, usual in {**ADDED, **USUAL}.items() if sequence.get(key) == usual}
    if sequence["family"] in ("metaworld", name):
        known.add("family")
    rest = [f"{k} {v}" for k, v in sequence.items() if k not in known and not _nested(v, k)]
    return ", ".join([title, *rest])


def _nested(value: Any, key: str) -> bool:
    return isinstance(value, (list, dict)) and key != "score_range"


def steps_text(steps: int | Sequence[int]) -> str:
    """Return the steps of the tasks in words.

    >>> steps_text(1000), steps_text([1000, 500, 500])
    ('1,000 steps', '500 to 1,000 steps')
    """
    if isinstance(steps, int):
        return f"{steps:,} steps"
    return f"{min(steps):,} to {max(steps):,} steps"


def missing(rows: Sequence[Measured]) -> list[str]:
    """Say which seeds and which references are not there."""
    return _missing_seeds(rows) + _missing_references(rows)


def _missing_seeds(rows: Sequence[Measured]) -> list[str]:
    every = {seed for row in rows for seed in row.group.seeds}
    lacking = {row.label: sorted(every.difference(row.group.seeds)) for row in rows}
    return [
        f"{label} lacks seeds that other rows have: {', '.join(map(str, seeds))}."
        for label, seeds in lacking.items()
        if seeds
    ]


def _missing_references(rows: Sequence[Measured]) -> list[str]:
    texts = []
    for row in rows:
        if is_reference(row.group.runs[0]):
            continue  # what references are measured against is themselves
        if lacking := row.references.lacking:
            needy = "Forward transfer needs"
            if np.isnan(row.ranges).any():
                needy = "Normalised performance needs"
                if not row.group.interleaved:
                    needy = "Forward transfer and normalised performance need"
            sentence = f"{needy} reference runs that are not there: {', '.join(lacking)}."
            texts.append((" ".join([sentence, *row.references.near]), row.label))
    return _by_rows(texts, len(rows))


def notes(rows: Sequence[Measured]) -> list[str]:
    """Say how to read the numbers, as far as these rows need it."""
    if not rows:
        return []
    said = [
        f"n counts seeds; in brackets {LEVEL:.0%} bootstrap intervals over seeds; performance and "
        f"forgetting take {averaged(rows[0].window)} of the run and of a task's block."
    ]
    if rows[0].group.score.name != rows[0].group.config["sequence"]["score"]:
        said.append(NO_SUCCESS)
    if any(len(row.group.seeds) == 1 for row in rows):
        said.append(f"One seed has no interval: [{DASH}].")
    if any(True in made_use_of(row.group.config) for row in rows):
        said.append(NOTE)
    texts: list[tuple[str, str]] = []
    for row in rows:
        texts += [(text, row.label) for text in _range_notes(row) + _reference_notes(row)]
        if row.group.interleaved:
            texts.append((INTERLEAVED, row.label))
        if (reveals := row.group.config["sequence"]["reveals"]) in UNTOLD:
            texts.append((UNTOLD[reveals], row.label))
        if is_unknown(row.group.runs[0]):
            texts.append((UNKNOWN, row.label))
    return said + _by_rows(texts, len(rows)) + _inexact(rows)


def _range_notes(row: Measured) -> list[str]:
    """Say between which scores a task counts as learned, where the score itself does not."""
    if row.group.score.bounds or np.isnan(row.ranges).any():
        return []
    name, given = row.group.score.name, row.group.bounds
    texts = [
        f"Normalised performance and forward transfer take a {name} of {given[0]:g} as 0 and of "
        f"{given[1]:g} as 1."
        if given
        else f"Normalised performance and forward transfer take as 0 the mean {name} of a task's "
        f"references at their first evaluation and as 1 {averaged(row.window)} of theirs, over "
        "all their seeds; intervals hold both fixed."
    ]
    if row.flat:
        texts.append(
            f"No better at the end than at the start, so not normalised and left out of both: the "
            f"references of {_names(row, row.flat)}."
        )
    return texts


def averaged(window: int) -> str:
    """Say what is averaged, with the word that a sentence needs.

    >>> averaged(1), averaged(5)
    ('the last evaluation', 'the mean of the last 5 evaluations')
    """
    return f"the mean of the last {window} evaluations" if window > 1 else "the last evaluation"


def _reference_notes(row: Measured) -> list[str]:
    references, texts = row.references, []
    named = references.by_name
    counts = {name: len(group.seeds) for name, group in named.items()}
    if counts:
        used = ", ".join(
            f"{name} ({n} seed{'s' * (n > 1)}: {', '.join(named[name].directories)})"
            for name, n in counts.items()
        )
        texts.append(f"References: {used}.")
    if len(set(counts.values())) > 1 and not references.missing:
        texts.append(f"{min(counts.values())} seeds of every reference are used, the smallest n.")
    if counts and min(counts.values()) == 1:
        texts.append("References of one seed add nothing to the interval of forward transfer.")
    if references.differences:
        differences = "; ".join(references.differences)
        texts.append(f"Settings that the references do not share: {differences}.")
    if row.transfer and row.transfer.solved:
        names = _names(row, row.transfer.solved)
        texts.append(
            f"Left out of forward transfer, as the reference {_solved(row)}: {names} "
            f"({len(row.transfer.solved)} of {len(row.group.tasks)} tasks)."
        )
    if row.transfer and row.transfer.nearly_solved:
        names = _names(row, row.transfer.nearly_solved)
        texts.append(f"Forward transfer is ill-conditioned (reference AUC above 0.95): {names}.")
    return texts


def _solved(row: Measured) -> str:
    if row.group.score.name == "success":
        return "always succeeds"
    return f"leaves no {row.group.score.name} to gain"


def _names(row: Measured, tasks: Sequence[int]) -> str:
    return ", ".join(f"{row.group.tasks[task]} (task {task})" for task in tasks)


def _inexact(rows: Sequence[Measured]) -> list[str]:
    runs = [run for row in rows for run in row.group.runs if run.info.get("resumed_inexact")]
    return [f"{run.directory} was resumed inexactly." for run in runs]


def _by_rows(texts: Sequence[tuple[str, str]], rows: int) -> list[str]:
    """Return each text once, with the labels of its rows in front unless it holds for all."""
    whose: dict[str, list[str]] = {}
    for text, label in texts:
        whose.setdefault(text, []).append(label)
    return [
        text if len(names) == rows else f"{', '.join(names)}: {text}"
        for text, names in whose.items()
    ]
