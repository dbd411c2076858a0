"""What a Meta-World step costs here, in Meta-World's own code, and in physics alone.

    python scripts/bench_env.py                       # the ten tasks of CW10, about two minutes
    python scripts/bench_env.py --tasks push-v3 --rounds 5

They take turns, one episode each, with the same random actions; times are microseconds of CPU time
per step, medians over episodes, resets included. Physics alone has no resets: `mj_step` is the
frame_skip MuJoCo steps of a step. After them Meta-World calls `mj_forward`, and that cannot be left
out with equal results (the next step's solver starts from what it leaves): both together are the
floor. Only the ratios mean something on another machine.
"""

from __future__ import annotations

import statistics
from time import thread_time

import mujoco
import numpy as np
from benching import Record, arguments, begin
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from clrl.envs.metaworld import MetaWorld
from clrl.envs.metaworld.simulator import prepare
from clrl.envs.metaworld.tasks import CW10, METAWORLD_TASKS

HORIZON = 200
OURS, UPSTREAM, STEP, FLOOR = "ours", "upstream", "mj_step", "mj_step + mj_forward"


def stepped(env: MetaWorld | SawyerXYZEnv, actions: np.ndarray) -> float:
    start = thread_time()
    env.reset()
    for action in actions:
        env.step(action)
    return thread_time() - start


def physics(env: SawyerXYZEnv, actions: np.ndarray) -> tuple[float, float]:
    """Return the seconds of an episode's `mj_step` calls, and with those of `mj_forward`."""
    env.reset()
    step = both = 0.0
    for action in actions:
        env.set_xyz_action(action[:3])
        env.data.ctrl[:] = (action[3], -action[3])
        start = thread_time()
        mujoco.mj_step(env.model, env.data, env.frame_skip)
        middle = thread_time()
        mujoco.mj_forward(env.model, env.data)
        step += middle - start
        both += thread_time() - start
    return step, both


def measure(task_name: str, rounds: int) -> dict[str, float]:
    """Return microseconds per step of each contender."""
    env = MetaWorld(task_name, horizon=HORIZON)
    theirs, bare = (prepare(ALL_V3_ENVIRONMENTS[task_name]()) for _ in range(2))
    env.reset(seed=0)
    theirs.seed(0)
    bare.seed(0)
    seconds: dict[str, list[float]] = {name: [] for name in (OURS, UPSTREAM, STEP, FLOOR)}
    generator = np.random.default_rng(0)
    for _ in range(rounds + 1):
        actions = generator.uniform(-1, 1, (HORIZON, 4)).astype(np.float32)
        episode = (stepped(env, actions), stepped(theirs, actions), *physics(bare, actions))
        for found, spent in zip(seconds.values(), episode, strict=True):
            found.append(spent)
    # The first episode warms up.
    return {n: statistics.median(found[1:]) / HORIZON * 1e6 for n, found in seconds.items()}


def show(name: str, row: dict[str, float]) -> None:
    print(
        f"{name:22s}{row[OURS]:7.0f}{row[UPSTREAM]:10.0f}{row[STEP]:9.0f}{row[FLOOR]:9.0f}"
        f"{row[OURS] / row[STEP]:14.2f}{row[OURS] / row[FLOOR]:12.2f}"
        f"{row[UPSTREAM] / row[OURS]:15.2f}",
        flush=True,
    )


def main() -> None:
    flags = begin(__doc__, rounds=20)
    flags.add_argument(
        "--tasks", nargs="+", default=list(CW10), choices=METAWORLD_TASKS, metavar="TASK"
    )
    args = flags.parse_args()
    print(
        f"{'us per step':22s}{'ours':>7s}{'upstream':>10s}{'mj_step':>9s}{'floor':>9s}"
        f"{'ours/mj_step':>14s}{'ours/floor':>12s}{'upstream/ours':>15s}"
    )
    rows = []
    for task_name in args.tasks:
        rows.append(measure(task_name, args.rounds))
        show(task_name, rows[-1])
    times = {name: [row[name] for row in rows] for name in rows[0]}
    show("mean", {name: statistics.mean(found) for name, found in times.items()})
    unit = "microseconds per step, one number per task"
    Record("bench_env.py", arguments(args), unit, times).finish(args.json)


if __name__ == "__main__":
    main()
