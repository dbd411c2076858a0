"""Which methods there are: built-in ones, those of installed packages, and a user's own."""

from __future__ import annotations

import difflib
import importlib
import logging
import operator
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from clrl.agents.methods.base import Method

GROUP = "clrl.methods"
"""The entry points by which an installed package adds methods: `retreat = "package.file:Class"`."""


class Methods(Mapping[str, type[Method]]):
    """Methods by name, built-in ones first.

    Entry points are loaded when a name is not known otherwise, or when all names are asked for. One
    that cannot be used is named in a line of the log and stops nothing.

    Args:
        built_in: the methods of this package.
    """

    def __init__(self, built_in: Mapping[str, type[Method]]):
        self._known = dict(built_in)
        self._waiting = True

    def __getitem__(self, name: str) -> type[Method]:
        if name not in self._known:
            self._load()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._known)

    def __len__(self) -> int:
        self._load()
        return len(self._known)

    def add(self, name: str, cls: Any) -> None:
        """Add a method; see `register_method`."""
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ValueError(
                f"the name of a method is {name!r}; allowed are small letters and digits, with "
                "hyphens between them"
            )
        check_is_method(cls, name)
        old = self._known.get(name, cls)
        if _path(old) != _path(cls):  # a notebook's cell that runs again makes its class anew
            raise ValueError(
                f"the method {name!r} is {_path(old)} already; choose another name for {_path(cls)}"
            )
        if any(kind is cls and other != name for other, kind in self._known.items()):
            raise ValueError(f"{_path(cls)} has the name {self.name_of(cls)!r} already")
        self._known[name] = cls

    def name_of(self, cls: type[Method]) -> str | None:
        """Return the name of a class; None if it has none."""
        if cls not in self._known.values():
            self._load()
        return next((name for name, kind in self._known.items() if kind is cls), None)

    def _load(self) -> None:
        """Load the entry points, once."""
        if not self._waiting:
            return
        self._waiting = False
        for point in entry_points(group=GROUP):
            try:
                self.add(point.name, point.load())
            except Exception as error:  # whatever a foreign package does wrong
                _log_broken(point, error)


def _log_broken(point: EntryPoint, error: Exception) -> None:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    logging.getLogger("clrl").warning(
        "the entry point %s = %r of %s cannot be used: %s", point.name, point.value, GROUP, reason
    )


def check_is_method(cls: Any, name: str) -> None:
    """Raise ValueError unless something is a class of methods."""
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise ValueError(
            f"{name!r} is {cls!r}; needed is a class that is a clrl.agents.methods.Method"
        )


def import_class(name: str) -> type[Method]:
    """Return the class of a method named "package.module:Class", importing its module.

    Raises:
        ValueError: there is no such module, it cannot be imported, it has no such class, or that
            is not a method.
    """
    module, _, path = name.partition(":")
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{name!r}: there is no module {error.name!r}") from None
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{name!r}: its module cannot be imported ({reason})") from error
    return _class_in(loaded, path, name)


def imported_class(name: str) -> type[Method]:
    """Return the class of a method named "package.module:Class" if its module is imported already.

    Raises:
        ValueError: it is not, or it has no such class, or that is not a method.
    """
    module, _, path = name.partition(":")
    if module not in sys.modules:
        raise ValueError(
            f"the method {name!r} is not imported, and a file never imports anything; import "
            f"{module} first, or give method={path}"
        )
    return _class_in(sys.modules[module], path, name)


def check_findable(cls: type[Method]) -> None:
    """Raise ValueError unless another program can find a class that has no registered name."""
    module = sys.modules.get(cls.__module__)
    try:
        found = operator.attrgetter(cls.__qualname__)(module)
    except AttributeError:  # it was made inside a function, or it was replaced
        found = None
    if cls.__module__ == "__main__" or found is not cls:
        raise ValueError(
            f"another program cannot find the method {_path(cls)}, so it could not load what is "
            f"saved; put it into a module, or give it a name: "
            f'register_method("{_hyphenated(cls.__name__)}", {cls.__name__})'
        )


def unknown_method(name: str, known: Mapping[str, Any]) -> str:
    """Return the sentence for a name that no method has, with the closest one."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"it is one of {', '.join(known)}"
    return f"unknown method {name!r}; {hint}"


def _class_in(module: Any, path: str, name: str) -> type[Method]:
    try:
        cls = operator.attrgetter(path)(module)
    except AttributeError:
        raise ValueError(f"{name!r}: {module.__name__} has no {path!r}") from None
    check_is_method(cls, name)
    return cls


def _path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _hyphenated(name: str) -> str:
    """Return a class's name as one of a method: EWC2 as ewc2, MyMethod as my-method."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower().strip("_").replace("_", "-")
