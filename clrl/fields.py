"""Dataclasses from plain values and back, with checks that name the field."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union

from clrl.errors import ConfigError
from clrl.names import unknown

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Return a dataclass as nested dicts, lists, numbers, strings and None, ready for YAML."""
    if is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        return {
            f.name: plain(_converted(getattr(value, f.name), hints[f.name], f.name))
            for f in fields(value)
        }
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def build(
    kind: type[T],
    values: Any,
    where: str = "",
    types: Mapping[str, type] | None = None,  # noqa: A002
) -> T:
    """Return a dataclass from nested plain values.

    Args:
        kind: the dataclass.
        values: what YAML gave; missing keys take the fields' defaults.
        where: dotted key of `values`, for messages.
        types: types of fields whose annotation is only a base class.

    Raises:
        ConfigError: an unknown key, a missing one without default, or a value of a wrong type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is {values!r}; it must be a mapping")
    hints = {**typing.get_type_hints(kind), **(types or {})}
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in known:
            raise ConfigError(unknown("key", f"{prefix}{key}", [prefix + name for name in known]))
    for name, f in known.items():
        if name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{prefix}{name} is missing")
    return _checked(kind, {k: _converted(v, hints[k], prefix + k) for k, v in values.items()})


def _checked(kind: type[T], arguments: dict[str, Any]) -> T:
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _converted(value: Any, hint: Any, key: str) -> Any:
    """Return a plain value as the type of a field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return value if is_dataclass(value) else build(hint, value, key)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):  # only "something or nothing" occurs
        return None if value is None else _converted(value, arguments[0], key)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_converted(item, arguments[0], key) for item in value)
    if origin is Literal:
        word = "off" if value is False else value  # YAML reads a bare `off` as false
        if isinstance(word, str) and word in arguments:
            return word
        raise ConfigError(f"{key} is {value!r}; it must be {' or '.join(arguments)}")
    if hint is float and type(value) in (int, float, str):
        try:
            return float(value)  # YAML reads `1e-5` as a string
        except ValueError:
            pass
    elif type(value) is hint:
        return value
    raise ConfigError(f"{key} is {value!r}; it must be {_phrase(hint)}")


def _phrase(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    return names.get(hint, "a list")


def check_choices(settings: Any, where: str) -> None:
    """Check fields of a dataclass that take one of some words.

    Raises:
        ConfigError: one has another value, naming field, value and choices.
    """
    hints = typing.get_type_hints(type(settings))
    for f in fields(settings):
        if typing.get_origin(hints[f.name]) is Literal:
            _converted(getattr(settings, f.name), hints[f.name], f"{where}.{f.name}")


def check_ranges(
    settings: Any,
    where: str,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    shares: Sequence[str] = (),
    finite: Sequence[str] = (),
) -> None:
    """Check numbers of a dataclass; None is allowed, a tuple is checked number by number.

    Args:
        settings: the dataclass.
        where: its name in messages.
        positive: names of fields that must be above 0.
        not_negative: names of fields that must be at least 0.
        shares: names of fields that must be in 0..1.
        finite: names of fields that may be any finite number.

    Raises:
        ConfigError: a number is not, naming field and value.
    """
    for names, low, high, phrase in (
        (positive, math.ulp(0.0), math.inf, "above 0"),
        (not_negative, 0.0, math.inf, "at least 0"),
        (shares, 0.0, 1.0, "in 0..1"),
        (finite, -math.inf, math.inf, "finite"),
    ):
        for name in names:
            value = getattr(settings, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not (low <= number <= high and math.isfinite(number)):
                    raise ConfigError(f"{where}.{name} is {value}; it must be {phrase}")
