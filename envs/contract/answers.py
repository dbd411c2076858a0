"""What a world returns, as plain values; anything else is refused with a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np

_REAL = "biuf"
"""Kinds of NumPy's types that hold real numbers."""


class BrokenWorld(ValueError):
    """A world returned what it may not return; the message names the task and the field."""


def in_words(error: Exception) -> str:
    """Return an exception of somebody's code in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def read_reset(result: Any, where: str) -> tuple[Any, dict[str, Any]]:
    """Return observation and info of `reset`.

    Args:
        result: what it returned.
        where: the world's name in messages.

    Raises:
        BrokenWorld: it is not such a pair.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise BrokenWorld(
            f"{where}: reset returns {_kind(result)}; it must return (observation, info)"
        )
    observation, info = result
    return observation, _info(info, f"{where}: reset")


def read_step(result: Any, where: str) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """Return observation, reward, terminated, truncated and a copy of the info of `step`.

    Args:
        result: what it returned. A reward or flag of one number counts whatever its shape.
        where: the world's name in messages.

    Raises:
        BrokenWorld: it is no such tuple, or something in it is no number, flag or dict.
    """
    if not isinstance(result, tuple) or len(result) != 5:
        raise BrokenWorld(
            f"{where}: step returns {_kind(result)}; it must return (observation, reward, "
            "terminated, truncated, info), as Gymnasium's environments do"
        )
    observation, reward, terminated, truncated, info = result
    return (
        observation,
        reward if type(reward) is float else number(reward, f"{where}: the reward"),
        terminated if type(terminated) is bool else _flag(terminated, f"{where}: terminated"),
        truncated if type(truncated) is bool else _flag(truncated, f"{where}: truncated"),
        dict(_info(info, f"{where}: step")),
    )


def read_success(info: dict[str, Any], where: str) -> float | None:
    """Return the success that a step reports, 0 to 1; None if it reports none.

    It stands under `success` or, as Stable-Baselines3 and Gymnasium-Robotics have it,
    `is_success`.

    Raises:
        BrokenWorld: it is no number from 0 to 1.
    """
    for key in ("success", "is_success"):
        if (value := info.get(key)) is not None:
            success = number(value, f"{where}: info[{key!r}]")
            if not 0.0 <= success <= 1.0:
                raise BrokenWorld(f"{where}: info[{key!r}] is {success}; it must be from 0 to 1")
            return success
    return None


def number(value: Any, what: str) -> float:
    """Return a real number, which may be an array or a tensor of one.

    Raises:
        BrokenWorld: it is none, or several.
    """
    array = _array(value)
    if array is None or array.size != 1:
        raise BrokenWorld(f"{what} is {_kind(value)}; it must be one number")
    return float(array.item())


def read_observation(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return an observation as an array.

    Raises:
        BrokenWorld: it has another shape than its space, or holds no real numbers.
    """
    array = value if type(value) is np.ndarray else _array(value)
    if array is None or array.dtype.kind not in _REAL:
        raise BrokenWorld(f"{where}: the observation is {_kind(value)}; it must hold real numbers")
    if array.shape != shape:
        raise BrokenWorld(
            f"{where}: the observation has the shape {array.shape}; its space says {shape}"
        )
    return array


def _flag(value: Any, what: str) -> bool:
    array = _array(value)
    if array is None or array.size != 1 or array.item() not in (0, 1):
        raise BrokenWorld(f"{what} is {_kind(value)}; it must be true or false")
    return bool(array.item())


def _info(info: Any, what: str) -> dict[str, Any]:
    if not isinstance(info, dict):
        raise BrokenWorld(f"{what} returns the info {_kind(info)}; it must be a dict")
    return info


def _array(value: Any) -> np.ndarray | None:
    """Return real numbers as an array; None for anything else, tensors with gradients too."""
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return array if array.dtype.kind in _REAL else None


def _kind(value: Any) -> str:
    """Say what a value is, in few words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"an array of the shape {value.shape} and type {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
