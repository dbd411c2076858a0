"""What can go wrong with a run, and the exit codes that say so."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

OK = 0
"""Done."""
INCOMPLETE = 1
"""`--strict` found something missing."""
DAMAGED = 65
"""A run directory's data cannot be read (`DamagedData`)."""
FAULT = 70
"""The program itself failed, or a number was not finite."""
BUSY = 73
"""Another process owns the run directory."""
INTERRUPTED = 75
"""A signal ended the run; the same command continues it."""
CONFIG = 78
"""Bad configuration (`ConfigError`), including all that the parser refuses."""


def say(message: str, code: int) -> int:
    """Write why a command ends to standard error, and return its exit code."""
    print(f"clrl: {message}", file=sys.stderr)
    return code


class DamagedData(Exception):
    """A run directory's data cannot be read; the message names the file and the line."""


class ConfigError(ValueError):
    """A bad configuration; the message names the field, the value and what is allowed."""


@contextlib.contextmanager
def said_as_config_error() -> Iterator[None]:
    """Raise a ConfigError in place of a ValueError, which is what agents and envs raise."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error


def checked(settings: Any, where: str) -> None:
    """Check a dataclass's fields, see `clrl.agents.settings.fields.check_fields`.

    Raises:
        ConfigError: one has a value that is not allowed.
    """
    from clrl.agents.settings.fields import check_fields

    with said_as_config_error():
        check_fields(settings, where)
