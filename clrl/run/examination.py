"""Worlds are tried before a run: whether they keep the contract, and are those of the run."""

from __future__ import annotations

import json
import weakref
from collections.abc import Hashable, Sequence
from pathlib import Path

import gymnasium as gym

from clrl.config.families.own import PER_SEED
from clrl.config.run import RunConfig
from clrl.config.schema import CONFIG_FILE
from clrl.envs.contract.identity import differing_identity
from clrl.envs.contract.probe import Numbers, probe
from clrl.envs.makers import world_key
from clrl.envs.sequence import TaskSequence
from clrl.errors import ConfigError, DamagedData, said_as_config_error
from clrl.results.reading import (
    ALL,
    WORLDS_FILE,
    WorldNumbers,
    differing_tasks,
    differing_worlds,
    read_worlds,
)
from clrl.run.checkpoint import write_file


def examine(config: RunConfig, sequences: Sequence[TaskSequence]) -> WorldNumbers | None:
    """Try every different world of a run once, and return what they did.

    Args:
        config: the run's configuration.
        sequences: those of its seeds.

    Returns:
        None for worlds of our own families, which are tried in the tests.

    Raises:
        ConfigError: a world breaks the contract, or is not the same for all seeds without being
            declared so.
    """
    if not config.sequence.probed or not sequences:
        return None
    tried: dict[Hashable, Numbers] = {}
    objects: list[weakref.ref[gym.Env]] = []
    found = []
    with said_as_config_error():
        for sequence in sequences:
            keys = [world_key(maker) for maker in sequence.makers]  # a call may change arguments
            for task, (maker, key) in enumerate(zip(sequence.makers, keys, strict=True)):
                if key not in tried:
                    where = sequence.called(task)
                    tried[key] = probe(maker, where, sequence.max_episode_steps, objects)
            found.append([tried[key] for key in keys])
    if sequences[0].worlds == "per_seed":
        return {str(seed): tasks for seed, tasks in zip(config.seeds, found, strict=True)}
    for seed, sequence, tasks in zip(config.seeds, sequences, found, strict=True):
        other = differing_identity(sequence.identity, sequences[0].identity)
        if other := other or differing_tasks(tasks, found[0]):
            raise ConfigError(
                f"seed {seed} has other worlds than seed {config.seeds[0]}: {other}. {PER_SEED}"
            )
    return {ALL: found[0]}


def check_worlds_of(directory: Path, worlds: WorldNumbers | None) -> None:
    """Check that a directory's run is one of these worlds.

    Raises:
        ConfigError: it is of others.
        DamagedData: its `worlds.json` cannot be read, or is not there.
    """
    if worlds is None or not (directory / CONFIG_FILE).exists():
        return
    stored = read_worlds(directory)
    if stored is None and (directory / "checkpoints").exists():
        raise DamagedData(
            f"{directory / WORLDS_FILE} is missing: nobody can say whether the run is one of these "
            "worlds; another directory starts it anew"
        )
    if text := differing_worlds(worlds, stored):
        raise ConfigError(
            f"--out {directory} holds a run of other worlds: {text}; give another --out, or the "
            "worlds that it has"
        )


def write_worlds(directory: Path, worlds: WorldNumbers | None) -> None:
    """Write a run's `worlds.json`, unless it is there."""
    if worlds is not None and not (directory / WORLDS_FILE).exists():
        write_file(directory / WORLDS_FILE, (json.dumps(worlds) + "\n").encode())


def cut_episodes(sequences: Sequence[TaskSequence]) -> str | None:
    """Say which tasks have episodes that would not end, None if none has."""
    if not sequences or not sequences[0].cut:
        return None
    first = sequences[0]
    names = ", ".join(first.called(task) for task in first.cut)
    return (
        f"no time limit: episodes of {names} are cut after {first.max_episode_steps:,} steps "
        "(max_episode_steps)"
    )
