"""Dataclasses from plain values and back, with checks that name the field."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union

from clrl.agents.settings.fields import check_value, plain_values
from clrl.config.names import unknown
from clrl.errors import ConfigError

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Return a dataclass as nested dicts, lists, numbers, strings and None, ready for YAML."""
    if is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        return {
            f.name: plain(_converted(getattr(value, f.name), hints[f.name], f.name))
            for f in fields(value)
        }
    return [plain(item) for item in value] if isinstance(value, tuple) else plain_values(value)


def from_plain(
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
    """Return a value that YAML gave as the type of a field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return value if is_dataclass(value) else from_plain(hint, value, key)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType) and value is not None:
        lists = [part for part in arguments if typing.get_origin(part) is tuple]
        hint = lists[0] if lists and isinstance(value, (list, tuple)) else arguments[0]
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_converted(item, arguments[0], key) for item in value)
    if origin is Literal and value is False:
        value = "off"  # YAML reads a bare `off` as false
    if hint is float and type(value) in (int, str):
        try:
            value = float(value)  # YAML reads `1e-5` as a string
        except ValueError:
            pass
    try:
        return check_value(value, hint, key)
    except ValueError as error:
        raise ConfigError(str(error)) from None
