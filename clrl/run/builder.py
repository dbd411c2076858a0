"""Learners from configurations, and configurations from learners."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv

from clrl.agents.agent import Agent
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method
from clrl.agents.native.path import SlowUpdate, autograd_only, check_native, wanted
from clrl.agents.ppo import ContinualPPO
from clrl.agents.randomness import environment_seed
from clrl.agents.sac import ContinualSAC
from clrl.agents.spaces import TaskSpaces
from clrl.config.evaluation import Evaluation
from clrl.config.families import ToySequence
from clrl.config.placement import LoggingConfig, PlacementConfig
from clrl.config.run import RunConfig, run_type
from clrl.config.schema import CONFIG_FILE
from clrl.envs.vector import SeedVecEnv
from clrl.errors import ConfigError, said_as_config_error
from clrl.machine.resources import stored_rows
from clrl.results.reading import WorldNumbers, differing_worlds, read_worlds
from clrl.run.checkpoint import read_tensors
from clrl.run.directory import RunFile, update_of
from clrl.run.examination import examine
from clrl.run.recognise import recognised, stream_config
from clrl.run.trainable import AgentOnWorlds, ClassifierOnStream, Trainable, worlds_of


def build(config: RunConfig) -> Trainable:
    """Return the fresh learner of a configuration, with its worlds.

    Raises:
        ConfigError: the worlds cannot be made.
    """
    return BUILDERS[config.learner_name](config, None)


def examined(config: RunConfig) -> WorldNumbers | None:
    """Make the worlds of every seed once, and return what `examine` does.

    Raises:
        ConfigError: they cannot be made, break the contract, or are not those of the configuration.
    """
    if config.sequence.supervised:
        return None
    with said_as_config_error():
        env = _worlds(config)
        try:
            return examine(config, env.envs)  # type: ignore[arg-type]
        finally:
            env.close()


def update_path(config: RunConfig, begun: str | None = None) -> tuple[str, str]:
    """Return which code takes the gradients of a run, and why, as its `run.json` will say it.

    Builds the networks, but no worlds for them and no buffer.

    Args:
        config: of the run.
        begun: the path that the run goes on from; None where it starts.

    Raises:
        ConfigError: native is asked for, and cannot be.
    """
    kind = AGENTS.get(config.learner_name)
    with said_as_config_error():
        if kind is None:
            refusal = autograd_only(config.learner_name)
            asked, who = wanted(config.placement.update)
            check_native(who, refusal if asked == "native" else None)
            return "torch", refusal
        agent = _agent(kind, config, None, config.learner.with_rows(1), _spaces(config))
    if begun is not None:
        agent.native.go_on(begun, agent)
    return agent.native.path, agent.native.reason


def check_update(config: RunConfig) -> None:
    """Raise ConfigError if native updates are asked for and cannot be."""
    with said_as_config_error():
        asked, _ = wanted(config.placement.update)
    if asked == "native":
        update_path(config)


def _spaces(config: RunConfig) -> TaskSpaces:
    """Return spaces of the sizes that a configuration's have; their bounds are made up."""
    observation, action = config.sizes
    hot = config.n_ids if config.n_ids > 1 else 0
    return TaskSpaces(
        gym.spaces.Box(-np.inf, np.inf, (observation + hot,)),
        gym.spaces.Box(-1.0, 1.0, (action,)),
        config.sequence.schedule.n_tasks,
        config.sequence.reveals,
    )


def _build_agent(kind: type[Agent], config: RunConfig, env: VecEnv | None) -> Trainable:
    with said_as_config_error():
        settings = _without_empty_rows(config)
        return AgentOnWorlds(_agent(kind, config, env or _worlds(config), settings))


def _agent(
    kind: type[Agent],
    config: RunConfig,
    env: VecEnv | None,
    settings: Any,
    spaces: TaskSpaces | None = None,
) -> Agent:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowUpdate)  # the first line of a run's log says it
        return kind(
            env, config.method, settings, seeds=config.seeds, parity=config.parity, spaces=spaces,
            device=config.placement.device, update=config.placement.update,
        )  # fmt: skip


def _worlds(config: RunConfig) -> SeedVecEnv:
    turns = config.method.interleaved
    makers = [partial(config.sequence.make, seed, turns) for seed in config.seeds]
    return SeedVecEnv(makers, [environment_seed(seed) for seed in config.seeds])


def _without_empty_rows(config: RunConfig) -> Any:
    """Return the learner's settings, its store no larger than what the run can put into it.

    Rows that are never filled take no memory, but Linux refuses to promise too many of them.
    """
    return config.learner.with_rows(stored_rows(config))


