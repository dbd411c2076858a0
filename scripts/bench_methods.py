"""Time one SAC update of every method, relative to fine-tuning, in turns in one process.

    python scripts/bench_methods.py                               # 4 x 256, both paths, 6 minutes
    python scripts/bench_methods.py --hidden 64 64 --update native

Prints milliseconds of CPU time per update and seed, medians over rounds, and the ratio to
fine-tuning on the same path, taken round by round. The agents are in the second of 20 tasks of
Meta-World's shape, with the settings published for Continual World (perfect memory: batches of 512
instead of 128). A method that a path has no code for takes the torch path, with a note.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from benching import (
    PATHS,
    Contender,
    Record,
    arguments,
    begin,
    block_of,
    fill,
    refused,
    sac,
    take_turns,
    use_best_matmul,
)

from clrl.agents.methods import METHODS
from clrl.agents.native.path import Update
from clrl.agents.sac import ContinualSAC

TASKS = 20
FIELDS: dict[str, dict[str, Any]] = {"packnet": {"retrain_steps": 1}}
SETTINGS: dict[str, dict[str, Any]] = {"perfect-memory": {"buffer_size": 10_000}}


def agent_of(
    name: str, hidden: tuple[int, ...], seeds: int, update: Update, block: int
) -> ContinualSAC:
    """Return an agent in the second task."""
    method = METHODS[name](**FIELDS.get(name, {}))
    agent = sac(hidden, seeds, update, block, TASKS, method, **SETTINGS.get(name, {}))
    agent.start_task(0)
    fill(agent)
    if agent.interleaved:  # to the learner all tasks are one; it has rows of both
        agent.acting_task = np.full(seeds, 1)
    else:
        agent.train_if_due()
        agent.end_task()
        agent.start_task(1)
    fill(agent)
    return agent


def measure(args: argparse.Namespace) -> Record:
    hidden, torch_only = tuple(args.hidden), dict[str, str]()
    use_best_matmul(hidden)
    contenders: dict[str, Contender] = {}
    for path in args.update:
        for name in dict.fromkeys(["finetuning", *args.methods]):
            agent = agent_of(name, hidden, args.seeds, path, args.updates)
            contenders[f"{name}, {path}"] = block_of(agent)
            if why := refused(agent, path):
                torch_only[f"{name}, {path}"] = why
    times = take_turns(contenders, args.rounds, args.updates)
    each = {name: [t / args.seeds for t in found] for name, found in times.items()}
    unit = "milliseconds per update and seed"
    return Record("bench_methods.py", arguments(args), unit, each, torch_only)


def main() -> None:
    flags = begin(__doc__, rounds=15)
    flags.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256, 256])
    flags.add_argument("--seeds", type=int, default=1)
    flags.add_argument("--updates", type=int, default=20, help="updates per round")
    flags.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    flags.add_argument("--update", nargs="+", default=list(PATHS), choices=PATHS)
    args = flags.parse_args()
    record = measure(args)
    print(f"networks {args.hidden}, {args.seeds} seed(s), one thread")
    print("| method, path | ms per update and seed | times fine-tuning |\n|---|---:|---:|")
    for name in record.times:
        path = name.rpartition(", ")[2]
        ratio = record.ratio(name, f"finetuning, {path}")
        print(f"| {name} | {record.median(name):.3f} | {ratio:.2f} |")
    record.finish(args.json)


if __name__ == "__main__":
    main()
