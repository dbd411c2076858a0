"""What users type: names of tasks, sequences and seeds, and the closest name to a mistyped one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec

from clrl.envs.metaworld.tasks import METAWORLD_TASKS, SEQUENCES
from clrl.errors import ConfigError


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not known, with the closest one that is.

    Example:
        >>> unknown("method", "ecw", ["ewc", "packnet"])
        "unknown method 'ecw'; did you mean 'ewc'?"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"unknown {kind} {name!r}; did you mean {close[0]!r}?"
    listed = f" (it is one of {', '.join(known)})" if len(known) <= 20 else ""
    return f"unknown {kind} {name!r}{listed}"


def check_tasks(names: Sequence[str]) -> None:
    """Check that all are names of tasks.

    Raises:
        ConfigError: one is not, with the closest name.
    """
    if not names:
        raise ConfigError("sequence.tasks is empty; give at least one task")
    for name in names:
        if name not in METAWORLD_TASKS:
            known = [*METAWORLD_TASKS, *SEQUENCES] if len(names) == 1 else METAWORLD_TASKS
            sentence = unknown("task", name, known)
            hint = "" if "did you mean" in sentence else "; `clrl list tasks` shows all"
            raise ConfigError(sentence + hint)


def sequence_name(tasks: Sequence[str]) -> str:
    """Return the name of a sequence: CW10, CW20, or its tasks between commas."""
    for name, members in SEQUENCES.items():
        if tuple(tasks) == members:
            return name
    return ",".join(tasks)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds in a text; `a..b` includes both ends.

    Example:
        >>> parse_seeds("0..2,7")
        (0, 1, 2, 7)

    Raises:
        ConfigError: not seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", part.strip())
        if match is None:
            raise ConfigError(f"seeds {text!r} are not whole numbers like 0..4 or 0,3,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + 10_000:
            raise ConfigError(f"seeds {part!r} is not a range from low to high of at most 10000")
        seeds += range(first, last + 1)
    return tuple(seeds)


def format_seeds(seeds: Sequence[int]) -> str:
    """Return seeds as `parse_seeds` reads them, a plain range as `a..b`."""
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}..{seeds[-1]}"
    return ",".join(map(str, seeds))


def parse_lengths(text: str) -> int | tuple[int, ...]:
    """Return one number of steps, or one per task.

    Example:
        >>> parse_lengths("1000"), parse_lengths("1000,500")
        (1000, (1000, 500))

    Raises:
        ConfigError: not whole numbers.
    """
    try:
        lengths = tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{text!r} is not a whole number (or several, like 1000,500)") from None
    return lengths[0] if len(lengths) == 1 else lengths


def format_lengths(lengths: int | Sequence[int]) -> str:
    """Return numbers of steps as `parse_lengths` reads them."""
    return str(lengths) if isinstance(lengths, int) else ",".join(map(str, lengths))


def parse_range(text: str) -> tuple[float, float] | None:
    """Return the numbers in `LOW,HIGH`; None for "None".

    Raises:
        ConfigError: not two numbers.
    """
    if text == "None":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{text!r} is not LOW,HIGH, two numbers") from None
    return low, high


def format_range(limits: tuple[float, float] | None) -> str:
    """Return a range as `parse_range` reads it."""
    return "None" if limits is None else f"{limits[0]:.15g},{limits[1]:.15g}"


def one_word(
    read: Callable[[str], Any],
    show: Callable[[Any], str],
    metavar: str,
    kinds: type | tuple[type, ...] = tuple,
) -> Any:
    """Return what tyro needs to know of a value that is one word on the command line.

    Args:
        read: makes the value of the word.
        show: makes the word of the value.
        metavar: what the help shows.
        kinds: the value's types.
    """
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: isinstance(value, kinds),
        str_from_instance=lambda value: [show(value)],
    )


Seeds = Annotated[tuple[int, ...], one_word(parse_seeds, format_seeds, "0..4|0,3,7")]
Lengths = Annotated[
    int | tuple[int, ...], one_word(parse_lengths, format_lengths, "N|N,N", (int, tuple))
]
ScoreRange = Annotated[
    tuple[float, float] | None, one_word(parse_range, format_range, "LOW,HIGH", (tuple, type(None)))
]
