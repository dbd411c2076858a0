"""Checks of a dataclass's fields, from their annotations and the ranges they declare."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Union

PHRASES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    type(None): "none",
}


@dataclass(frozen=True)
class Range:
    """The numbers that a field may have, always finite ones."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, number: float) -> bool:
        """Return whether a number lies in it."""
        return (
            _finite(number)
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"in {self.least}..{self.most}"
        limits = {
            "at least": self.least, "above": self.above, "at most": self.most, "below": self.below,
        }  # fmt: skip
        said = [f"{words} {limit}" for words, limit in limits.items() if limit is not None]
        return " and ".join(said) or "finite"


def number(
    default: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    task_share: float | None = None,
) -> Any:
    """Return a dataclass field for numbers in a range; of a tuple every one must lie in it.

    Args:
        default: the field's default.
        least: the smallest number that is allowed.
        most: the largest one.
        above: what all numbers must be larger than.
        below: what all numbers must be smaller than.
        task_share: the share of a task that a number of steps is, where it follows its length.

    Example:
        >>> @dataclass
        ... class Settings:
        ...     gamma: float = number(0.99, least=0, most=1)
        >>> check_fields(Settings(gamma=2), "sac")
        Traceback (most recent call last):
        ValueError: sac.gamma is 2; it must be in 0..1
    """
    metadata = {"range": Range(least, most, above, below), "task_share": task_share}
    return field(default=default, metadata=metadata)


def check_fields(settings: Any, where: str) -> None:
    """Check the fields of a dataclass, and make plain Python values of NumPy's and of lists.

    Called by `__post_init__`, it holds from Python as from the command line.

    Args:
        settings: the dataclass; a frozen one too.
        where: its name in messages.

    Raises:
        ValueError: a field has a value that its annotation or its range does not allow, naming
            field, value and what is allowed.
    """
    hints = _hints(type(settings))
    for f in fields(settings):
        key, given = f"{where}.{f.name}", getattr(settings, f.name)
        value = check_value(given, hints.get(f.name, Any), key)
        _check_range(value, f.metadata.get("range", Range()), key)
        if "range" in f.metadata and value == ():
            raise ValueError(f"{key} is empty; give at least one number")
        if value is not given:
            object.__setattr__(settings, f.name, value)


def check_value(value: Any, hint: Any, key: str) -> Any:
    """Return a value as a plain one of the annotated type.

    Args:
        value: what was given.
        hint: a Literal, int, float, bool, str, None, a tuple or a union of these; anything else is
            not looked at.
        key: its name in messages.

    Raises:
        ValueError: it has another type, or is none of the words (with the closest one).
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # a NumPy scalar, or an array of one number
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, key)
    if origin is tuple:
        return _tuple(value, arguments, key)
    if origin is Literal:
        return _word(value, arguments, key)
    if hint in PHRASES:
        allowed = (int, float) if hint is float else (hint,)
        if type(value) not in allowed:  # bool is a subclass of int, and no number
            raise ValueError(f"{key} is {value!r}; it must be {PHRASES[hint]}")
    return value


def whole_number(value: Any, key: str, least: int = 0) -> int:
    """Return a number of steps as a plain one; 1e5 is one too.

    Raises:
        ValueError: it is no whole number, or less than the least.
    """
    value = check_value(value, Any, key)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or value < least:
        raise ValueError(f"{key} is {value!r}; it must be a whole number of at least {least}")
    return value


def plain_values(value: Any) -> Any:
    """Return nested lists, dicts and numbers of Python in place of NumPy's, torch's and tuples."""
    if isinstance(value, Mapping):
        return {plain_values(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _one_of(value: Any, hints: tuple[Any, ...], key: str) -> Any:
    """Return a value of one of some types."""
    for hint in hints:
        try:
            return check_value(value, hint, key)
        except ValueError as error:
            refusal = error
    if len(hints) == 2 and type(None) in hints:  # the other type's own sentence says more
        check_value(value, next(hint for hint in hints if hint is not type(None)), key)
    phrases = [PHRASES.get(hint, "a list") for hint in hints]
    raise ValueError(f"{key} is {value!r}; it must be {' or '.join(phrases)}") from refusal


def _tuple(value: Any, hints: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    """Return a tuple, from a list or an array too."""
    items = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(items, (list, tuple)):
        raise ValueError(f"{key} is {value!r}; it must be a list")
    each = [hints[0]] * len(items) if hints[-1] is Ellipsis else list(hints)
    if len(each) != len(items):
        raise ValueError(f"{key} is {value!r}; it must have {len(each)} values")
    checked = tuple(check_value(item, hint, key) for item, hint in zip(items, each, strict=True))
    same = isinstance(value, tuple) and all(a is b for a, b in zip(checked, value, strict=True))
    return value if same else checked


def _word(value: Any, words: tuple[Any, ...], key: str) -> Any:
    """Return one of some words."""
    if any(type(value) is type(word) and value == word for word in words):
        return value
    listed = " or ".join(map(str, words))
    close = difflib.get_close_matches(str(value).lower(), map(str, words), n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"{key} is {value!r}; it must be {listed}{hint}")


def _check_range(value: Any, allowed: Range, key: str) -> None:
    """Raise ValueError if a number, or one of a tuple, does not lie in a range."""
    for item in value if isinstance(value, tuple) else (value,):
        if type(item) in (int, float) and not allowed.holds(item):
            raise ValueError(f"{key} is {value}; it must be {allowed}")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _hints(kind: type) -> dict[str, Any]:
    """Return the annotations of a class."""
    try:
        return typing.get_type_hints(kind)
    except NameError:  # of a class inside a function, whose names nobody else knows
        return _hints(kind.__mro__[1])
