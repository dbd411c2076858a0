"""Worlds made in Python, as a configuration names them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym

from clrl.config.families import (
    CustomSequence,
    FunctionSequence,
    GymnasiumSequence,
    MetaWorldSequence,
    SequenceConfig,
    ToySequence,
)
from clrl.config.worlds import function_name, said_by
from clrl.envs.makers import world_key
from clrl.envs.registered import format_world
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream
from clrl.envs.vector import SeedVecEnv


def recognised(env: SeedVecEnv, seeds: Sequence[int]) -> SequenceConfig:
    """Return the configuration of the worlds of all seeds.

    Worlds that a configuration can make again become one of the family that does: Meta-World's,
    Gymnasium's registered ones, or those of an importable function(seed) that every seed's maker
    calls with its seed and equal keywords (`partial(function, seed, friction=0.5)`). All
    others are `CustomSequence`.
    """
    sequences: list[Any] = env.envs
    first = sequences[0]
    said = said_by(first)
    if all(_same_worlds(first, other) for other in sequences):
        if (settings := _of_metaworld(first)) is not None:
            return MetaWorldSequence(**said_by(first, own=False), **settings)
        if (worlds := _of_gymnasium(first)) is not None:
            said.pop("per_seed")  # they are the same
            return GymnasiumSequence(**said | {"identity": first.identity}, worlds=worlds)
    if (name := _of_function(env, seeds)) is not None:
        return FunctionSequence(**said, function=name)
    return CustomSequence(**said)


def _same_worlds(one: TaskSequence, other: TaskSequence) -> bool:
    return [world_key(maker) for maker in one.makers] == [world_key(m) for m in other.makers]


def _of_metaworld(sequence: TaskSequence) -> dict[str, Any] | None:
    """Return the settings that all tasks share, None unless they are Meta-World's."""
    imported = sys.modules.get("clrl.envs.metaworld.world")  # whoever made such a world imported it
    kind = getattr(imported, "MetaWorld", None)
    settings: list[dict[str, Any]] = []
    for name, maker in zip(sequence.task_names, sequence.makers, strict=True):
        if not isinstance(maker, partial) or maker.func is not kind or maker.args != (name,):
            return None
        settings.append(maker.keywords)
    known = {"horizon", "randomization", "fixes"}
    alike = all(own == settings[0] for own in settings) and settings[0].keys() <= known
    return settings[0] if alike else None


def _of_gymnasium(sequence: TaskSequence) -> tuple[str, ...] | None:
    """Return the texts of the worlds, None unless all are `partial(gymnasium.make, ...)`."""
    texts = []
    for maker in sequence.makers:
        if not isinstance(maker, partial) or maker.func is not gym.make or len(maker.args) != 1:
            return None
        name = maker.args[0]
        text = format_world(name, maker.keywords) if isinstance(name, str) else None
        if text is None:
            return None
        texts.append(text)
    return tuple(texts)


def _of_function(env: SeedVecEnv, seeds: Sequence[int]) -> str | None:
    """Return the name of the function that makes every seed's worlds from its seed."""
    names = set()
    for maker, seed in zip(env.makers, seeds, strict=True):
        if not isinstance(maker, partial) or maker.args != (seed,):
            return None
        name = function_name(maker.func)
        names.add(format_world(name, maker.keywords) if name is not None else None)
    return names.pop() if len(names) == 1 else None


def stream_config(stream: Any, steps_per_task: int | Sequence[int]) -> SequenceConfig:
    """Return the configuration of a stream: `ToyStream` can be made again, others are custom."""
    lengths = steps_per_task if isinstance(steps_per_task, int) else tuple(steps_per_task)
    told: dict[str, Any] = {
        "steps_per_task": lengths,
        "reveals": getattr(stream, "reveals", "task"),
        "score": "accuracy",
    }
    if isinstance(stream, ToyStream):
        names = tuple(f"toy-{task}" for task in range(stream.n_tasks))
        return ToySequence(names, **told, dim=stream.dim, examples=stream.examples)
    return CustomSequence(tuple(f"task-{task}" for task in range(stream.n_tasks)), **told)
