"""Time the parts of a whole training step on Meta-World, on both paths in turns in one process.

    python scripts/bench_step.py           # two minutes

One seed trains on the first task of CW20 with its 20 heads: at 2 x 64 with the small preset (an
update at every step) and at 4 x 256 as published (50 updates every 50 steps). A round is an episode
of 200 steps. Prints microseconds of CPU time per step, medians over rounds: the environment,
acting, storing, drawing the batch, the update, and the rest of the loop. The last column is the
whole step over update and environment together.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from functools import partial
from typing import Any

from benching import (
    PATHS,
    Contender,
    Record,
    arguments,
    begin,
    refused,
    take_turns,
    use_best_matmul,
    where_possible,
)

from clrl.agents.native.path import Update
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.settings import SMALL_PRESET
from clrl.envs.metaworld import continual_world
from clrl.envs.vector import SeedVecEnv

HORIZON, STEPS_PER_TASK = 200, 1_000_000
SIZES: dict[str, dict[str, Any]] = {"2 x 64": SMALL_PRESET, "4 x 256": {}}
PARTS = {
    "environment": ("env", "step"),
    "act": (None, "explore"),
    "store": (None, "store"),
    "sample": (None, "sample"),
    "update": (None, "update"),
}
"""Which method of the agent, or of its environments, each part of a step is."""
FLOOR = "update + environment"
COLUMNS = (*PARTS, "rest", "whole", FLOOR)


def agent_of(size: str, update: Update) -> ContinualSAC:
    """Return an agent that explores with its policy and takes updates from the start."""
    env = SeedVecEnv([partial(continual_world, "CW20", STEPS_PER_TASK)], seeds=[0])
    settings = SIZES[size] | {
        "exploration_steps": 0, "learning_starts": 0, "buffer_size": 100_000, "device": "cpu",
    }  # fmt: skip
    return ContinualSAC(env, update=where_possible(update), **settings)


def clock(owner: Any, method: str, spent: dict[str, float], part: str) -> None:
    """Let an object's method add its CPU time to a part's."""
    plain = getattr(owner, method)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        result = plain(*args, **kwargs)
        spent[part] += time.process_time() - start
        return result

    setattr(owner, method, timed)


class Trained:
    """An agent whose parts are timed while it trains."""

    def __init__(self, size: str, update: Update) -> None:
        self.agent = agent_of(size, update)
        self.spent: dict[str, float] = defaultdict(float)
        self.rounds: dict[str, list[float]] = {name: [] for name in COLUMNS}
        for part, (owner, method) in PARTS.items():
            clock(getattr(self.agent, owner) if owner else self.agent, method, self.spent, part)

    def run(self, steps: int) -> float:
        self.spent.clear()
        start = time.process_time()
        self.agent.learn(steps, log_interval=None)  # type: ignore[arg-type]
        whole = time.process_time() - start
        seen = {part: self.spent[part] for part in PARTS}
        found = {"rest": whole - sum(seen.values()), "whole": whole}
        found[FLOOR] = seen["update"] + seen["environment"]
        for name, seconds in (seen | found).items():
            self.rounds[name].append(seconds / steps * 1e6)
        return whole


def measure(args: argparse.Namespace) -> Record:
    trained, torch_only = dict[str, Trained](), dict[str, str]()
    for size in args.sizes:
        for path in args.update:
            trained[f"{size}, {path}"] = one = Trained(size, path)
            if why := refused(one.agent, path):
                torch_only[f"{size}, {path}"] = why
    runs: dict[str, Contender] = {name: turn(name, one) for name, one in trained.items()}
    take_turns(runs, args.rounds, HORIZON)
    times = {
        f"{name}: {part}": found[1:]
        for name, one in trained.items()
        for part, found in one.rounds.items()
    }
    return Record("bench_step.py", arguments(args), "microseconds per step", times, torch_only)


def turn(name: str, trained: Trained) -> Contender:
    """Return an agent's turn, with the matrix product of its networks."""
    hidden = trained.agent.settings.hidden_sizes

    def run(times: int) -> float:
        use_best_matmul(hidden)
        return trained.run(times)

    return run


def main() -> None:
    flags = begin(__doc__, rounds=15)
    flags.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    flags.add_argument("--update", nargs="+", default=list(PATHS), choices=PATHS)
    args = flags.parse_args()
    record = measure(args)
    print(f"| us per step | {' | '.join(COLUMNS)} | whole / ({FLOOR}) |")
    print(f"|---|{'---:|' * (len(COLUMNS) + 1)}")
    for name in (f"{size}, {path}" for size in args.sizes for path in args.update):
        cells = [f"{record.median(f'{name}: {part}'):.0f}" for part in COLUMNS]
        ratio = record.ratio(f"{name}: whole", f"{name}: {FLOOR}")
        print(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |")
    record.finish(args.json)


if __name__ == "__main__":
    main()
