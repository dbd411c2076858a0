"""Which methods keep the first task of a toy stream better than fine-tuning?

Usage: python scripts/toy_stream.py [--tasks 3] [--steps 1000] [--seeds 10] [--methods ewc mas]

Trains a small classifier (the kind of network that Continual World uses: layer norm and tanh,
then leaky ReLU; 2 x 32; a head per task) on tasks of random quadratic rules. Prints, for each
method with the coefficient used, the test accuracy on the first task after learning it and after
the last task, on the last task, and how much more of the first task is kept than by fine-tuning:
the mean over seeds of the difference between the same seeds, with its 90 % bootstrap interval.
Takes about two minutes on one core.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from clrl.agents.classifier import Classifier
from clrl.agents.methods import METHODS, Method
from clrl.envs.streams import ToyStream
from clrl.results.statistics import fresh_sampler, mean_interval

FIELDS: dict[str, dict[str, object]] = {
    "finetuning": {},
    "l2": {"coef": 1.0},
    "ewc": {"coef": 100.0},
    "online-ewc": {"coef": 100.0},
    "si": {"coef": 1.0},
    "mas": {"coef": 10.0},
    "vcl": {"coef": 1e-3},
    "packnet": {"retrain_steps": 300},
    "agem": {"memory_per_task": 256, "memory_batch_size": 64},
    "perfect-memory": {},
    "cloning": {"coef": 1.0, "memory_per_task": 256},
}
"""One setting per method, chosen on seeds 100 to 104."""


def method(name: str) -> Method:
    return METHODS[name](**FIELDS[name])


def accuracies(name: str, stream: ToyStream, seeds: range, steps: int) -> np.ndarray:
    """Return accuracies [3, S]: on the first task when learned and at the end, on the last task."""
    learner = Classifier(stream, method(name), seeds=seeds)
    learner.train_task(0, steps)
    learned = learner.accuracy(0)
    for task in range(1, stream.n_tasks):
        learner.train_task(task, steps)
    return torch.stack([learned, learner.accuracy(0), learner.accuracy(stream.n_tasks - 1)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="updates per task")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=list(FIELDS), choices=list(FIELDS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    stream = ToyStream(n_tasks=args.tasks)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    plain = accuracies("finetuning", stream, seeds, args.steps)
    print(f"{args.tasks} tasks, {args.steps} updates each, {args.seeds} seeds")
    print("| method | setting | task 0 learned | task 0 at the end | last task | kept more than "
          "fine-tuning |\n|---|---|---:|---:|---:|---|")  # fmt: skip
    for name in args.methods:
        learned, end, last = accuracies(name, stream, seeds, args.steps)
        setting = ", ".join(f"{key} {value:g}" for key, value in FIELDS[name].items())
        gain = end - plain[1]
        interval = mean_interval(gain, fresh_sampler())
        text = f"[{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else "[–]"
        print(f"| {name} | {setting} | {learned.mean():.3f} | {end.mean():.3f} | {last.mean():.3f} "
              f"| {gain.mean():+.3f} {text} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
