"""Run directories with chosen scores, as a run would have written them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from clrl.config.schema import CONFIG_FILE
from clrl.envs.schedule import Schedule
from clrl.results.reading import RUN_FILE
from clrl.results.record import METRICS_FILE, Record

USES_ALL = {
    "multi_head": True,
    "hide_task_id": True,
    "exploration_steps": 1000,
    "learning_starts": 500,
    "reset_buffer": True,
    "reset_optimizer": True,
    "reset_critic": False,
}
"""Settings of a learner that acts at task boundaries and reads the task id."""

USES_NOTHING = {
    **dict.fromkeys(USES_ALL, False),
    "hide_task_id": True,
    "exploration_steps": 0,
    "learning_starts": 0,
}
"""Settings of one that does neither."""


def config(tasks: Sequence[str], evals_per_task: int, seeds: Sequence[int]) -> dict[str, Any]:
    """A configuration of 1,000 steps per evaluation."""
    return {
        "sequence": {
            "family": "metaworld",
            "name": "made-up",
            "tasks": list(tasks),
            "steps_per_task": 1000 * evals_per_task,
            "reveals": "task",
            "score": "success",
            "score_range": None,
            "horizon": 200,
            "randomization": "random_init_all",
            "fixes": "patched",
        },
        "learner": {
            "name": "sac",
            "hidden_sizes": [64, 64],
            "layer_norm": True,
            "batch_size": 128,
            **USES_ALL,
        },
        "method": {"name": "finetuning"},
        "evaluation": {
            "evals_per_task": evals_per_task,
            "stochastic_episodes": 10,
            "deterministic_episodes": 1,
            "tasks": "all",
            "stop_at_success": False,
        },
        "seeds": list(seeds),
        "parity": "clean",
        "placement": {"device": "auto", "threads": 1},
        "logging": {"wandb": "off"},
    }


def write_run(
    directory: Path,
    scores: np.ndarray,
    tasks: Sequence[str],
    seeds: Sequence[int] | None = None,
    state: str | None = "complete",
    **changes: dict[str, Any],
) -> Path:
    """Write a run.

    Args:
        directory: made if it is not there.
        scores: [S, E, N] success, or what the sequence's `score` is; NaN writes no line.
        tasks: [N] names.
        seeds: [S], by default 0, 1, ...
        state: `run.json`'s state; None writes no `run.json`.
        changes: settings to change, as section={name: value}.
    """
    seeds = range(len(scores)) if seeds is None else seeds
    settings = config(tasks, scores.shape[1] // len(tasks), seeds)
    for section, values in changes.items():
        settings[section] = {**settings[section], **values}
    directory.mkdir(parents=True)
    (directory / CONFIG_FILE).write_text(yaml.safe_dump(settings))
    if state is not None:
        (directory / RUN_FILE).write_text(json.dumps({"state": state}))
    sequence, evals = settings["sequence"], settings["evaluation"]["evals_per_task"]
    steps = Schedule(tasks, sequence["steps_per_task"]).evaluations(evals)
    record = Record(directory / METRICS_FILE)
    record.append(
        [
            row
            for e, step in enumerate(steps)
            for task, name in enumerate(tasks)
            for s, seed in enumerate(seeds)
            if not np.isnan(scores[s, e, task])
            for row in rows(sequence["score"], step, task, name, seed, float(scores[s, e, task]))
        ]
    )
    record.close()
    return directory


def rows(
    score: str, step: int, task: int, name: str, seed: int, value: float
) -> list[dict[str, Any]]:
    """The lines of one evaluation of a task and seed, as worlds with this score write them."""
    modes = ("deterministic",) if score == "accuracy" else ("stochastic", "deterministic")
    lines = [line(step, task, name, seed, mode, value) for mode in modes]
    if score != "success":
        for row in lines:
            row |= {"success": None, "success_last": None, "return": None, score: value}
    return lines


def line(
    step: int, task: int, name: str, seed: int, mode: str, success: float
) -> dict[str, str | int | float | None]:
    """One line of metrics.jsonl, without its `seq`."""
    episodes = 10 if mode == "stochastic" else 1
    return {
        "step": step,
        "task": task,
        "task_name": name,
        "seed": seed,
        "mode": mode,
        "episodes": episodes,
        "success": success,
        "success_last": success / 2,
        "return": 1000 * success,
    }


def economical(success: np.ndarray, window: int = 5) -> np.ndarray:
    """Keep the current task at each evaluation, and all tasks at the last ones of the run."""
    n = success.shape[1] // success.shape[2]
    kept = np.full_like(success, np.nan)
    for task in range(success.shape[2]):
        kept[:, task * n : (task + 1) * n, task] = success[:, task * n : (task + 1) * n, task]
    kept[:, -min(window, n) :] = success[:, -min(window, n) :]
    return kept


def random_success(seeds: int, n: int, tasks: int, key: int = 0) -> np.ndarray:
    """Rates in tenths, [seeds, n * tasks, tasks]."""
    return np.random.default_rng(key).integers(0, 11, (seeds, n * tasks, tasks)) / 10
