"""The quadratic penalty of L2, EWC, online EWC and MAS."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.mas import MAS
from clrl.agents.methods.online_ewc import OnlineEWC
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import fill, randomise, sac, same_bits, total_differences, weights

PENALTIES = [
    L2(coef=3.0),
    EWC(coef=3.0, fisher_batches=1),
    OnlineEWC(coef=3.0, fisher_batches=1),
    MAS(coef=3.0, mas_batches=1),
]
every_method = pytest.mark.parametrize("method", PENALTIES)


def agent_with(method: Any, n_tasks: int = 3, **settings: Any) -> ContinualSAC:
    """Return an agent in its second task, with random weights."""
    agent = sac(method=method, seeds=(0, 1), n_tasks=n_tasks, **settings)
    randomise(agent)
    fill(agent)
    agent.start_task(0)
    agent.end_task()
    return agent


@every_method
def test_penalty_and_gradient_are_zero_at_the_start_of_a_task(method: Any) -> None:
    agent = agent_with(method)
    penalty = agent.method.penalty()
    assert penalty is not None and penalty.tolist() == [0.0, 0.0]
    gradients = agent.method.penalty_gradients(penalty)
    assert gradients.keys() == agent.protected_parameters().keys()
    assert all(bool((g == 0).all()) for g in gradients.values())


@every_method
def test_penalty_and_gradient_are_those_of_the_formula(method: Any) -> None:
    agent = agent_with(method)
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


@pytest.mark.parametrize("accumulate, expected", [(True, [1, 2, 3]), (False, [1, 1, 1])])
def test_the_importance_of_l2_is_the_number_of_finished_tasks(
    accumulate: bool, expected: list[int]
) -> None:
    agent = sac(method=L2(accumulate=accumulate), n_tasks=4)
    for task, value in enumerate(expected):
        agent.start_task(task)
        agent.end_task()
        importances = [t for name, t in agent.method.state.items() if "importance" in name]
        assert all(bool((t == value).all()) for t in importances)


def test_importances_are_at_least_the_floor_and_heads_never_appear() -> None:
    agent = agent_with(EWC(fisher_batches=2, fisher_batch_size=16))
    fill(agent, task=1)
    agent.start_task(1)
    agent.end_task()
    names = {name.split(".", 1)[1] for name in agent.method.state}
    assert names == {n for n, _ in agent.actor.named_parameters() if n.startswith("core.")}
    for name, tensor in agent.method.state.items():
        if name.startswith("importance."):
            assert bool((tensor >= 2e-5 * (1 - 1e-6)).all())
            assert tensor.shape == agent.protected_parameters()[name[11:]].shape


@every_method
def test_with_one_head_the_whole_network_is_protected(method: Any) -> None:
    agent = agent_with(method, multi_head=False)
    names = {name.split(".", 1)[1] for name in agent.method.state}
    assert names == {name for name, _ in agent.actor.named_parameters()}


def test_the_actor_gets_the_penaltys_gradient_and_critics_feel_nothing() -> None:
    agent = agent_with(L2(coef=1e3))
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


def test_the_logged_gradient_norms_are_those_of_loss_and_penalty() -> None:
    agent = agent_with(L2(coef=1e3))
    randomise(agent, 0.1)
    batch = agent.sample(None, randomness.REPLAY)
    agent.take_gradients(agent.losses(batch))
    own = torch.cat([agent.gradients()[n].flatten(1) for n in agent.protected_parameters()], 1)
    way = [
        (p.detach() - agent.method.state[f"anchor.{name}"]).flatten(1)
        for name, p in agent.protected_parameters().items()
    ]
    agent.update(batch)
    norms = agent.gradient_norms
    torch.testing.assert_close(norms["gradient/rl"], own.norm(dim=1))
    torch.testing.assert_close(norms["gradient/penalty"], 2e3 * torch.cat(way, 1).norm(dim=1))


def per_task_agent(n_seeds: int = 2) -> ContinualSAC:
    """Return an agent in its third task, with moved weights."""
    method = EWC(coef=3.0, fisher_batches=1, fisher_batch_size=16, anchors="per_task")
    agent = sac(method=method, seeds=range(n_seeds), n_tasks=3)
    for task in (0, 1):
        randomise(agent)
        fill(agent, task=task)
        agent.start_task(task)
        agent.end_task()
    agent.start_task(2)
    fill(agent, task=2)
    randomise(agent, 0.1)
    return agent


def test_per_task_anchors_pull_to_every_tasks_weights_with_its_own_importance() -> None:
    agent = sac(method=EWC(coef=3.0, fisher_batches=1, anchors="per_task"), seeds=(0, 1), n_tasks=3)
    terms: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    ewc = agent.method
    assert isinstance(ewc, EWC)
    measured = ewc.importance
    ewc.importance = lambda task: terms[-1][0]  # type: ignore[method-assign]
    for task in (0, 1):
        randomise(agent)
        fill(agent, task=task)
        now = {name: p.detach().clone() for name, p in agent.protected_parameters().items()}
        terms.append((measured(task), now))
        agent.start_task(task)
        agent.end_task()
    randomise(agent, 0.1)
    parameters = agent.protected_parameters()
    expected, gradients = torch.zeros(2), {name: torch.zeros(()) for name in parameters}
    for importance, anchor in terms:
        for name, parameter in parameters.items():
            way = parameter.detach() - anchor[name]
            expected += 3.0 * (importance[name] * way**2).flatten(1).sum(1)
            gradients[name] = gradients[name] + 2 * 3.0 * importance[name] * way
    penalty = ewc.penalty()
    assert penalty is not None
    torch.testing.assert_close(penalty, expected)
    for name, gradient in ewc.penalty_gradients(penalty).items():
        torch.testing.assert_close(gradient, gradients[name])


def test_per_task_anchors_are_saved_exactly_and_a_seed_is_as_it_is_alone() -> None:
    both, alone = per_task_agent(), per_task_agent().take(1)
    other = sac(method=both.method, seeds=(0, 1), n_tasks=3)
    other.load_state_dict(both.state_dict())
    for agent in (both, other, alone):
        for _ in range(5):
            agent.update(agent.sample(None, randomness.REPLAY))
        agent.end_task()
    assert total_differences(both.state_dict(), other.state_dict()) == []
    assert total_differences(both.take(1).state_dict(), alone.state_dict()) == []
    per_parameter = sum(t.numel() for t in both.method.state.values()) / sum(
        p.numel() for p in both.protected_parameters().values()
    )
    assert per_parameter == 2 * 3  # importance and anchor of each of three tasks


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
