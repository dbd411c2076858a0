"""`clrl table`: measure runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import FlagCreatePairsOff, Positional

from clrl import errors
from clrl.commands.flags import some_directories


@dataclass(frozen=True)
class Command:
    """Measure runs: performance, forgetting and forward transfer with 90 % intervals."""

    runs: Positional[tuple[Path, ...]]
    """Runs, or directories above them."""
    references: tuple[Path, ...] = ()
    """More directories with single-task runs, for forward transfer only."""
    window: int | None = None
    """Average the last so many evaluations at the end of a task and of the run (5: the original's
    rule). Default: a tenth of a task's evaluations, at least 1."""
    published: FlagCreatePairsOff[bool] = False
    """Put the published numbers of CW20 beside ours (Meta-World v1: an ordering, not a target)."""
    json: FlagCreatePairsOff[bool] = False
    """Print all numbers, per task and per seed too."""
    strict: FlagCreatePairsOff[bool] = False
    """End with code 1 if something is missing."""

    def run(self) -> int:
        """Print the table."""
        from clrl.results.tables import table

        result = table(some_directories(self.runs, "table"), self.references, self.window)
        show = result.json if self.json else result.markdown
        print(show(self.published), end="\n" if self.json else "")
        return errors.INCOMPLETE if self.strict and result.problems else errors.OK
