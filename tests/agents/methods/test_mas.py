"""MAS: how sensitive the outputs' norm is to every protected parameter."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.agents.methods.mas import MAS
from tests.agents.plain import ThreeClasses, outputs_of, rows, weights_of
from tests.agents.tiny import fill, randomise, sac


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
