"""Sequences of environments that are registered with Gymnasium, written as texts."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import gymnasium as gym

from clrl.envs.contract.identity import Identity, identity_of
from clrl.envs.interleaved import InterleavedTasks
from clrl.envs.sequence import TaskSequence

_WORDS = {"True": True, "False": False, "None": None}


def parse_world(text: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the keywords of a world written as `ID?KEYWORD=VALUE&KEYWORD=VALUE`.

    A value is JSON where it can be read so, and a word otherwise; `%26` stands for `&`.

    Raises:
        ValueError: a keyword without a value, or twice.

    Example:
        >>> parse_world("Pendulum-v1?g=2.5&render_mode=rgb_array")
        ('Pendulum-v1', {'g': 2.5, 'render_mode': 'rgb_array'})
    """
    name, _, rest = text.partition("?")
    keywords: dict[str, Any] = {}
    for part in rest.split("&") if rest else []:
        keyword, equals, value = part.partition("=")
        if not equals or not keyword.isidentifier() or keyword in keywords:
            raise ValueError(
                f"world {text!r}: {part!r} must be KEYWORD=VALUE, each keyword once, "
                "as in Pendulum-v1?g=2"
            )
        keywords[keyword] = _value(unquote(value))
    return name, keywords


def _value(text: str) -> Any:
    try:
        return _WORDS[text] if text in _WORDS else json.loads(text)
    except ValueError:
        return text


def format_world(name: str, keywords: dict[str, Any]) -> str | None:
    """Return the text that `parse_world` reads, None where there is none for a value."""
    parts = []
    for keyword, value in keywords.items():
        try:
            text = value if isinstance(value, str) else json.dumps(value)
        except (TypeError, ValueError):
            return None
        if _value(text) != value or type(_value(text)) is not type(value):
            text = json.dumps(value)
        if _value(text) != value:
            return None
        parts.append(f"{keyword}={quote(text, safe='[]{}:.-+ ')}")
    return f"{name}?{'&'.join(parts)}" if parts else name


def is_registered(text: str) -> bool:
    """Return whether a world's id is registered; an id with a module imports that first."""
    try:
        gym.spec(text.partition("?")[0])
    except (gym.error.Error, ImportError):
        return False
    return True


def world_maker(text: str) -> Callable[[], gym.Env]:
    """Return the maker of a world.

    Raises:
        ValueError: it is not registered, or cannot be made with these keywords.
    """
    name, keywords = parse_world(text)
    if not is_registered(text):
        close = difflib.get_close_matches(name, gym.registry, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown world {name!r}: Gymnasium has no such id{hint}")
    maker = partial(gym.make, name, **keywords)
    _made(maker, text)
    return maker


def registered_identity(text: str) -> Identity:
    """Return what a world says it is.

    Raises:
        ValueError: as `world_maker`.
    """
    return identity_of(_made(world_maker(text), text))


def _made(maker: Callable[[], gym.Env], text: str) -> gym.Env:
    """Return a world, which is closed again."""
    try:
        env = maker()
    except Exception as error:  # whatever its constructor raises
        reason = " ".join(str(error).split())
        raise ValueError(f"world {text!r} cannot be made: {reason}") from error
    with contextlib.suppress(Exception):
        env.close()
    return env


def registered_worlds(
    worlds: Sequence[str],
    steps_per_task: int | Sequence[int],
    task_names: Sequence[str] | None = None,
    interleaved: bool = False,
    **told: Any,
) -> TaskSequence:
    """Return a sequence of registered environments.

    Args:
        worlds: one per task, as `parse_world` reads them.
        steps_per_task: steps spent on each task, one number or one per task.
        task_names: one per task; by default the worlds' texts.
        interleaved: let the tasks take turns, an episode each (`InterleavedTasks`).
        **told: keywords of `TaskSequence`.

    Raises:
        ValueError: a world that is not registered or cannot be made, or whose spaces differ.
    """
    makers = {world: world_maker(world) for world in worlds}
    kind = InterleavedTasks if interleaved else TaskSequence
    return kind([makers[w] for w in worlds], steps_per_task, task_names or list(worlds), **told)
