"""Time one SAC update of every method, relative to fine-tuning, in alternation in one process.

Usage: python scripts/bench_methods.py [--hidden 256 256 256 256] [--seeds 1] [--rounds 15]

Prints milliseconds of CPU time per update and seed (one thread, so that other processes disturb
little), median over rounds, and the ratio to fine-tuning, taken round by round. The agents are in
the second of 20 tasks of Meta-World's shape, with the settings published for Continual World
(perfect memory: batches of 512 instead of 128).
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from clrl.agents.methods import METHODS
from clrl.agents.randomness import REPLAY
from clrl.agents.sac import ContinualSAC
from clrl.agents.spaces import TaskSpaces
from clrl.agents.transition import Transition
from clrl.machine.processor import best_matmul, reuse_memory, use_matmul

TASKS, OBSERVATION, ACTION, ROWS = 20, 39, 4, 3_000
FIELDS: dict[str, dict[str, Any]] = {"packnet": {"retrain_steps": 1}}
SETTINGS: dict[str, dict[str, Any]] = {"perfect-memory": {"buffer_size": 10_000}}


def agent_of(name: str, seeds: int, hidden: tuple[int, ...]) -> ContinualSAC:
    """Return an agent in the second task."""
    spaces = TaskSpaces(
        gym.spaces.Box(-1.0, 1.0, (OBSERVATION + TASKS,), np.float32),
        gym.spaces.Box(-1.0, 1.0, (ACTION,), np.float32),
        TASKS,
    )
    method = METHODS[name](**FIELDS.get(name, {}))
    settings = {"buffer_size": ROWS} | SETTINGS.get(name, {})
    agent = ContinualSAC(
        None,
        method,
        seeds=range(seeds),
        spaces=spaces,
        hidden_sizes=hidden,
        device="cpu",
        **settings,
    )
    for task in (0, 1):
        agent.start_task(task)
        fill(agent)
        if task == 0:
            agent.update(agent.sample(None, REPLAY))
            agent.end_task()
    return agent


def fill(agent: ContinualSAC) -> None:
    rng, seeds = np.random.default_rng(agent.task), agent.n_seeds
    for _ in range(ROWS):
        obs, after = rng.uniform(-1, 1, (2, seeds, OBSERVATION))
        action, reward = rng.uniform(-1, 1, (seeds, ACTION)), rng.uniform(0, 10, seeds)
        ended, keep = np.zeros(seeds, bool), [True] * seeds
        agent.task_step += 1
        agent.store(Transition(obs, action, reward, after, ended, ended, keep))


def timed(agent: ContinualSAC, updates: int) -> float:
    start = time.process_time()
    for _ in range(updates):
        agent.update(agent.sample(None, REPLAY))
    return (time.process_time() - start) / updates * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256, 256])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=20, help="updates per round")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    reuse_memory()
    hidden = tuple(args.hidden)
    use_matmul(best_matmul("cpu", 128, max(hidden)))
    names = ["finetuning", *(name for name in args.methods if name != "finetuning")]
    agents = {name: agent_of(name, args.seeds, hidden) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(args.rounds + 1):  # the first round warms up
        for name, agent in agents.items():
            times[name].append(timed(agent, args.updates) / args.seeds)
    print(f"networks {hidden}, {args.seeds} seed(s), one thread")
    print("| method | ms of CPU per update and seed | times fine-tuning |\n|---|---:|---:|")
    for name, values in times.items():
        ratios = [b / a for a, b in zip(times["finetuning"][1:], values[1:], strict=True)]
        median, ratio = statistics.median(values[1:]), statistics.median(ratios)
        print(f"| {name} | {median:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
