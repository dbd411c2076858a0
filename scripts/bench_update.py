"""Time one SAC update, ours against stock Stable-Baselines3, in alternation in one process.

Usage: python scripts/bench_update.py [--threads 1] [--rounds 15] [--hidden 256 256 256 256]

Prints milliseconds per update and seed (median over rounds) and the ratio to stock SB3, taken
round by round. The networks are Continual World's: 4 x 256, batch 128, observation 39, action 4.
SB3 has no layer norm and no heads, so its update does slightly less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from clrl.agents.randomness import REPLAY
from clrl.agents.sac import ContinualSAC
from clrl.agents.transition import Transition
from clrl.machine.processor import best_matmul, reuse_memory, use_matmul

BATCH, ROWS = 128, 10_000


class Spaces(gym.Env):
    """An environment of Meta-World's shape that is never stepped."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (39,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)


def ours(seeds: int, hidden: tuple[int, ...]) -> Callable[[], object]:
    env = DummyVecEnv([Spaces for _ in range(seeds)])
    agent = ContinualSAC(
        env, seeds=range(seeds), hidden_sizes=hidden, buffer_size=ROWS, device="cpu"
    )
    rng = np.random.default_rng(0)
    for _ in range(ROWS):
        obs, after = rng.uniform(-1, 1, (2, seeds, 39))
        action, reward = rng.uniform(-1, 1, (seeds, 4)), rng.uniform(0, 10, seeds)
        ended, keep = np.zeros(seeds, bool), [True] * seeds
        agent.store(Transition(obs, action, reward, after, ended, ended, keep))
    return lambda: agent.update(agent.sample(BATCH, REPLAY))


def stock(hidden: tuple[int, ...]) -> Callable[[], object]:
    agent = SAC(
        "MlpPolicy",
        Spaces(),
        policy_kwargs={"net_arch": list(hidden)},
        batch_size=BATCH,
        buffer_size=ROWS,
        device="cpu",
    )
    agent.set_logger(Logger(folder=None, output_formats=[]))
    buffer, rng = agent.replay_buffer, np.random.default_rng(0)
    assert buffer is not None
    for _ in range(ROWS):
        obs, after = rng.uniform(-1, 1, (2, 1, 39))
        action, reward = rng.uniform(-1, 1, (1, 4)), rng.uniform(0, 10, 1)
        buffer.add(obs, after, action, reward, np.zeros(1), [{}])
    return lambda: agent.train(gradient_steps=1, batch_size=BATCH)


def timed(call: Callable[[], object], updates: int) -> float:
    start = time.perf_counter()
    for _ in range(updates):
        call()
    return (time.perf_counter() - start) / updates * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=20, help="updates per round")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256, 256])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    reuse_memory()
    hidden = tuple(args.hidden)
    matmul = best_matmul("cpu", BATCH, max(hidden))
    calls = {"stock SB3": (stock(hidden), "default", 1)}
    for seeds in (1, 2, 4):
        calls[f"clrl, {seeds} seed{'s' * (seeds > 1)}"] = (ours(seeds, hidden), matmul, seeds)
    other = "onednn" if matmul == "default" else "default"
    calls[f"clrl, 1 seed, product: {other}"] = (ours(1, hidden), other, 1)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(args.rounds + 1):  # the first round warms up
        for name, (call, product, seeds) in calls.items():
            use_matmul(product)
            times[name].append(timed(call, args.updates) / seeds)
    print(f"networks {hidden}, batch {BATCH}, {args.threads} thread(s), product: {matmul}")
    print(f"{'':40}{'ms per update and seed':>24}{'times stock SB3':>18}")
    for name, values in times.items():
        ratios = [a / b for a, b in zip(times["stock SB3"][1:], values[1:], strict=True)]
        median, ratio = statistics.median(values[1:]), statistics.median(ratios)
        print(f"{name:40}{median:>24.2f}{ratio:>17.2f}x")


if __name__ == "__main__":
    main()
