"""Fisher information and MAS importance against definitions."""

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Gaussian, Learner
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.mas import MAS
from clrl.agents.networks.importance import fisher_outputs, mean_gradients, squared_norm
from clrl.agents.networks.layers import SeedBias, SeedLinear
from clrl.envs.streams import ToyStream
from tests.agents.plain import network, weights_of
from tests.agents.tiny import fill, randomise, sac, same_bits


def linear(x: np.ndarray, weight: float, outputs: int) -> tuple[SeedLinear, Tensor]:
    """Return a layer whose first output is weight * x, on tape, and its outputs."""
    layer = SeedLinear((1,), 1, outputs)
    with torch.no_grad():
        layer.weight[0, 0, 0] = weight
    layer.tape = []
    return layer, layer(torch.tensor(x, dtype=torch.float32).view(1, -1, 1))


def linear_gaussian(x: np.ndarray, w: float, sigma: float, squashed: bool) -> dict[str, Tensor]:
    """Return the closed form's Fisher for mean = w x and log std = b."""
    layer, y = linear(x, w, outputs=2)
    y = y + torch.tensor([0.0, math.log(sigma)])
    distribution = Gaussian(y[..., :1], y[..., 1:].exp(), squash=True)
    return mean_gradients({"layer": layer}, fisher_outputs(distribution, squashed), torch.square)


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


@pytest.mark.parametrize("scale", [1.0, -3.0])
def test_mas_of_a_linear_output_is_the_worked_one_and_grows_with_the_scale_squared(
    scale: float,
) -> None:
    x, w = np.array([1.7, -0.3, 0.8]), -0.4
    layer, y = linear(x, w, outputs=1)
    norm = squared_norm(Gaussian(scale * y, torch.ones_like(y)), squashed_mean=False)
    found = mean_gradients({"layer": layer}, [norm], torch.abs)
    expected = scale**2 * 2 * abs(w) * np.mean(x**2)
    assert float(found["layer.weight"]) == pytest.approx(expected, rel=1e-5)


def test_the_fisher_of_a_deviation_that_no_input_changes_is_two() -> None:
    layer, y = linear(np.array([1.7, -0.3]), 0.4, outputs=1)
    log_std = SeedBias((1,), 1)
    rows = log_std.bias.unsqueeze(-2).expand(1, 2, 1)
    log_std.tape = [(None, rows)]
    outputs = fisher_outputs(Gaussian(y, rows.exp()), squashed_mean=False)
    found = mean_gradients({"mean": layer, "std": log_std}, outputs, torch.square)
    assert found.keys() == {"mean.weight", "mean.bias", "std.bias"}
    assert float(found["std.bias"]) == pytest.approx(2.0, rel=1e-4)


def outputs_of(learner: Learner, w: dict[str, Tensor], x: Tensor, task: int) -> Tensor:
    """Return one row's outputs in float64."""
    return network(w, x[None], [task], learner.network().outputs)[0]  # type: ignore[arg-type]


def rows(learner: Learner, batch: Any, s: int) -> tuple[Tensor, list[int]]:
    x = (batch.inputs if isinstance(learner, Classifier) else batch.obs)[s].double()
    return x, [batch.task] * len(x) if isinstance(batch.task, int) else batch.task[s].tolist()


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


def mas_by_loop(learner: Learner, batch: Any, s: int, squashed: bool) -> dict[str, Tensor]:
    """Return the mean over rows of absolute gradients, each by autograd, in float64."""
    w = weights_of(learner, learner.protected_part, s)
    total = {name: torch.zeros_like(parameter) for name, parameter in w.items()}
    inputs, tasks = rows(learner, batch, s)
    for x, task in zip(inputs, tasks, strict=True):
        y = outputs_of(learner, w, x, task)
        if not isinstance(learner, Classifier):
            mean, log_std = y.chunk(2)
            y = torch.cat([mean.tanh() if squashed else mean, log_std.clamp(-20, 2)])
        gradients = torch.autograd.grad(y.square().sum(), list(w.values()))
        for name, gradient in zip(w, gradients, strict=True):
            total[name] += gradient.abs() / len(inputs)
    return total


class ThreeClasses(ToyStream):
    """One class of three never occurs."""

    classes: ClassVar[int] = 3


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


@pytest.mark.parametrize("mas_mean", ["squashed", "pre_squash"])
def test_the_importance_of_mas_is_that_of_autograd_row_by_row(mas_mean: Any) -> None:
    agent = sac(method=MAS(mas_batches=1, mas_mean=mas_mean), seeds=(0, 1))
    randomise(agent)
    fill(agent)
    stream = ThreeClasses(n_tasks=2, dim=5, examples=64)
    other = Classifier(stream, MAS(mas_batches=1), seeds=(0, 1), hidden_sizes=(16, 16))
    for learner in (agent, other):
        batch = learner.sample(12, randomness.METHOD)
        learner.sample = lambda n, role, task=None, batch=batch: batch  # type: ignore[method-assign]
        importance = learner.method.importance(0)  # type: ignore[attr-defined]
        assert importance.keys() == learner.protected_parameters().keys()
        for s in range(2):
            reference = mas_by_loop(learner, batch, s, mas_mean == "squashed")
            for name, ours in importance.items():
                assert bool((ours >= 0).all())
                torch.testing.assert_close(ours[s].double(), reference[name], rtol=2e-5, atol=1e-7)
