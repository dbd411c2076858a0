"""L2 and EWC: the penalty, and the Fisher information against definitions."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.classifier import Classifier, ToyStream
from clrl.agents.importance import fisher_outputs, squared_gradients
from clrl.agents.learner import Gaussian, Learner
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.l2 import L2
from clrl.agents.networks import SeedLinear
from clrl.agents.sac import ContinualSAC
from tests.agents.plain import network, weights_of
from tests.agents.tiny import fill, randomise, sac, weights


def agent_with(method: Any, n_tasks: int = 3, **settings: Any) -> ContinualSAC:
    """Return an agent in its second task, with random weights."""
    agent = sac(method=method, seeds=(0, 1), n_tasks=n_tasks, **settings)
    randomise(agent)
    fill(agent)
    agent.start_task(0)
    agent.end_task()
    return agent


@pytest.mark.parametrize("method", [L2(coef=3.0), EWC(coef=3.0, fisher_batches=1)])
def test_penalty_and_gradient_are_zero_at_the_start_of_a_task(method: Any) -> None:
    agent = agent_with(method)
    penalty = agent.method.penalty()
    assert penalty is not None and penalty.tolist() == [0.0, 0.0]
    gradients = torch.autograd.grad(penalty.sum(), list(agent.protected_parameters().values()))
    assert all(bool((g == 0).all()) for g in gradients)


@pytest.mark.parametrize("method", [L2(coef=3.0), EWC(coef=3.0, fisher_batches=1)])
def test_penalty_and_gradient_are_those_of_the_formula(method: Any) -> None:
    agent = agent_with(method)
    randomise(agent, 0.1)
    penalty = agent.method.penalty()
    assert penalty is not None
    parameters, state = agent.protected_parameters(), agent.method.state
    expected = torch.zeros(2)
    gradients = torch.autograd.grad(penalty.sum(), list(parameters.values()))
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        importance = state[f"importance.{name}"]
        distance = parameter.detach() - state[f"anchor.{name}"]
        assert bool((distance != 0).any())
        torch.testing.assert_close(gradient, 2 * 3.0 * importance * distance)
        expected += 3.0 * (importance * distance**2).flatten(1).sum(1)
    torch.testing.assert_close(penalty.detach(), expected)


def test_there_is_no_penalty_in_the_first_task() -> None:
    assert sac(method=L2()).method.penalty() is None
    assert sac(method=EWC()).method.penalty() is None


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


@pytest.mark.parametrize("method", [L2(), EWC(fisher_batches=1)])
def test_with_one_head_the_whole_network_is_protected(method: Any) -> None:
    agent = agent_with(method, multi_head=False)
    names = {name.split(".", 1)[1] for name in agent.method.state}
    assert names == {name for name, _ in agent.actor.named_parameters()}


def test_critics_and_their_losses_feel_no_penalty() -> None:
    agent = agent_with(L2(coef=1e3))
    randomise(agent, 0.1)
    batch = agent.sample(None, randomness.REPLAY)
    agent.take_gradients(agent.losses(batch))
    before = {part: o.grad.clone() for part, o in agent.optimizers.items()}
    penalty = agent.method.penalty()
    assert penalty is not None
    agent.take_gradients(agent.losses(batch) | {"penalty": penalty})
    same = {part: torch.equal(o.grad, before[part]) for part, o in agent.optimizers.items()}
    assert same == {"actor": False, "critic": True, "alpha": True}


def linear_gaussian(x: np.ndarray, w: float, sigma: float, squashed: bool) -> dict[str, Tensor]:
    """Return the closed form's Fisher for mean = w x and log std = b."""
    layer = SeedLinear((1,), 1, 2)
    with torch.no_grad():
        layer.weight[0, 0, 0] = w
        layer.bias[0, 1] = math.log(sigma)
    layer.tape = []
    y = layer(torch.tensor(x, dtype=torch.float32).view(1, -1, 1))
    distribution = Gaussian(y[..., :1], y[..., 1:].exp(), squash=True)
    return squared_gradients({"layer": layer}, fisher_outputs(distribution, squashed))


