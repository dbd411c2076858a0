"""Time one update of SAC or PPO, ours against stock Stable-Baselines3, in turns in one process.

    python scripts/bench_update.py                                     # SAC, 4 x 256, a minute
    python scripts/bench_update.py --hidden 64 64
    python scripts/bench_update.py --learner ppo --hidden 256 256      # a minibatch of PPO
    python scripts/bench_update.py --jax PYTHON                        # a python that has JAX

Prints milliseconds of CPU time per update and seed, medians over rounds, and how many times as fast
as stock SB3 that is, round by round. Shapes are Meta-World's, the batch has 128 rows, the networks
one head. SB3's SAC has no layer norm, so it does slightly less. JAX (`jax_sac.py`) runs in a
process of its own, in turn with ours, and gets its batch for nothing.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from benching import (
    ACTION,
    BATCH,
    OBSERVATION,
    PATHS,
    ROWS,
    Contender,
    Record,
    arguments,
    begin,
    block_of,
    fill,
    refused,
    sac,
    spaces,
    take_turns,
    timed,
    use_best_matmul,
    where_possible,
)
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.logger import Logger

from clrl.agents.native.path import Update
from clrl.agents.ppo import ContinualPPO
from clrl.machine.processor import use_matmul

SEEDS = {"sac": (1, 2, 4), "ppo": (1,)}


class Spaces(gym.Env):
    """An environment of Meta-World's shape that is never stepped."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (OBSERVATION,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)


def stock_sac(hidden: tuple[int, ...], block: int) -> Contender:
    agent = SAC(
        "MlpPolicy",
        Spaces(),
        policy_kwargs={"net_arch": list(hidden)},
        buffer_size=ROWS,
        device="cpu",
    )
    agent.set_logger(Logger(folder=None, output_formats=[]))
    buffer, rng = agent.replay_buffer, np.random.default_rng(0)
    assert buffer is not None
    for _ in range(ROWS):
        obs, after = rng.uniform(-1, 1, (2, 1, OBSERVATION))
        action, reward = rng.uniform(-1, 1, (1, ACTION)), rng.uniform(0, 10, 1)
        buffer.add(obs, after, action, reward, np.zeros(1), [{}])
    return timed(lambda times: agent.train(gradient_steps=times, batch_size=BATCH))


def rollout_of(updates: int) -> tuple[int, int]:
    """Return epochs, ten as published if that fits, and steps of a rollout of so many updates."""
    epochs = math.gcd(10, updates)
    return epochs, updates // epochs * BATCH


def stock_ppo(hidden: tuple[int, ...], block: int) -> Contender:
    """Return stock PPO whose rollout makes a block of updates."""
    epochs, n_steps = rollout_of(block)
    agent = PPO(
        "MlpPolicy",
        Spaces(),
        policy_kwargs={"net_arch": list(hidden)},
        n_steps=n_steps,
        batch_size=BATCH,
        n_epochs=epochs,
        device="cpu",
    )
    agent.set_logger(Logger(folder=None, output_formats=[]))
    buffer, rng, one = agent.rollout_buffer, np.random.default_rng(0), torch.ones(1)
    for _ in range(n_steps):
        obs, action = rng.uniform(-1, 1, (1, OBSERVATION)), rng.uniform(-1, 1, (1, ACTION))
        buffer.add(obs, action, rng.uniform(0, 10, 1), np.zeros(1), one, -3 * one)
    buffer.compute_returns_and_advantage(one, np.zeros(1))

    return timed(lambda times: agent.train())


def our_sac(
    hidden: tuple[int, ...], seeds: int, update: Update, block: int
) -> tuple[Contender, str]:
    agent = sac(hidden, seeds, update, block)
    agent.start_task(0)
    fill(agent)
    return block_of(agent), refused(agent, update)


