"""The classifier on the toy stream: what the methods are for."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import t as students_t
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.classifier.classifier import Classifier, ClassifierSettings
from clrl.agents.learner import NonFinite
from clrl.agents.methods.agem import AGEM
from clrl.agents.methods.base import Method
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.packnet import PackNet
from clrl.envs.streams import ToyStream
from tests.agents.telling import Hooks
from tests.agents.tiny import differences, total_differences


def calls(learner: Classifier) -> list[tuple[str, int]]:
    assert isinstance(learner.method, Hooks)
    return learner.method.calls


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


def test_asking_for_the_accuracy_changes_nothing() -> None:
    agents = [Classifier(ToyStream(), seeds=(0, 1)) for _ in range(2)]
    for learner, ask in zip(agents, (False, True), strict=True):
        for task in range(2):
            learner.train_task(task, 20)
            if ask:
                learner.accuracy(0)
                assert learner.task == task
    assert torch.equal(agents[0].flats["classifier"].flat, agents[1].flats["classifier"].flat)


# As a learner like the others


def test_learning_in_parts_is_learning_at_once() -> None:
    whole, parts = (Classifier(ToyStream(), EWC(), seeds=(0, 1)) for _ in range(2))
    for task in range(2):
        for learner in (whole, parts):
            learner.start_task(task)
        whole.learn(30)
        for steps in (7, 1, 22):
            parts.learn(steps)
        for learner in (whole, parts):
            learner.end_task()
            assert (learner.num_timesteps, learner.task_step) == (30 * (task + 1), 30)
    assert total_differences(whole.state_dict(), parts.state_dict()) == []
    assert whole.losses_log() == parts.losses_log()
    assert whole.losses_log().keys() >= {"classifier/loss", "method/penalty", "gradient/rl"}


def test_training_a_task_is_starting_learning_and_ending_it() -> None:
    whole, parts = (Classifier(ToyStream(), Hooks(), seeds=(0, 1)) for _ in range(2))
    for task in range(2):
        whole.train_task(task, 20)
        parts.start_task(task)
        parts.learn(20).end_task()
    assert total_differences(whole.state_dict(), parts.state_dict()) == []
    assert calls(whole) == calls(parts) == [("start", 0), ("end", 0), ("start", 1), ("end", 1)]


def test_learning_starts_the_task_by_itself() -> None:
    learner = Classifier(ToyStream(), Hooks()).learn(3)
    assert calls(learner) == [("start", 0)] and learner.task_open


def test_watching_stops_after_the_step_that_it_was_asked_for() -> None:
    steps: list[int] = []

    def watch() -> bool:
        steps.append(learner.num_timesteps)
        return learner.num_timesteps < 5

    learner = Classifier(ToyStream())
    learner.learn(20, watch)
    assert steps == [1, 2, 3, 4, 5] and learner.n_updates == 5
    other = Classifier(ToyStream()).learn(5)
    assert total_differences(learner.learn(4).state_dict(), other.learn(4).state_dict()) == []


def test_settings_are_passed_as_to_an_agent() -> None:
    settings = ClassifierSettings(batch_size=7, hidden_sizes=(16,))
    learner = Classifier(ToyStream(), None, settings, learning_rate=0.5)
    assert learner.settings == replace(settings, learning_rate=0.5)
    assert learner.sample(None, randomness.REPLAY).inputs.shape == (1, 7, 8)


def test_the_state_of_a_policy_is_enough_to_classify() -> None:
    stream = ToyStream()
    learner, fresh = (Classifier(stream, AGEM(memory_per_task=20)) for _ in range(2))
    learner.train_task(0, 50)
    policy = learner.policy_state()
    assert not any("memory" in name for name in policy)
    fresh.load_policy_state(policy)
    assert torch.equal(fresh.accuracy(0), learner.accuracy(0))


def test_a_seed_can_be_taken_and_goes_on_as_it_would_have() -> None:
    both = Classifier(ToyStream(), PackNet(retrain_steps=5), seeds=(4, 2), hidden_sizes=(32, 32))
    both.train_task(0, 20)
    alone = both.take(1)
    for learner in (both, alone):
        learner.train_task(1, 20)
    assert alone.seeds == (2,)
    assert differences(both.state_dict(), alone.state_dict(), 1, 0) == []


def test_a_loss_that_is_not_finite_is_named() -> None:
    learner = Classifier(ToyStream(), seeds=(4, 2))
    learner.flats["classifier"].views(learner.flats["classifier"].flat)["head.bias"][1] = math.nan
    with pytest.raises(NonFinite, match="classifier loss of seed 2 is nan in task 0"):
        learner.learn(1)


@pytest.mark.parametrize("reveals, heads", [("task", 3), ("boundaries", 1), ("nothing", 1)])
def test_the_stream_decides_what_is_told(reveals: Any, heads: int) -> None:
    learner = Classifier(ToyStream(n_tasks=3, reveals=reveals), Hooks(), seeds=(0, 1))
    for task in range(3):
        learner.train_task(task, 10)
        learner.accuracy(task)
    told = [[("start", k), ("end", k), ("evaluate", k)] for k in range(3)]
    if reveals == "nothing":
        told = [[("start", 0)], *[[("evaluate", 0)]] * 2, [("end", 0), ("evaluate", 0)]]
    assert calls(learner) == [call for part in told for call in part]
    assert learner.net.heads == heads and learner.shown == 2
    assert learner.n_tasks == (1 if reveals == "nothing" else 3)
    assert learner.num_timesteps == 30
    assert learner.optimizers["classifier"].step_count == (30 if reveals == "nothing" else 10)


def test_examples_change_though_nothing_is_told_of_it() -> None:
    learner = Classifier(ToyStream(n_tasks=2, reveals="nothing", examples=20), replay="all")
    learner.learn(1)
    first = learner.sample(200, randomness.METHOD, 0).inputs
    learner.show(1)
    both = learner.sample(200, randomness.METHOD, 0)
    assert both.task == 0 and 0.3 < float(torch.isin(both.inputs, first).float().mean()) < 0.7
    twin = Classifier(learner.stream)
    twin.load_state_dict(learner.state_dict())
    assert twin.shown == 1


def test_methods_that_need_more_than_a_stream_tells_are_refused() -> None:
    with pytest.raises(ValueError, match="EWC needs to be told when a task ends.*reveals nothing"):
        Classifier(ToyStream(reveals="nothing"), EWC())


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="no setting batch; did you mean batch_size?"):
        Classifier(ToyStream(), batch=3)
