"""What a Meta-World step costs here, in Meta-World's own code, and in physics alone.

    python scripts/bench_env.py                       # the ten tasks of CW10, about two minutes
    python scripts/bench_env.py --tasks push-v3 --episodes 20

The three take turns, one episode each, with the same random actions; times are CPU time, medians
over episodes of the mean step, resets included. Physics alone is the frame_skip MuJoCo steps of a
step, without any reset. Only the ratios mean something on another machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import thread_time

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from clrl.envs.metaworld import MetaWorld
from clrl.envs.metaworld.simulator import prepare
from clrl.envs.metaworld.tasks import CW10, METAWORLD_TASKS

HORIZON = 200


def stepped(env: MetaWorld | SawyerXYZEnv, actions: np.ndarray) -> float:
    start = thread_time()
    env.reset()
    for action in actions:
        env.step(action)
    return thread_time() - start


def physics(env: SawyerXYZEnv, actions: np.ndarray) -> float:
    env.reset()
    total = 0.0
    for action in actions:
        env.set_xyz_action(action[:3])
        env.data.ctrl[:] = (action[3], -action[3])
        start = thread_time()
        mujoco.mj_step(env.model, env.data, env.frame_skip)
        total += thread_time() - start
    return total


def measure(task_name: str, episodes: int) -> tuple[float, float, float]:
    """Return microseconds per step: ours, Meta-World's, physics alone."""
    env = MetaWorld(task_name, horizon=HORIZON)
    theirs, bare = (prepare(ALL_V3_ENVIRONMENTS[task_name]()) for _ in range(2))
    env.reset(seed=0)
    theirs.seed(0)
    bare.seed(0)
    turns: list[tuple[Callable[[np.ndarray], float], list[float]]] = [
        (lambda actions: stepped(env, actions), []),
        (lambda actions: stepped(theirs, actions), []),
        (lambda actions: physics(bare, actions), []),
    ]
    generator = np.random.default_rng(0)
    for episode in range(episodes + 1):
        actions = generator.uniform(-1, 1, (HORIZON, 4)).astype(np.float32)
        for run, times in turns:
            seconds = run(actions)
            if episode:  # the first one warms up
                times.append(seconds)
    a, b, c = (float(np.median(times)) / HORIZON * 1e6 for _, times in turns)
    return a, b, c


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--tasks", nargs="+", default=list(CW10), choices=METAWORLD_TASKS, metavar="TASK"
    )
    parser.add_argument("--episodes", type=int, default=20)
    arguments = parser.parse_args()
    print(
        f"{'us per step, resets included':30s}{'ours':>8s}{'upstream':>10s}{'physics':>9s}"
        f"{'ours/physics':>14s}{'upstream/ours':>15s}"
    )
    rows = []
    for task_name in arguments.tasks:
        row = measure(task_name, arguments.episodes)
        rows.append(row)
        show(task_name, *row)
    show("mean", *np.mean(rows, axis=0))


def show(name: str, a: float, b: float, c: float) -> None:
    print(f"{name:30s}{a:8.0f}{b:10.0f}{c:9.0f}{a / c:14.2f}{b / a:15.2f}", flush=True)


if __name__ == "__main__":
    main()
