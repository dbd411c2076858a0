"""What a world says it is: where it is registered, with which keywords, its class, its wrappers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit

Identity = dict[str, Any]
"""{spec: id or None, keywords: {...}, class: "module:Class", wrappers: [...] from inside out}."""


def identity_of(env: gym.Env) -> Identity:
    """Return what a world says it is, in plain values.

    Not all that makes a world can be read off it: an object that is made without `gymnasium.make`
    keeps its arguments to itself. `probe` finds by its numbers what this does not show.
    """
    spec = env.unwrapped.spec
    keywords = dict(spec.kwargs) if spec is not None else {}
    keywords.pop("render_mode", None)  # it changes no number
    return {
        "spec": None if spec is None else spec.id,
        "keywords": {str(key): _plain(value) for key, value in sorted(keywords.items())},
        "class": _name(type(env.unwrapped)),
        "wrappers": [_wrapper(wrapper) for wrapper in reversed(list(wrappers(env)))],
    }


def differing_identity(one: Sequence[Identity], other: Sequence[Identity]) -> str | None:
    """Say in what the worlds of two sequences differ, None if in nothing that they say.

    Example:
        >>> differing_identity([{"class": "a:A"}], [{"class": "a:B"}])
        "task 0 has the class 'a:A' instead of 'a:B'"
    """
    if len(one) != len(other):
        return f"{len(one)} worlds instead of {len(other)}"
    for task, (mine, its) in enumerate(zip(one, other, strict=True)):
        for key in mine.keys() | its.keys():
            if mine.get(key) != its.get(key):
                return f"task {task} has the {key} {mine.get(key)!r} instead of {its.get(key)!r}"
    return None


def time_limit(env: gym.Env) -> int | None:
    """Return after how many steps a world's episodes are truncated at the latest, if it says so.

    It does in its spec, or by Gymnasium's wrapper.
    """
    limits = [wrapper._max_episode_steps for wrapper in wrappers(env) if type(wrapper) is TimeLimit]
    spec = env.unwrapped.spec
    if not limits and spec is not None and spec.max_episode_steps:
        limits = [spec.max_episode_steps]
    return min(limits, default=None)


def wrappers(env: gym.Env) -> Iterator[gym.Wrapper]:
    """Go through a world's wrappers, the outermost first."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


def _wrapper(wrapper: gym.Wrapper) -> str:
    saved = {
        key: value for key, value in getattr(wrapper, "_saved_kwargs", {}).items() if key != "env"
    }
    keywords = ", ".join(f"{key}={_plain(value)}" for key, value in sorted(saved.items()))
    inside = type(wrapper).__module__.startswith("gymnasium.")
    name = type(wrapper).__qualname__ if inside else _name(type(wrapper))
    return f"{name}({keywords})" if keywords else name


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; of what it has no word for, the name of its type."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # NaN is not equal to itself
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    named = inspect.isclass(value) or inspect.isroutine(value)
    return _name(value if named else type(value))


def _name(named: Any) -> str:
    return f"{named.__module__}:{named.__qualname__}"
