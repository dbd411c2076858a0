"""The classifier on the toy stream: what the methods are for."""

import doctest
import math

import pytest
import torch
from scipy.stats import t as students_t
from torch import Tensor

import clrl.agents.classifier
from clrl.agents.classifier import Classifier
from clrl.agents.methods.base import Method
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.packnet import PackNet
from clrl.envs.streams import ToyStream

STEPS, SEEDS = 300, tuple(range(10))


def accuracies(method: Method | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the accuracy on task 0 before and after task 1, and on task 1: [10] each."""
    learner = Classifier(ToyStream(n_tasks=2), method, seeds=SEEDS, hidden_sizes=(32, 32))
    learner.train_task(0, STEPS)
    before = learner.accuracy(0)
    learner.train_task(1, STEPS)
    return before, learner.accuracy(0), learner.accuracy(1)


@pytest.fixture(scope="module")
def finetuned() -> tuple[Tensor, Tensor, Tensor]:
    return accuracies(None)


def interval(difference: Tensor) -> tuple[float, float]:
    """Return the 95 % t-interval of a mean."""
    n = len(difference)
    half = students_t.ppf(0.975, n - 1) * float(difference.std()) / math.sqrt(n)
    return float(difference.mean()) - half, float(difference.mean()) + half


def test_fine_tuning_learns_each_task_and_forgets_the_first(
    finetuned: tuple[Tensor, Tensor, Tensor],
) -> None:
    before, after, second = finetuned
    assert float(before.mean()) > 0.8 and float(second.mean()) > 0.8
    assert interval(before - after)[0] > 0.02


@pytest.mark.parametrize(
    "method",
    [L2(coef=10.0), EWC(coef=100.0), PackNet(retrain_steps=100)],
    ids=lambda m: type(m).__name__,
)
def test_a_method_keeps_the_first_task_better_than_fine_tuning(
    method: Method, finetuned: tuple[Tensor, Tensor, Tensor]
) -> None:
    before, after, second = accuracies(method)
    assert interval(after - finetuned[1])[0] > 0.0
    assert float(second.mean()) > 0.6  # and still learns the second


def test_packnet_forgets_nothing_of_what_it_retrained() -> None:
    learner = Classifier(ToyStream(n_tasks=3), PackNet(retrain_steps=20), seeds=(0, 1))
    learner.train_task(0, 100)
    before = learner.accuracy(0)
    for task in (1, 2):
        learner.train_task(task, 100)
        assert torch.equal(learner.accuracy(0), before)


def test_tasks_belong_to_a_seed_alone() -> None:
    stream = ToyStream(n_tasks=2, dim=3, examples=16)
    x, y = stream.task(4, 1)
    assert x.shape == (32, 3) and y.shape == (32,) and set(y.tolist()) == {0, 1}
    assert (stream.task(4, 1)[0] == x).all() and (stream.task(5, 1)[0] != x).all()


def test_asking_for_the_accuracy_changes_nothing() -> None:
    agents = [Classifier(ToyStream(), seeds=(0, 1)) for _ in range(2)]
    for learner, ask in zip(agents, (False, True), strict=True):
        for task in range(2):
            learner.train_task(task, 20)
            if ask:
                learner.accuracy(0)
                assert learner.task == task
    assert torch.equal(agents[0].flats["classifier"].flat, agents[1].flats["classifier"].flat)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="no setting batch; did you mean batch_size?"):
        Classifier(ToyStream(), batch=3)


def test_the_examples_in_the_documentation_work() -> None:
    assert doctest.testmod(clrl.agents.classifier).failed == 0
