"""The quadratic penalty of L2, EWC, online EWC and MAS."""

import functools
from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents import randomness
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.mas import MAS
from clrl.agents.methods.online_ewc import OnlineEWC
from tests.agents.tiny import after_a_task, fill, randomise, sac, same_bits, weights

PENALTIES = [
    L2(coef=3.0),
    EWC(coef=3.0, fisher_batches=1),
    OnlineEWC(coef=3.0, fisher_batches=1),
    MAS(coef=3.0, mas_batches=1),
]
every_method = pytest.mark.parametrize("method", PENALTIES)


@every_method
def test_penalty_and_gradient_are_zero_at_the_start_of_a_task(method: Any) -> None:
    agent = after_a_task(method)
    penalty = agent.method.penalty()
    assert penalty is not None and penalty.tolist() == [0.0, 0.0]
    gradients = agent.method.penalty_gradients(penalty)
    assert gradients.keys() == agent.protected_parameters().keys()
    assert all(bool((g == 0).all()) for g in gradients.values())


@every_method
def test_penalty_and_gradient_are_those_of_the_formula(method: Any) -> None:
    agent = after_a_task(method)
    randomise(agent, 0.1)
    penalty = agent.method.penalty()
    assert penalty is not None
    parameters, state = agent.protected_parameters(), agent.method.state
    expected = torch.zeros(2)
    gradients = agent.method.penalty_gradients(penalty)
    for name, parameter in parameters.items():
        importance = state[f"importance.{name}"]
        distance = parameter.detach() - state[f"anchor.{name}"]
        assert bool((distance != 0).any())
        torch.testing.assert_close(gradients[name], 2 * 3.0 * importance * distance)
        expected += 3.0 * (importance * distance**2).flatten(1).sum(1)
    torch.testing.assert_close(penalty, expected)


def test_there_is_no_penalty_in_the_first_task() -> None:
    assert all(sac(method=method).method.penalty() is None for method in PENALTIES)


@every_method
def test_with_one_head_the_whole_network_is_protected(method: Any) -> None:
    agent = after_a_task(method, multi_head=False)
    names = {name.split(".", 1)[1] for name in agent.method.state}
    assert names == {name for name, _ in agent.actor.named_parameters()}


def test_the_actor_gets_the_penaltys_gradient_and_critics_feel_nothing() -> None:
    agent = after_a_task(L2(coef=1e3))
    randomise(agent, 0.1)
    agent.take_gradients(agent.losses(agent.sample(None, randomness.REPLAY)))
    before = {part: o.grad.clone() for part, o in agent.optimizers.items()}
    own = {name: gradient.clone() for name, gradient in agent.gradients().items()}
    penalty = agent.method.penalty()
    assert penalty is not None
    agent.method.adjust_gradients()
    same = {part: torch.equal(o.grad, before[part]) for part, o in agent.optimizers.items()}
    assert same == {"actor": False, "critic": True, "alpha": True}
    pulls = agent.method.penalty_gradients(penalty)
    for name, gradient in agent.gradients().items():
        torch.testing.assert_close(gradient, own[name] + pulls.get(name, torch.zeros(())))


def test_the_report_has_quantiles_of_each_seeds_importances() -> None:
    agent = sac(method=EWC(fisher_batches=1), seeds=(0, 1))
    assert agent.method.report() == {}
    for task in (0, 1):
        fill(agent, task=task)
        agent.start_task(task)
        agent.end_task()
        agent.method.report()
    report, state = agent.method.report(), agent.method.state
    for s in range(2):
        tensors = [t[s].flatten() for name, t in state.items() if name.startswith("importance.")]
        for name, q in {"q50": 0.5, "q99": 0.99, "max": 1.0}.items():
            expected = np.quantile(torch.cat(tensors).numpy(), q, method="lower")
            assert float(report[f"importance/{name}"][s]) == float(expected)
    alone = agent.take(1).method.report()
    assert all(same_bits(report[name][1:], alone[name]) for name in report)
    assert agent.losses_log()["method/importance/max"] == report["importance/max"].tolist()


HUGE = {
    "l2": L2(coef=1e10),
    "ewc": EWC(coef=1e13, fisher_batches=2),
    "mas": MAS(coef=1e13, mas_batches=2),
    "none": L2(coef=0.0),
}


@functools.cache
def moves_in_second_task(name: str) -> dict[str, float]:
    """Return how far core and head move in the second task."""
    agent = sac(method=HUGE[name], learning_rate=3e-5, train_freq=1, gradient_steps=1)
    agent.learn(60)
    before = weights(agent)
    agent.learn(60)
    after = weights(agent)
    parts = {"core": "actor.core.layers.1.weight", "head": "actor.head.weight"}
    return {part: float((after[n] - before[n]).abs().max()) for part, n in parts.items()}


@pytest.mark.parametrize("name", ["l2", "ewc", "mas"])
def test_a_huge_coefficient_freezes_the_core_and_only_it(name: str) -> None:
    moves = moves_in_second_task(name)
    assert moves["core"] < 1e-4
    assert moves_in_second_task("none")["core"] > 5e-4
    assert moves["head"] > 5e-4
