"""Makers of worlds: calling them, and when two of them make the same world."""

from __future__ import annotations

import types
from collections.abc import Hashable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from clrl.envs.contract.answers import in_words

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def make_world(maker: Any, where: str) -> gym.Env:
    """Return the environment that a maker makes.

    Args:
        maker: any callable without arguments.
        where: the task's name in messages.

    Raises:
        ValueError: it is no callable, fails, or makes no environment.
    """
    if not callable(maker):
        what = "an environment" if isinstance(maker, gym.Env) else "no function"
        raise ValueError(
            f"{where}: its maker is {maker!r}, {what}; it must be a function that makes one, as "
            'functools.partial(gymnasium.make, "Pendulum-v1") is'
        )
    try:
        env = maker()
    except Exception as error:  # the user's code
        raise ValueError(f"{where}: its maker {maker!r} fails: {in_words(error)}") from error
    if not isinstance(env, gym.Env):
        raise ValueError(f"{where}: its maker {maker!r} makes {env!r}; it must be a gymnasium.Env")
    return env


def world_key(maker: Any) -> Hashable:
    """Return a key that two makers share if they call equal functions with equal arguments.

    Makers are never told apart by a name, nor joined by one. `functools.partial` objects, and
    functions that the same `def` or `lambda` made again, are compared by what they hold: code,
    defaults, closure and arguments. What cannot be compared is equal only to itself. Keys hold as
    long as the makers live.

    Example:
        >>> world_key(partial(int, "7", base=8)) == world_key(partial(int, "7", base=8))
        True
        >>> world_key(partial(int, "7", base=8)) == world_key(partial(int, "7", base=9))
        False
    """
    return _key(maker, ())


def _key(value: Any, inside: tuple[int, ...]) -> Hashable:
    if id(value) in inside:  # a function that calls itself
        return "itself", inside.index(id(value))
    inside = (*inside, id(value))
    kind = type(value)  # of subclasses nobody knows what else they hold
    if kind in _PLAIN or isinstance(value, np.generic):
        return kind, repr(value)  # True is not 1, and 0.0 not -0.0
    if kind is partial and not vars(value):
        return partial, _key([value.func, value.args, value.keywords], inside)
    if isinstance(value, types.FunctionType):
        own = (value.__defaults__, value.__kwdefaults__, vars(value))
        held = (*own, *map(_content, value.__closure__ or ()))
        # Code is made once per `def`, however often that runs.
        return id(value.__code__), id(value.__globals__), _key(held, inside)
    if isinstance(value, types.MethodType):
        return id(value.__self__), id(value.__func__)
    if kind in (list, tuple):
        return kind, tuple(_key(item, inside) for item in value)
    if kind is dict:
        return dict, frozenset((_key(k, inside), _key(v, inside)) for k, v in value.items())
    if kind is np.ndarray and not value.dtype.hasobject:
        return str(value.dtype), value.shape, value.tobytes()
    return id(value)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return cell
