"""EWC: the Fisher information of what is protected; one anchor, or one per task."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.agents.methods.ewc import EWC
from clrl.agents.sac import ContinualSAC
from tests.agents.plain import ThreeClasses, outputs_of, rows, weights_of
from tests.agents.tiny import after_a_task, fill, randomise, sac, same_bits, total_differences


def fisher_by_loop(
    learner: Learner, batch: Any, s: int, squashed: bool, row_floor: float
) -> dict[str, Tensor]:
    """Return the mean over rows of squared gradients, each by autograd, in float64."""
    w = weights_of(learner, learner.protected_part, s)
    total = {name: torch.zeros_like(parameter) for name, parameter in w.items()}
    inputs, tasks = rows(learner, batch, s)
    for x, task in zip(inputs, tasks, strict=True):
        y = outputs_of(learner, w, x, task)
        if isinstance(learner, Classifier):
            log_p = y.log_softmax(0)
            terms = [(p.detach().exp(), p) for p in log_p]
        else:
            mean, std = y.chunk(2)
            std = std.clamp(-20, 2).exp()
            mean = mean.tanh() if squashed else mean
            variance = std.detach() ** 2 + 1e-6
            terms = [(1 / v, m) for v, m in zip(variance, mean, strict=True)]
            terms += [(2 / v, d) for v, d in zip(variance, std, strict=True)]
        row = {name: torch.zeros_like(parameter) for name, parameter in w.items()}
        for factor, output in terms:
            gradients = torch.autograd.grad(output, list(w.values()), retain_graph=True)
            for name, gradient in zip(w, gradients, strict=True):
                row[name] += factor.detach() * gradient**2
        for name, value in row.items():
            total[name] += value.clamp(min=row_floor) / len(inputs)
    return total


def check_fisher(learner: Learner, batch: Any, squashed: bool) -> None:
    learner.sample = lambda n, role, task=None: batch  # type: ignore[method-assign]
    importance = learner.method.importance(0)  # type: ignore[attr-defined]
    assert importance.keys() == learner.protected_parameters().keys()
    floor: float = learner.method.fisher_floor  # type: ignore[attr-defined]
    row_floor, floored = floor if learner.parity == "original" else 0.0, 0
    for s in range(2):
        reference = fisher_by_loop(learner, batch, s, squashed, row_floor)
        for name, ours in importance.items():
            expected = reference[name].clamp(min=floor)
            floored += int((expected == floor).sum())
            torch.testing.assert_close(ours[s].double(), expected, rtol=2e-5, atol=1e-9)
    assert floored < sum(t.numel() for t in importance.values())


@pytest.mark.parametrize("fisher_mean", ["squashed", "pre_squash"])
@pytest.mark.parametrize("multi_head, mixed", [(True, False), (True, True), (False, False)])
def test_the_actors_fisher_is_that_of_autograd_row_by_row(
    fisher_mean: Any, multi_head: bool, mixed: bool
) -> None:
    method = EWC(fisher_batches=1, fisher_mean=fisher_mean)
    agent = sac(method=method, seeds=(0, 1), multi_head=multi_head)
    randomise(agent)
    for task in range(1 + mixed):
        fill(agent, task=task)
    check_fisher(agent, agent.sample(12, randomness.METHOD), fisher_mean == "squashed")


def test_the_classifiers_fisher_is_that_of_autograd_row_by_row() -> None:
    stream = ThreeClasses(n_tasks=2, dim=5, examples=64)
    learner = Classifier(stream, EWC(fisher_batches=1), seeds=(0, 1), hidden_sizes=(16, 16))
    learner.flats["classifier"].flat.add_(0.1)
    check_fisher(learner, learner.sample(12, randomness.METHOD), True)


def test_with_original_parity_the_floor_holds_for_every_row() -> None:
    found = {}
    for parity in ("clean", "original"):
        agent = sac(method=EWC(fisher_batches=1, fisher_floor=0.1), seeds=(0, 1), parity=parity)
        randomise(agent)
        fill(agent)
        batch = agent.sample(12, randomness.METHOD)
        check_fisher(agent, batch, squashed=True)
        found[parity] = agent.method.importance(0)  # type: ignore[attr-defined]
    clean, original = (torch.cat([t.flatten() for t in f.values()]) for f in found.values())
    assert bool((original >= clean * (1 - 1e-5)).all())
    assert float((original > 1.1 * clean).float().mean()) > 0.1


def test_the_floor_of_every_row_leaves_a_seed_as_it_is_alone() -> None:
    both = sac(method=EWC(fisher_batches=2), seeds=(0, 1), parity="original")
    fill(both)
    alone = both.take(1)
    expected = alone.method.importance(0)  # type: ignore[attr-defined]
    for name, tensor in both.method.importance(0).items():  # type: ignore[attr-defined]
        assert same_bits(tensor[1:], expected[name])


def test_importances_are_at_least_the_floor_and_heads_never_appear() -> None:
    agent = after_a_task(EWC(fisher_batches=2, fisher_batch_size=16))
    fill(agent, task=1)
    agent.start_task(1)
    agent.end_task()
    names = {name.split(".", 1)[1] for name in agent.method.state}
    assert names == {n for n, _ in agent.actor.named_parameters() if n.startswith("core.")}
    for name, tensor in agent.method.state.items():
        if name.startswith("importance."):
            assert bool((tensor >= 2e-5 * (1 - 1e-6)).all())
            assert tensor.shape == agent.protected_parameters()[name[11:]].shape


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
