"""Heads of finished tasks rest: no momentum and no decay moves them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.agents.methods import METHODS
from clrl.agents.networks.heads import decay_weights, head_rows
from clrl.envs.streams import ToyStream
from tests.agents.tiny import method, ppo, sac

SEEDS = (4, 2)
TRAIN_OLD_HEADS = {"agem", "cloning", "clonex", "perfect-memory", "reset"}
"""Methods that move old heads on purpose: with old examples, or because all starts anew."""
RESTING = [
    name for name, kind in METHODS.items()
    if name not in TRAIN_OLD_HEADS and not kind.interleaved
]  # fmt: skip


def heads(learner: Learner, task: int) -> dict[str, Tensor]:
    """Return copies of all that belongs to a task's heads, by part and name."""
    found = {}
    for part in learner.optimizers:
        flat = learner.flats[part]
        views = flat.views(flat.flat)
        for name, rows in head_rows(learner.modules()[part], views, task).items():
            found[f"{part}.{name}"] = rows.detach().clone()
    return found


def moved(learner: Learner, before: dict[str, Tensor], task: int) -> list[str]:
    after = heads(learner, task)
    return [name for name, rows in before.items() if not torch.equal(rows, after[name])]


AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sac": (sac, {"exploration_steps": 5}),
    "sac, original": (sac, {"exploration_steps": 5, "parity": "original"}),
    "ppo": (ppo, {"n_steps": 20}),
    "ppo with decay": (ppo, {"n_steps": 20, "weight_decay": 1e-2}),
}


@pytest.mark.parametrize("name", RESTING)
@pytest.mark.parametrize("kind", AGENTS)
def test_heads_of_finished_tasks_rest_without_a_fresh_optimizer(kind: str, name: str) -> None:
    make, settings = AGENTS[kind]
    refused = kind.partition(",")[0].partition(" ")[0] in METHODS[name].refusals()
    if refused or ("decay" in kind and METHODS[name].freezes):
        pytest.skip("the two do not go together")
    agent = make(None, method(name), SEEDS, 3, 40, **settings, reset_optimizer=False)
    assert agent.learn(41).task == 1  # the end of task 0 is over, and no update came yet
    own = heads(agent, 0)
    assert len(own) >= 5
    agent.learn(79)
    assert moved(agent, own, 0) == []
    untrained = heads(make(None, method(name), SEEDS, 3, 40, **settings), 1)
    assert len(moved(agent, untrained, 1)) == len(untrained)  # the second task's were trained


@pytest.mark.parametrize("name", [n for n in RESTING if "classifier" not in METHODS[n].refusals()])
def test_heads_of_a_classifier_rest_too(name: str) -> None:
    stream = ToyStream(n_tasks=3)
    learner = Classifier(stream, method(name), seeds=SEEDS, reset_optimizer=False)
    learner.train_task(0, 30)
    own = heads(learner, 0)
    learner.train_task(1, 30)
    assert own and moved(learner, own, 0) == []


def test_with_one_head_nothing_rests() -> None:
    agent = sac(multi_head=False, n_tasks=2)
    assert heads(agent, 0).keys() == {"alpha.value"}  # each task has an entropy coefficient


def test_decay_is_added_for_the_core_and_the_current_head_only() -> None:
    agent = ppo(seeds=SEEDS, n_tasks=3)
    for part, network in agent.modules().items():
        flat = agent.flats[part]
        assert flat.grad is not None
        flat.flat.fill_(2.0)
        flat.grad.zero_()
        decay_weights(flat, network, 1, 0.25)
        for name, gradient in flat.views(flat.grad).items():
            if name.startswith("core."):
                assert bool((gradient == 0.5).all())
            else:
                size = gradient.shape[1] // 3
                per_head = gradient.unflatten(1, (3, size)).flatten(2).amax((0, 2))
                assert per_head.tolist() == [0.0, 0.5, 0.0], name
