"""Write the numbers of finished runs into the tables of README.md and docs/results.md.

    python scripts/write_tables.py --demo runs/demo --cw20 runs/cw20-small [--ppo runs/ppo-small]

A row keeps the cells that are not measured (commands, published numbers). Rows are found by what
stands in their first cells; a row of the runs that no table has is an error.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from clrl.results.rows import Measured
from clrl.results.tables import table

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
WINDOW = 5
"""Evaluations that the tables of small runs average."""


def measured(runs: Sequence[Path], window: int | None) -> dict[tuple[str, str], list[str]]:
    """Return the cells n, performance, forgetting, transfer and BWT, by method and learner."""
    rows: list[Measured] = [
        row for section in table(list(runs), window=window).sections for row in section.rows
    ]
    longest = max(len(row.group.tasks) for row in rows)  # not the references, if they are rows
    return {
        (row.group.method, str(row.group.runs[0].config["learner"]["name"])): row.cells(False)[1:6]
        for row in rows
        if len(row.group.tasks) == longest
    }


def filled(text: str, start: str, cells: Sequence[str], first: int) -> str:
    """Return a text with cells of every table row that starts so, from column `first` on.

    Raises:
        ValueError: there is no such row.
    """
    lines, found = text.split("\n"), 0
    for number, line in enumerate(lines):
        if line.startswith(start):
            old = re.split(r"(?<!\\)\|", line)[1:-1]
            old[first : first + len(cells)] = [f" {cell} " for cell in cells]
            lines[number] = f"|{'|'.join(old)}|"
            found += 1
    if not found:
        raise ValueError(f"no row of a table starts with {start!r}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--demo", type=Path, help="of `make demo`")
    parser.add_argument("--cw20", type=Path, help="of scripts/cw20/all.sh --preset small")
    parser.add_argument("--ppo", type=Path, nargs="+", help="the runs of docs/results.md, PPO")
    flags = parser.parse_args()
    readme, results = README.read_text(), RESULTS.read_text()
    if flags.demo:
        for (method, _), cells in measured([flags.demo], None).items():
            readme = filled(readme, f"| {method} | 2 |", cells, 1)
    if flags.cw20:
        for (method, _), cells in measured([flags.cw20], WINDOW).items():
            n, *shown, _ = cells
            # A row of README's table of CW20 goes on with numbers, one of the demo's with n.
            row = next(
                line for line in readme.split("\n") if re.match(rf"\| {method} \| [\d.]+ \[", line)
            )
            readme = filled(readme, row, shown, 1)
            results = filled(results, f"| {method} | {n} |", cells, 1)
            results = filled(results, f"| {method} | three easy tasks", [" / ".join(shown)], 2)
            if f"| {method} (learner.name=sac) |" in results:
                results = filled(results, f"| {method} (learner.name=sac) |", cells, 1)
    if flags.ppo:
        for (method, learner), cells in measured(flags.ppo, WINDOW).items():
            if learner == "ppo":
                results = filled(results, f"| {method} (learner.name=ppo) |", cells, 1)
    README.write_text(readme)
    RESULTS.write_text(results)


if __name__ == "__main__":
    main()