@pytest.mark.parametrize("x, w, sigma", [(1.7, 0.4, 0.3), (0.5, -1.0, 2.0)])
def test_the_fisher_of_a_linear_gaussian_is_the_worked_one(
    x: float, w: float, sigma: float
) -> None:
    fisher = linear_gaussian(np.array([x]), w, sigma, squashed=False)
    weight, bias = fisher["layer.weight"][0], fisher["layer.bias"][0]
    assert float(weight[0, 0]) == pytest.approx(x**2 / sigma**2, rel=1e-4)
    assert float(bias[1]) == pytest.approx(2.0, rel=1e-4)
    action = np.random.default_rng(0).normal(w * x, sigma, 1_000_000)
    scores = (action - w * x) / sigma**2 * x, ((action - w * x) / sigma) ** 2 - 1
    assert float(weight[0, 0]) == pytest.approx(np.mean(scores[0] ** 2), rel=0.01)
    assert float(bias[1]) == pytest.approx(np.mean(scores[1] ** 2), rel=0.02)


def test_the_printed_value_of_the_linear_gaussian() -> None:
    fisher = linear_gaussian(np.array([1.7]), 0.4, 0.3, squashed=False)
    assert float(fisher["layer.weight"][0, 0, 0]) == pytest.approx(32.11, abs=0.01)


def test_squashing_scales_the_means_term_only() -> None:
    x, w, sigma = np.array([1.7, -0.3, 0.8]), 0.4, 0.3
    fisher = linear_gaussian(x, w, sigma, squashed=True)
    expected = np.mean((1 - np.tanh(w * x) ** 2) ** 2 * x**2) / sigma**2
    assert float(fisher["layer.weight"][0, 0, 0]) == pytest.approx(expected, rel=1e-4)
    assert float(fisher["layer.bias"][0, 1]) == pytest.approx(2.0, rel=1e-4)


def per_sample_fisher(learner: Learner, batch: Any, s: int, squashed: bool) -> dict[str, Tensor]:
    """Return the mean over rows of squared gradients, each by autograd, in float64."""
    w = weights_of(learner, learner.protected_part, s)
    x = (batch.inputs if isinstance(learner, Classifier) else batch.obs)[s].double()
    total = {name: torch.zeros_like(parameter) for name, parameter in w.items()}
    n = len(x)
    tasks = [batch.task] * n if isinstance(batch.task, int) else batch.task[s].tolist()
    for row, task in zip(x, tasks, strict=True):
        y = network(w, row[None], [task], learner.network().outputs)[0]  # type: ignore[arg-type]
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
        for factor, output in terms:
            gradients = torch.autograd.grad(output, list(w.values()), retain_graph=True)
            for name, gradient in zip(w, gradients, strict=True):
                total[name] += factor.detach() * gradient**2 / n
    return total


def check_against_autograd(learner: Learner, batch: Any, squashed: bool) -> None:
    learner.sample = lambda n, role: batch  # type: ignore[method-assign]
    importance = learner.method.importance()  # type: ignore[attr-defined]
    assert importance.keys() == learner.protected_parameters().keys()
    floored = 0
    for s in range(2):
        reference = per_sample_fisher(learner, batch, s, squashed)
        for name, ours in importance.items():
            expected = reference[name].clamp(min=1e-5)
            floored += int((expected == 1e-5).sum())
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
    batch = agent.sample(12, randomness.METHOD)
    check_against_autograd(agent, batch, fisher_mean == "squashed")


def test_the_classifiers_fisher_is_that_of_autograd_row_by_row() -> None:
    stream = ToyStream(n_tasks=2, dim=5, examples=64, classes=3)
    learner = Classifier(stream, EWC(fisher_batches=1), (0, 1), hidden_sizes=(16, 16))
    learner.flats["classifier"].flat.add_(0.1)
    check_against_autograd(learner, learner.sample(12, randomness.METHOD), True)


@pytest.mark.parametrize("method", [L2(coef=1e10), EWC(coef=1e13, fisher_batches=2)])
def test_a_huge_coefficient_freezes_the_core_and_only_it(method: Any) -> None:
    moves = {}
    for name, chosen in {"huge": method, "zero": L2(coef=0.0)}.items():
        agent = sac(method=chosen, learning_rate=3e-5, train_freq=1, gradient_steps=1)
        agent.learn(60)
        before = weights(agent)
        agent.learn(60)
        moves[name] = {
            part: float((weights(agent)[part] - before[part]).abs().max())
            for part in ("actor.core.layers.1.weight", "actor.head.weight")
        }
    assert moves["huge"]["actor.core.layers.1.weight"] < 1e-4
    assert moves["zero"]["actor.core.layers.1.weight"] > 5e-4
    assert moves["huge"]["actor.head.weight"] > 5e-4