def our_ppo(
    hidden: tuple[int, ...], seeds: int, update: Update, block: int
) -> tuple[Contender, str]:
    """Return PPO whose rollout makes a block of updates."""
    epochs, n_steps = rollout_of(block)
    agent = ContinualPPO(
        None, seeds=range(seeds), spaces=spaces(), hidden_sizes=hidden,
        n_steps=n_steps, batch_size=BATCH, n_epochs=epochs, device="cpu",
        update=where_possible(update),
    )  # fmt: skip
    agent.start_task(0)
    rng, one = np.random.default_rng(0), np.ones(seeds, np.float32)
    for _ in range(n_steps):
        agent.rollout.add(
            obs=rng.uniform(-1, 1, (seeds, OBSERVATION)),
            action=rng.uniform(-1, 1, (seeds, ACTION)),
            reward=rng.uniform(0, 10, seeds), value=one, log_prob=-3 * one, task=0, over=0, kept=1,
        )  # fmt: skip
    agent.rollout.finish(one, 0.99, 0.95, normalise=False)
    return timed(lambda times: agent.train_on_rollout()), refused(agent, update)


STOCK: dict[str, Callable[[tuple[int, ...], int], Contender]] = {"sac": stock_sac, "ppo": stock_ppo}
OURS = {"sac": our_sac, "ppo": our_ppo}


def multiplying(product: str, run: Contender) -> Contender:
    """Return a contender with a matrix product of its own: that of stock SB3 is torch's."""

    def inside(times: int) -> float:
        use_matmul(product)
        return run(times)

    return inside


@contextmanager
def jax_update(python: str | None, hidden: tuple[int, ...]) -> Iterator[dict[str, Contender]]:
    """Yield JAX's update as a contender, in a process that ends with the block; none without it."""
    if python is None:
        yield {}
        return
    script = Path(__file__).parent / "jax_sac.py"
    command = [python, str(script), "--hidden", *map(str, hidden)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        asked, answers = process.stdin, process.stdout
        version = answers.readline().strip()
        if not version:
            raise SystemExit(f"bench_update.py: --jax {python} cannot run {script.name}, see above")

        def run(times: int) -> float:
            print(times, file=asked, flush=True)
            return float(answers.readline())

        yield {f"JAX {version}, 1 seed": run}


def measure(args: argparse.Namespace) -> Record:
    hidden, torch_only = tuple(args.hidden), dict[str, str]()
    product = use_best_matmul(hidden)
    stock = multiplying("default", STOCK[args.learner](hidden, args.updates))
    contenders = {"stock SB3, 1 seed": stock}
    seeds_of: dict[str, int] = {}
    for path in PATHS:
        for seeds in SEEDS[args.learner]:
            name = f"{path}, {seeds} seed{'s' * (seeds > 1)}"
            run, why = OURS[args.learner](hidden, seeds, path, args.updates)
            if why:
                torch_only[name] = why
                continue
            contenders[name], seeds_of[name] = multiplying(product, run), seeds
    with jax_update(args.jax, hidden) as jax:
        times = take_turns(contenders | jax, args.rounds, args.updates)
    each = {name: [t / seeds_of.get(name, 1) for t in found] for name, found in times.items()}
    unit = "milliseconds per update and seed"
    return Record("bench_update.py", arguments(args), unit, each, torch_only)


def main() -> None:
    flags = begin(__doc__, rounds=15)
    flags.add_argument("--learner", choices=list(OURS), default="sac")
    flags.add_argument("--updates", type=int, default=20, help="updates per round")
    flags.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256, 256])
    flags.add_argument(
        "--jax", nargs="?", const=sys.executable, metavar="PYTHON", help="a python that has JAX"
    )
    args = flags.parse_args()
    record = measure(args)
    print(f"{args.learner}, networks {args.hidden}, batch {BATCH}, one thread")
    print(f"{'':24}{'ms per update and seed':>24}{'times stock SB3':>18}")
    stock = next(iter(record.times))
    for name in record.times:
        print(f"{name:24}{record.median(name):>24.3f}{record.ratio(stock, name):>17.2f}x")
    record.finish(args.json)


if __name__ == "__main__":
    main()
