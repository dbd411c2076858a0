"""Write the figures of speed in docs/results.md and README.md from the records in docs/speed/.

    python scripts/bench_table.py                                # from the records that are there
    python scripts/bench_table.py --measure --jax PYTHON         # makes all of them anew first

Measuring takes half an hour and wants a calm machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench_env import FLOOR, OURS, STEP, UPSTREAM
from bench_step import COLUMNS, SIZES
from bench_step import FLOOR as STEP_FLOOR
from bench_train import COMMAND, TASKS
from benching import PATHS, Record

from clrl.agents.methods import METHODS

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "speed"
COMMANDS = {
    "update-4x256": "bench_update.py",
    "update-2x64": "bench_update.py --hidden 64 64",
    "ppo-2x256": "bench_update.py --learner ppo --hidden 256 256",
    "methods-4x256": "bench_methods.py",
    "methods-2x64": "bench_methods.py --hidden 64 64",
    "env": "bench_env.py",
    "step": "bench_step.py",
    "train": "bench_train.py",
}
"""The command of each record."""
BEGIN = "<!-- scripts/bench_table.py writes from here, -->"
END = "<!-- to here. -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose first column is text."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def contender(record: Record, start: str) -> str:
    """Return the contender whose name starts so, "" if there is none."""
    return next((name for name in record.times if name.startswith(start)), "")


def against(record: Record, base: str, seeds: str = "1 seed") -> list[str]:
    """Return how many times as fast as a contender each path is, with its milliseconds."""
    rival = contender(record, base)
    names = [f"{path}, {seeds}" for path in PATHS]
    return [
        f"{record.ratio(rival, name):.2f} ({record.median(name):.2f} ms)"
        if rival and name in record.times
        else "–"
        for name in names
    ]


def figures(records: dict[str, Record]) -> list[str]:
    """Return the table of updates and of a whole command."""
    rows = []
    for size in ("4 x 256", "2 x 64"):
        record, what = records[f"update-{size.replace(' ', '')}"], f"SAC's update, {size}"
        rows.append([f"{what}, against stock SB3", *against(record, "stock SB3")])
        rows.append([f"{what}, 4 seeds, each", *against(record, "stock SB3", "4 seeds")])
        rows.append([f"{what}, against jitted JAX", *against(record, "JAX")])
    ppo, train = records["ppo-2x256"], records["train"]
    what = "PPO's minibatch, 2 x 256"
    rows.append([f"{what}, against stock SB3", *against(ppo, "stock SB3")])
    rows.append([f"{what}, against torch", *against(ppo, "torch")])
    steps = TASKS * train.arguments["steps_per_task"]
    whole = [
        f"{train.ratio('torch', path):.2f} ({steps / train.median(path):.0f} steps/s)"
        for path in PATHS
    ]
    rows.append([f"`clrl {' '.join(COMMAND)}`, against torch", *whole])
    return table(["times as fast", *PATHS], rows)


def methods(records: dict[str, Record]) -> list[str]:
    """Return the table of what methods cost."""
    columns = [(size, path) for size in ("4 x 256", "2 x 64") for path in reversed(PATHS)]
    rows = []
    for method in METHODS:
        cells = []
        for size, path in columns:
            record = records[f"methods-{size.replace(' ', '')}"]
            name = f"{method}, {path}"
            mark = "*" if name in record.torch_only else ""
            cells.append(f"{record.ratio(name, f'finetuning, {path}'):.2f}{mark}")
        rows.append([method, *cells])
    return table(["times fine-tuning", *(f"{size}, {path}" for size, path in columns)], rows)


def steps(record: Record) -> list[str]:
    """Return the table of a step's parts."""
    rows = []
    for name in (f"{size}, {path}" for size in SIZES for path in PATHS):
        cells = [f"{record.median(f'{name}: {part}'):.0f}" for part in COLUMNS[:-1]]
        ratio = record.ratio(f"{name}: whole", f"{name}: {STEP_FLOOR}")
        rows.append([name, *cells, f"{ratio:.2f}"])
    return table(["us per step", *COLUMNS[:-1], f"whole / ({STEP_FLOOR})"], rows)


def environment(record: Record) -> str:
    """Return a sentence on the environment."""
    mean = {name: statistics.mean(times) for name, times in record.times.items()}
    return (
        f"A step of the environment takes {mean[OURS]:.0f} us (mean of {len(record.times[OURS])} "
        f"tasks, resets included), Meta-World's own code {mean[UPSTREAM]:.0f}. MuJoCo's `mj_step` "
        f"alone takes {mean[STEP]:.0f} and with the `mj_forward` that equal results need "
        f"{mean[FLOOR]:.0f}: ours is {mean[OURS] / mean[FLOOR]:.2f} times that."
    )


def tables(records: dict[str, Record]) -> str:
    """Return everything, for the page of results."""
    facts = ("processor", "vectors", "torch")
    where = {", ".join(r.machine[fact] for fact in facts) for r in records.values()}
    lacking = any(record.torch_only for record in records.values())
    lines = [
        *("", "```", *(f"python scripts/{command}" for command in COMMANDS.values()), "```", ""),
        f"Processor, its vectors, torch: {'; '.join(sorted(where))}. One thread.",
        *("", *figures(records)),
        *("", *methods(records), *(["", "\\* on the torch path."] if lacking else [])),
        *("", *steps(records["step"])),
        *("", environment(records["env"]), ""),
    ]
    return "\n".join(lines)


def sentence(records: dict[str, Record]) -> str:
    """Return the most important figures, for the README."""
    found = []
    for size, name in (("4 x 256", "update-4x256"), ("2 x 64", "update-2x64")):
        record = records[name]
        ours = contender(record, "native, 1 seed") or "torch, 1 seed"
        beside = [f"{record.ratio('stock SB3, 1 seed', ours):.1f} times as fast as stock SB3's"]
        if rival := contender(record, "JAX"):
            beside.append(f"{record.ratio(rival, ours):.1f} times as fast as one in jitted JAX")
        found.append(f"at {size} {record.median(ours):.2f} ms, {' and '.join(beside)}")
    return textwrap.fill(f"One update of SAC takes, in one thread, {'; '.join(found)}.", 100)


PAGES = {ROOT / "docs" / "results.md": tables, ROOT / "README.md": sentence}


def written(page: str, text: str) -> str:
    """Return a page with what stands between its marks written anew; without marks as it is."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{text}\n{end}{after}" if end else page


def commands(jax: str | None) -> Iterator[list[str]]:
    """Yield the command that makes each record."""
    for name, command in COMMANDS.items():
        script, *words = command.split()
        rival = ["--jax", jax] if jax and name.startswith("update") else []
        path = str(Path(__file__).parent / script)
        yield [sys.executable, path, *words, *rival, "--json", str(RECORDS / f"{name}.json")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="make all records anew")
    parser.add_argument("--jax", metavar="PYTHON", help="a python that has JAX")
    args = parser.parse_args()
    if args.measure:
        RECORDS.mkdir(exist_ok=True)
        for command in commands(args.jax):
            subprocess.run(command, check=True)
    records = {name: Record.read(RECORDS / f"{name}.json") for name in COMMANDS}
    for page, text in PAGES.items():
        page.write_text(written(page.read_text(encoding="utf-8"), text(records)), encoding="utf-8")


if __name__ == "__main__":
    main()
