"""Functions that make a seed's sequence: by a name that was registered, or by where they stand."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable
from typing import Any

from clrl.envs.contract.answers import in_words
from clrl.envs.registered import parse_world
from clrl.envs.sequence import TaskSequence
from clrl.errors import ConfigError

WorldFunction = Callable[..., TaskSequence]
"""function(seed, **keywords)."""
ENTRY_POINTS = "clrl.worlds"

_registered: dict[str, WorldFunction] = {}


def register_world(name: str, function: WorldFunction) -> None:
    """Give a function(seed) -> TaskSequence a name, so that `--sequence NAME` finds it.

    A package registers its own, without being imported first, through an entry point of the group
    `clrl.worlds`.

    Raises:
        ValueError: another function has the name, or it is no word.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name) or not callable(function):
        raise ValueError(f"a world's name must be a word and {function!r} callable, got {name!r}")
    if _registered.setdefault(name, function) is not function:
        raise ValueError(f"the world {name!r} is registered already, as {_registered[name]}")


def world_names() -> list[str]:
    """Return the names that `--sequence` knows besides tasks and their sequences."""
    return sorted({*_registered, *_entry_points()})


def is_world_function(text: str) -> bool:
    """Return whether a text is a registered name, or has the form `package.module:function`.

    Either may be followed by arguments, as in `package.module:function?friction=0.5`.
    """
    text = text.partition("?")[0]
    module, colon, name = text.partition(":")
    dotted = all(part.isidentifier() for part in module.split("."))
    return text in world_names() or bool(colon and dotted and name.isidentifier())


def world_function(text: str) -> WorldFunction:
    """Return the function of a name, or of `package.module:function`, which is imported.

    Raises:
        ConfigError: there is none, or its module fails.
    """
    if text in _registered:
        return _registered[text]
    where = _entry_points().get(text, text)
    module, _, name = where.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except AttributeError:
        raise ConfigError(f"world {text!r}: {module} has no {name}") from None
    except Exception as error:  # whatever the module raises while it is imported
        reason = " ".join(str(error).split())
        raise ConfigError(f"world {text!r}: {module} cannot be imported: {reason}") from error
    if not callable(function):
        raise ConfigError(f"world {text!r} is {function!r}; it must be a function(seed)")
    made: WorldFunction = function
    return made


def call_world(function: str, seed: int) -> TaskSequence:
    """Return what a world function makes for a seed.

    Raises:
        ConfigError: it fails, or returns something else.
    """
    try:
        name, keywords = parse_world(function)
        sequence = world_function(name)(seed, **keywords)
    except ConfigError:
        raise
    except Exception as error:  # the user's code
        raise ConfigError(f"{function}({seed}) fails: {in_words(error)}") from error
    if not isinstance(sequence, TaskSequence):
        raise ConfigError(f"{function}({seed}) returns {sequence!r}; it must be a TaskSequence")
    return sequence


def function_name(function: object) -> str | None:
    """Return the text that `world_function` reads, None for a function that has none elsewhere."""
    for name, known in _registered.items():
        if known is function:
            return name
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found = getattr(sys.modules.get(str(module)), str(name), None)
    return f"{module}:{name}" if found is function and module != "__main__" else None


def _entry_points() -> dict[str, str]:
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point.value for point in found}


def said_by(sequence: TaskSequence, own: bool = True) -> dict[str, Any]:
    """Return what a sequence says of itself, as fields of a family's configuration.

    Args:
        sequence: made in Python, or by a function.
        own: whether the family is one of worlds that are not ours, which say more.
    """
    said: dict[str, Any] = {
        "tasks": sequence.task_names,
        "steps_per_task": sequence.schedule.steps_per_task,
        "reveals": sequence.reveals,
        "score": sequence.score,
        "score_range": sequence.score_range,
    }
    if own:
        per_seed = sequence.worlds == "per_seed"
        said |= {
            "name": sequence.name,
            "max_episode_steps": sequence.max_episode_steps,
            "per_seed": per_seed,
            "identity": () if per_seed else sequence.identity,
        }
    return said
