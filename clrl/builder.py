"""Agents from configurations, and configurations from agents."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from clrl.agents.agent import Agent
from clrl.agents.methods import METHODS
from clrl.agents.ppo import ContinualPPO
from clrl.agents.randomness import environment_seed
from clrl.agents.sac import ContinualSAC
from clrl.checkpoint import read_tensors
from clrl.config import RunConfig, order_of
from clrl.envs.metaworld import continual_world
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv
from clrl.errors import ConfigError
from clrl.evaluator import Evaluation
from clrl.resources import stored_rows
from clrl.results import CONFIG_FILE

AGENTS: dict[str, type[Agent]] = {"sac": ContinualSAC, "ppo": ContinualPPO}
"""Learners of a run by name."""


def build_agent(config: RunConfig) -> Agent:
    """The fresh agent of a configuration, with its environments."""
    settings = dataclasses.asdict(config.sequence)
    tasks, steps = settings.pop("tasks"), settings.pop("steps_per_task")
    interleaved = config.method.interleaved
    make = partial(continual_world, tasks, steps, interleaved, **settings)
    env = SeedVecEnv([make] * len(config.seeds), [environment_seed(s) for s in config.seeds])
    return AGENTS[config.learner.name](
        env, config.method, _without_empty_rows(config), seeds=config.seeds,
        parity=config.parity, device=config.placement.device,
    )  # fmt: skip


def _without_empty_rows(config: RunConfig) -> Any:
    """The learner's settings, its buffer no larger than what the run can put into it.

    Rows that are never filled take no memory, but Linux refuses to promise too many of them.
    """
    return config.learner.with_rows(stored_rows(config))


def load_policy(directory: str | Path, task: int | None = None) -> Agent:
    """The agent of a `clrl train` run, with the policy that it had at the end of a task.

    Args:
        directory: The run directory.
        task: Position of the task; None is the last one that was finished. Of interleaved tasks
            `k` is the policy after k + 1 times `steps_per_task` steps.

    Raises:
        ConfigError: The directory holds no run, or the task is not finished.
        DamagedData: The snapshot is damaged.
    """
    directory = Path(directory)
    config = RunConfig.load(directory / CONFIG_FILE)
    pattern = "??-*" if task is None else f"{task:02d}-*"
    snapshots = sorted((directory / "tasks").glob(pattern))
    if not snapshots:
        what = "no task" if task is None else f"task {task}"
        raise ConfigError(f"{directory}: {what} is finished, so there is no policy of it")
    agent = build_agent(config)
    agent.load_policy_state(read_tensors(snapshots[-1]))
    return agent


def sequence_of(agent: Agent) -> TaskSequence:
    """The sequence of the agent's first seed.

    Raises:
        ValueError: Its environments are not a `SeedVecEnv` of `TaskSequence`s, or of
            `InterleavedTasks` for a method that is interleaved.
    """
    env = agent.get_env()
    if not isinstance(env, SeedVecEnv) or not isinstance(env.envs[0], TaskSequence):
        raise ValueError(
            f"the agent's environments are {env}; needed is SeedVecEnv(makers, seeds) with one "
            "maker of a TaskSequence per seed"
        )
    sequence, method = env.envs[0], type(agent.method)
    if sequence.interleaved != method.interleaved:
        raise ValueError(
            f"the agent's environments are of {type(sequence).__name__}; the method "
            f"{method.__name__} needs "
            + ("InterleavedTasks" if method.interleaved else "a TaskSequence")
        )
    return sequence


def describe(agent: Agent, evaluation: Evaluation) -> dict[str, Any]:
    """The configuration of a run on a user's own environments, as `config.yaml` has it."""
    sequence = sequence_of(agent)
    names = {kind: name for name, kind in METHODS.items()}
    method = names.get(type(agent.method), type(agent.method).__name__)
    config = {
        "sequence": {"name": "custom", **order_of(agent.method), "tasks": sequence.task_names,
                     "steps_per_task": sequence.steps_per_task},
        "learner": {"name": agent.name, **dataclasses.asdict(agent.settings)},
        "method": {"name": method, **dataclasses.asdict(agent.method)},
        "evaluation": dataclasses.asdict(evaluation),
        "seeds": agent.seeds,
        "parity": agent.parity,
    }  # fmt: skip
    return _plain(config)


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down, as YAML gives them back."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
