"""What users type: names of tasks, sequences and seeds, and the closest name to a mistyped one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from clrl.envs.tasks import METAWORLD_TASKS, SEQUENCES
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


def parse_tasks(text: str) -> tuple[str, ...]:
    """Return the tasks of a sequence given by its name or as task names between commas.

    Example:
        >>> parse_tasks("push-v3,window-close-v3")
        ('push-v3', 'window-close-v3')

    Raises:
        ConfigError: unknown name.
    """
    if text in SEQUENCES:
        return SEQUENCES[text]
    names = tuple(name.strip() for name in text.split(","))
    check_tasks(names)
    return names


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
