"""`clrl plot`: draw runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from clrl import errors
from clrl.commands.flags import some_directories


@dataclass(frozen=True)
class Command:
    """Draw runs: success over time, forgetting, transfer."""

    runs: Positional[tuple[Path, ...]]
    """Runs, or directories above them."""
    out: Path = Path("plots")
    """Where the images go."""

    def run(self) -> int:
        """Write the images and print where they are."""
        from clrl.show.plots import plot

        for path in plot(some_directories(self.runs, "plot"), self.out):
            print(path)
        return errors.OK
