"""Learners whose tasks come back."""

from functools import partial
from typing import Any

import pytest

from clrl.agents.classifier import Classifier
from clrl.agents.methods import METHODS, Method
from clrl.envs.streams import ToyStream
from tests.agents.telling import telling
from tests.agents.tiny import ppo, sac

SEEDS = (7, 1)
STEPS = 32  # of a task: two rollouts, and more than the random actions
AGENTS: dict[str, Any] = {"sac": sac, "ppo": partial(ppo, n_steps=16)}
KINDS = (*AGENTS, "classifier")
CASES = [(k, name) for name in sorted(METHODS) for k in KINDS if k not in METHODS[name].refusals()]
every_case = pytest.mark.parametrize("kind, name", CASES)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_agent = pytest.mark.parametrize("kind", AGENTS)


def make(
    kind: str,
    chosen: Method | None = None,
    order: tuple[int, ...] = (0, 1, 0, 1),
    n_tasks: int = 2,
    seeds: tuple[int, ...] = SEEDS,
) -> Any:
    """Return a learner whose worlds show tasks in an order."""
    if kind == "classifier":
        stream = ToyStream(n_tasks=n_tasks, dim=5, examples=64)
        return Classifier(stream, chosen, seeds=seeds, batch_size=16, hidden_sizes=(16, 16))
    env = telling("task", len(seeds), n_tasks, STEPS, order)
    return AGENTS[kind](env, chosen, seeds)


def visit(learner: Any, task: int) -> Any:
    """Train on the next task of the order, to its end."""
    if isinstance(learner, Classifier):
        learner.train_task(task, 20)
    else:
        learner.learn(STEPS)
        assert learner.interleaved or learner.task == task
        learner.end_task()
    return learner


def visited(kind: str, chosen: Method | None, order: tuple[int, ...], **more: Any) -> Any:
    """Return a learner that has been through an order of tasks."""
    learner = make(kind, chosen, order, **more)
    for task in order:
        visit(learner, task)
    return learner
