"""Cloning: the divergence, and what its penalty pulls at."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from clrl.agents.classifier import Classifier
from clrl.agents.methods.cloning import ClonEx, Cloning, divergence
from clrl.agents.randomness import METHOD
from clrl.envs.streams import ToyStream
from tests.agents.tiny import fill, randomise, sac


def learner_of(kind: str) -> Any:
    """Return a learner in its second task, that has just stored the first."""
    method = Cloning(memory_per_task=50, memory_batch_size=30)
    if kind == "sac":
        agent = sac(method=method, seeds=(0, 1))
        randomise(agent)
        agent.start_task(0)
        fill(agent)
        agent.end_task()
        agent.start_task(1)
        return agent
    learner = Classifier(ToyStream(n_tasks=2, examples=30), method, seeds=(0, 1))
    learner.train_task(0, steps=20)
    learner.task = 1
    return learner


every_learner = pytest.mark.parametrize("kind", ["sac", "classifier"])


def penalty_and_gradients(learner: Any) -> tuple[Tensor, dict[str, Tensor]]:
    learner.method.mix(None)
    penalty = learner.method.penalty()
    assert penalty is not None
    named = dict(learner.network().named_parameters())
    gradients = torch.autograd.grad(penalty.sum(), list(named.values()))
    return penalty.detach(), dict(zip(named, gradients, strict=True))


def test_the_divergence_of_two_gaussians() -> None:
    old = {"mean": torch.zeros(1, 1, 1), "std": torch.ones(1, 1, 1)}
    new = {"mean": torch.ones(1, 1, 1), "std": 2 * torch.ones(1, 1, 1)}
    assert divergence(old, new).item() == pytest.approx(0.4431471806, abs=1e-7)


def test_the_divergence_of_class_probabilities() -> None:
    old, new = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Categorical(logits=old), Categorical(logits=new))
    found = divergence({"logits": old}, {"logits": new})
    torch.testing.assert_close(found, expected)
    assert bool((found > 0).all())


@every_learner
def test_right_after_storing_there_is_nothing_to_clone(kind: str) -> None:
    penalty, gradients = penalty_and_gradients(learner_of(kind))
    assert penalty.shape == (2,) and bool((penalty.abs() < 1e-4).all())  # 100 times rounding
    assert all(bool((g.abs() < 1e-3).all()) for g in gradients.values())


@every_learner
def test_the_core_and_old_heads_are_pulled_and_the_new_head_is_not(kind: str) -> None:
    learner = learner_of(kind)
    before = {n: p.detach().clone() for n, p in learner.network().named_parameters()}
    with torch.no_grad():
        for parameter in learner.network().parameters():
            parameter.add_(0.05)
    penalty, gradients = penalty_and_gradients(learner)
    assert bool((penalty > 0.1).all())
    for name in ("head.weight", "head.bias"):
        rows = gradients[name].shape[1] // 2
        assert bool((gradients[name][:, :rows] != 0).any())
        assert bool((gradients[name][:, rows:] == 0).all())
    assert bool((gradients["core.layers.0.weight"] != 0).any())
    with torch.no_grad():  # back to the old weights, as an infinite coefficient would
        for name, parameter in learner.network().named_parameters():
            parameter.copy_(before[name])
    assert bool((penalty_and_gradients(learner)[0].abs() < 1e-4).all())


@every_learner
def test_the_penalty_draws_nothing_and_is_the_same_twice(kind: str) -> None:
    learner = learner_of(kind)
    learner.method.mix(None)
    streams = learner.streams.state()
    first, second = learner.method.penalty(), learner.method.penalty()
    assert first is not None and second is not None and torch.equal(first, second)
    assert learner.streams.state() == streams


def test_the_penalty_is_the_mean_over_examples_times_the_coefficient() -> None:
    agent = sac(method=Cloning(coef=7.0, memory_per_task=10, memory_batch_size=10))
    randomise(agent)
    fill(agent)
    agent.end_task()
    state = {name: t.clone() for name, t in agent.method.state.items()}
    for flat in agent.flats.values():
        flat.flat.mul_(1.1)
    agent.method.mix(None)
    found = agent.method.penalty()
    rows = {n.removeprefix("memory."): t for n, t in state.items() if "output" not in n}
    now = agent.output_distributions(agent.batch_of(rows, METHOD))
    old = torch.distributions.Normal(state["memory.output.mean"], state["memory.output.std"])
    expected = kl_divergence(old, torch.distributions.Normal(now.mean, now.std)).sum(-1).mean(-1)
    assert found is not None
    torch.testing.assert_close(found, 7.0 * expected)


@pytest.mark.parametrize("name", ["ppo", "classifier"])
def test_clonex_says_why_it_needs_sac(name: str) -> None:
    with pytest.raises(ValueError, match="random actions that SAC starts a task with"):
        ClonEx.check_learner(name)
    Cloning.check_learner(name)