def _build_classifier(config: RunConfig, env: VecEnv | None) -> Trainable:
    if not isinstance(config.sequence, ToySequence):
        raise ConfigError("the stream of this run was made in Python and cannot be made again")
    with said_as_config_error():
        classifier = Classifier(
            config.sequence.stream(), config.method, config.learner, seeds=config.seeds,
            parity=config.parity,
        )  # fmt: skip
    return ClassifierOnStream(classifier, config.sequence.schedule)


AGENTS: dict[str, type[Agent]] = {"sac": ContinualSAC, "ppo": ContinualPPO}
"""Agents by name."""

BUILDERS: dict[str, Callable[[RunConfig, VecEnv | None], Trainable]] = {
    **{name: partial(_build_agent, kind) for name, kind in AGENTS.items()},
    "classifier": _build_classifier,
}
"""How a learner is made, by its name; in worlds that are given, or those of the configuration."""


def load_policy(
    directory: str | Path,
    task: int | None = None,
    env: VecEnv | None = None,
    method: Method | type[Method] | None = None,
) -> Any:
    """Return a run's agent (or classifier) with the policy that it had at the end of a task.

    Args:
        directory: the run directory.
        task: position of the task; None is the last one that was finished. Of interleaved tasks
            `k` is the policy after the steps of k + 1 tasks.
        env: the worlds, a `SeedVecEnv`, of a run whose own have no importable name.
        method: the class (or an object) of a run's method that has no importable name.

    Raises:
        ConfigError: the directory holds no run, the task is not finished, the run's worlds or
            method have no importable name and are not given, or its worlds are others by now.
        DamagedData: the snapshot is damaged.
    """
    return load_trained(directory, task, env, method).learner


def load_trained(
    directory: str | Path,
    task: int | None = None,
    env: VecEnv | None = None,
    method: Method | type[Method] | None = None,
) -> Trainable:
    """Return what `load_policy` does, with its worlds."""
    directory = Path(directory)
    config = RunConfig.load(directory / CONFIG_FILE, method)
    found = {int(path.name.partition("-")[0]): path for path in (directory / "tasks").glob("*-*")}
    if not found or (task is not None and task not in found):
        what = "no task" if task is None else f"task {task}"
        raise ConfigError(f"{directory}: {what} is finished, so there is no policy of it")
    begun = update_of(RunFile(directory).values)
    trained = BUILDERS[config.learner_name](_placed_here(config, begun), env)
    if env is None and (numbers := read_worlds(directory)) is not None:
        if text := differing_worlds(examine(config, trained.sequences), numbers):
            raise ConfigError(
                f"{directory}: the worlds that its configuration makes now are not those of the "
                f"run: {text}; give env= to act in others"
            )
    trained.load_policy_state(read_tensors(found[max(found) if task is None else task]))
    return trained


def _placed_here(config: RunConfig, begun: str) -> RunConfig:
    """Return a configuration that can be built here: a policy may come from another machine.

    Args:
        config: of the policy's run.
        begun: the path of its updates, which acts in the same bits where it can be had.
    """
    placement = dataclasses.replace(
        config.placement, update="torch" if begun == "torch" else "auto"
    )
    try:
        placement.check_device()
    except ConfigError:
        placement = dataclasses.replace(placement, device="auto")
    return dataclasses.replace(config, placement=placement)


def describe(
    learner: Learner,
    evaluation: Evaluation,
    log_every: int,
    steps_per_task: int | Sequence[int] | None = None,
) -> tuple[RunConfig, Trainable]:
    """Return the configuration of a run of a learner made in Python, and the learner to train.

    Args:
        learner: fresh.
        evaluation: when and how tasks are evaluated.
        log_every: steps between lines of `train.jsonl`.
        steps_per_task: updates on each task, of a classifier; the worlds of an agent say it.

    Raises:
        ConfigError: settings that do not fit together.
        ValueError: the learner's worlds are of another kind.
    """
    trained: Trainable
    if isinstance(learner, Classifier):
        if steps_per_task is None:
            raise ValueError("steps_per_task is None; a classifier's stream does not say it")
        sequence = stream_config(learner.stream, steps_per_task)
        trained = ClassifierOnStream(learner, sequence.schedule)
    else:
        assert isinstance(learner, Agent)
        if steps_per_task is not None:
            raise ValueError("steps_per_task is for a classifier; an agent's worlds have their own")
        env = worlds_of(learner)
        sequence, trained = recognised(env, learner.seeds), AgentOnWorlds(learner)
    device = str(getattr(learner, "device", "cpu"))
    update = learner.native.asked if isinstance(learner, Agent) else "auto"
    config = run_type(type(sequence), type(learner.settings))(
        sequence=sequence,
        learner=learner.settings,
        method=dataclasses.replace(learner.method),
        evaluation=evaluation,
        seeds=tuple(learner.seeds),
        parity=learner.parity,
        placement=PlacementConfig(device, torch.get_num_threads(), "default", update),
        logging=LoggingConfig(log_every=log_every),
    )
    return config, trained
