"""Command lines into dataclasses: tyro's parser, with one clear sentence for every refusal."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from clrl.config.names import unknown
from clrl.config.sequences import check_sequence
from clrl.errors import ConfigError

T = TypeVar("T")

_PLAINER = (
    (r"^Missing from (.*?): (\S+).*", r"\1 needs \2"),
    (r"Error parsing (--?[\w.-]+): ", r"\1: "),
    (r"^Error parsing [\w.]+: (?=[\w.]+ is )", ""),  # a dataclass names its field itself
    (r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is not a whole number"),
    (r"could not convert string to float: ('.*?')", r"\1 is not a number"),
)


def parse(kind: type[T], command: str, argv: Sequence[str], default: T | None = None) -> T:
    """Return a dataclass filled from flags named after its fields.

    Args:
        kind: the dataclass; its docstrings are the help.
        command: what the user typed, for the help.
        argv: the words after the command.
        default: values of flags that are not given.

    Raises:
        ConfigError: a flag that does not exist (with the closest one) or a value it cannot take.
        SystemExit: after printing the help.
    """
    options: dict[str, Any] = {} if default is None else {"default": default}
    refusal = io.StringIO()
    try:
        with contextlib.redirect_stderr(refusal):
            result, rest = tyro.cli(
                kind, prog=command, args=argv, return_unknown_args=True, **options
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise ConfigError(_sentence(refusal.getvalue())) from None
    except ValueError as error:  # a dataclass of agents/ or envs/ refused a value
        raise ConfigError(str(error)) from None
    if rest:
        raise ConfigError(_unknown(rest, kind, options))
    return result


@dataclass(frozen=True)
class First:
    """What must be known before the flags: it decides what their defaults are.

    Attributes:
        method: the first word, None without one.
        help: whether the help is asked for.
        sequence, learner, preset, config, reveals, seeds: the flags of these names, None where not
            given.
    """

    method: str | None
    help: bool
    sequence: str | None
    learner: str | None
    preset: str | None
    config: str | None
    reveals: str | None
    seeds: str | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def look(argv: Sequence[str]) -> First:
    """Look for the words after `clrl train` that decide the defaults; `parse` reads them all.

    Raises:
        ConfigError: an unknown task, or a flag without its value.
    """
    method = argv[0] if argv and not argv[0].startswith("-") else None
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name in ("sequence", "learner", "preset", "config", "reveals", "seeds"):
        parser.add_argument(f"--{name}")
    found, _ = parser.parse_known_args(argv[1:] if method else argv)
    asked = "--help" in argv or "-h" in argv
    if found.sequence is not None and not asked:
        check_sequence(found.sequence)
    return First(method=method, help=asked, **vars(found))


def _sentence(box: str) -> str:
    """Return the first paragraph of one of tyro's boxes as a line.

    A box is a title, paragraphs between rules, and a border that is blank where the terminal has
    no box characters.
    """
    paragraph: list[str] = []
    for line in (line.strip("│ ") for line in box.splitlines()[1:]):
        if set(line) <= set("─-╰╯"):
            if paragraph:
                break
        else:
            paragraph.append(line)
    sentence = " ".join(" ".join(paragraph).split())
    for pattern, plainer in _PLAINER:
        sentence = re.sub(pattern, plainer, sentence)
    return sentence


def _unknown(rest: Sequence[str], kind: type, options: dict[str, Any]) -> str:
    flags = [word.partition("=")[0] for word in rest if word.startswith("-")]
    if not flags:
        return f"unexpected {rest[0]!r}"
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(kind, args=["--help"], **options)
    known = re.findall(r"--[a-z][\w.-]*", text.getvalue())
    return unknown("flag", flags[0].replace("_", "-"), known)


def some_directories(paths: tuple[Path, ...], command: str) -> tuple[Path, ...]:
    """Return directories that were named, or raise ConfigError if none was."""
    if not paths:
        raise ConfigError(f"name at least one directory: clrl {command} DIR...")
    return paths
