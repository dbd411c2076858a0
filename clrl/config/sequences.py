"""What `--sequence` takes: from a word on the command line to a family of worlds."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields, replace
from typing import Any

import gymnasium as gym

from clrl.config.families import (
    FunctionSequence,
    GymnasiumSequence,
    MetaWorldSequence,
    SequenceConfig,
    ToySequence,
)
from clrl.config.worlds import call_world, is_world_function, said_by, world_names
from clrl.envs.metaworld.tasks import METAWORLD_TASKS, SEQUENCES
from clrl.envs.registered import is_registered
from clrl.errors import ConfigError


def sequence_named(text: str, seed: int = 0, **settings: Any) -> SequenceConfig:
    """Return the sequence that a text names.

    * CW10, CW20, or Meta-World tasks between commas;
    * environments registered with Gymnasium between commas, each `ID?KEYWORD=VALUE&KEYWORD=VALUE`;
    * `package.module:function`, or the name of a registered world: `function(seed)` is called;
    * toy: three tasks of the toy stream; `toy-0,toy-1` as many as are listed.

    Args:
        text: what stands after `--sequence`.
        seed: for a function.
        settings: fields of `SequenceConfig` in place of its defaults; a function's sequence has its
            own.

    Raises:
        ConfigError: nothing has this name (with the closest that there is), or it cannot be made.
    """
    family, names = _family_of(text), _names(text)
    if family is FunctionSequence:
        return _of_function(text, seed)
    if text == "toy":
        return ToySequence(**settings)
    return family(SEQUENCES.get(text, names), **settings)


def check_sequence(text: str) -> None:
    """Raise ConfigError, with the closest name, unless a text names a sequence; makes nothing."""
    _family_of(text)


def settings_of(settings: SequenceConfig, worlds: SequenceConfig) -> SequenceConfig:
    """Return a sequence of some worlds with the settings of another one of its family."""
    if type(settings) is not type(worlds) or isinstance(worlds, FunctionSequence):
        return worlds
    named = ("tasks", "worlds", "name", "identity")
    kept = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in named}
    return replace(worlds, **kept)


def _family_of(text: str) -> type[SequenceConfig]:
    names = _names(text)
    if is_world_function(text):
        return FunctionSequence
    if text == "toy" or all(re.fullmatch(r"toy-\d+", name) for name in names):
        return ToySequence
    if text in SEQUENCES or all(name in METAWORLD_TASKS for name in names):
        return MetaWorldSequence
    if all(is_registered(name) for name in names):
        return GymnasiumSequence
    raise ConfigError(_unknown(names))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _of_function(text: str, seed: int) -> FunctionSequence:
    made = call_world(text, seed)
    try:
        return FunctionSequence(**said_by(made), function=text)
    finally:
        made.close()


def _unknown(names: tuple[str, ...]) -> str:
    """Return the sentence on the first name that fits nothing, or not beside the others."""
    strange = [n for n in names if n not in METAWORLD_TASKS and not is_registered(n)]
    if not strange:
        return (
            f"sequence {','.join(names)} mixes tasks of Meta-World with environments of Gymnasium; "
            "give one kind"
        )
    name = strange[0]
    known = [*METAWORLD_TASKS, *(SEQUENCES if len(names) == 1 else ()), *world_names(), "toy"]
    word = name.partition("?")[0]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    close += difflib.get_close_matches(word, gym.registry, n=1, cutoff=0.75)
    best = max(close, key=lambda k: difflib.SequenceMatcher(None, word, k).ratio(), default=None)
    hint = f"did you mean {best!r}?" if best else "`clrl list tasks` shows all"
    return f"unknown task {name!r}; {hint}"
