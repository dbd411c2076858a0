"""The state of a learner: a restored learner is the saved one, attribute by attribute."""

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.learner import MEASURE_EVERY
from clrl.agents.methods import METHODS, Method
from clrl.agents.methods.packnet import PackNet
from clrl.agents.sac import ContinualSAC
from clrl.envs.streams import ToyStream
from tests.agents.tiny import (
    column,
    method,
    ppo,
    sac,
    same_bits,
    total_differences,
)
from tests.agents.twins import MADE_ANEW, NOT_COMPARED, differing

AGENTS: dict[str, Any] = {"sac": sac, "ppo": ppo}
SEEDS = (4, 2)
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "sac": [
        {},
        {"popart": True, "exploration": "best_return", "exploration_steps": 40},
        {"replay": "reservoir", "reset_buffer": False, "buffer_size": 70},
        {"parity": "original", "max_grad_norm": 0.5},
    ],
    "ppo": [{}, {"learning_rate_schedule": "linear", "schedule_steps": 500}],
    "classifier": [{}, {"replay": "all"}],
}
CASES = [
    (kind, name, settings)
    for kind, every in SETTINGS.items()
    for name in METHODS
    for settings in (every if name in ("packnet", "finetuning") else every[:1])
    if kind not in METHODS[name].refusals()
]


def make(kind: str, chosen: Method, **settings: Any) -> Any:
    if kind == "classifier":
        stream = ToyStream(dim=5, examples=64)
        return Classifier(stream, chosen, seeds=SEEDS, hidden_sizes=(16, 16), **settings)
    return AGENTS[kind](method=chosen, seeds=SEEDS, **settings)


def half_way(kind: str, name: str, settings: dict[str, Any]) -> Any:
    """Return a learner in the middle of its second task, soon after the switch."""
    learner = make(kind, method(name), **settings)
    if kind == "classifier":
        learner.train_task(0, 30)
        learner.start_task(1)
        return learner.learn(3)
    return learner.learn(75 if kind == "ppo" else 63)


def restored(learner: Any, kind: str, name: str, settings: dict[str, Any]) -> Any:
    """Return a fresh learner that was given the other's state, as a file holds it."""
    twin = make(kind, method(name), **settings)
    state = learner.state_dict()
    twin.load_state_dict({"tensors": state["tensors"], "json": _through_text(state["json"])})
    if kind != "classifier":
        twin.env = copy.deepcopy(learner.env)
    return twin


def _through_text(numbers: Any) -> Any:
    return json.loads(json.dumps(numbers))


@pytest.mark.parametrize("kind, name, settings", CASES)
def test_every_attribute_is_restored(kind: str, name: str, settings: dict[str, Any]) -> None:
    learner = half_way(kind, name, settings)
    twin = restored(learner, kind, name, settings)
    assert differing(learner, twin, NOT_COMPARED | MADE_ANEW) == []
    assert learner.losses_log() == twin.losses_log()
    for each in (learner, twin):
        each.learn(40)
        each.end_task()
    assert differing(learner, twin, NOT_COMPARED) == []
    assert learner.losses_log() == twin.losses_log()


def test_the_comparison_sees_what_differs() -> None:
    one, other = (sac(method=method("ewc"), seeds=SEEDS).learn(70) for _ in range(2))
    assert differing(one, other, NOT_COMPARED) == []
    other.streams.normal(randomness.METHOD, (1,))
    other.gradient_norms = {"gradient/rl": torch.zeros(2)}
    other.buffer.arrays["reward"][1, 3] += 1.0
    other.method.state["anchor.core.layers.0.bias"][0, 0] += 1e-6
    other.optimizers["critic"].clock.count += 1
    paths = " ".join(differing(one, other, NOT_COMPARED))
    for word in ("streams", "gradient_norms", "reward", "anchor.core", "clock.count"):
        assert word in paths
    other = sac(method=method("ewc"), seeds=SEEDS).learn(70)
    other.actor.head.weight.data[0, 0, 0] += 1.0
    assert any("weight" in path or "flat" in path for path in differing(one, other, NOT_COMPARED))


def test_norms_measured_in_a_hook_are_logged_after_restoring() -> None:
    """A run interrupted three steps into task 1, PackNet having retrained at the end of task 0."""
    original = sac(method=PackNet(retrain_steps=30), seeds=SEEDS).learn(40)
    original.n_updates = MEASURE_EVERY - 40  # the next measurement falls into the hook
    original.learn(23)
    twin = sac(method=PackNet(retrain_steps=30), seeds=SEEDS)
    twin.load_state_dict(original.state_dict())
    twin.env = copy.deepcopy(original.env)
    assert original.gradient_norms["gradient/rl"].tolist() != original.losses_log()["gradient/rl"]
    for agent in (original, twin):
        agent.learn(20)
    assert original.losses_log() == twin.losses_log()
    assert total_differences(original.state_dict(), twin.state_dict()) == []


def test_a_state_without_norms_of_its_own_can_be_read() -> None:
    agent = sac(seeds=SEEDS).learn(40)
    state = agent.state_dict()
    del state["json"]["gradient_norms"]
    twin = sac(seeds=SEEDS)
    twin.load_state_dict(state)
    assert differing(agent.gradient_norms, twin.gradient_norms, ()) == []


OBS = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
OBS[..., -2:] = 0.0, 1.0  # of task 1


def trained(name: str = "ewc", **settings: Any) -> ContinualSAC:
    return sac(method=method(name), seeds=(4, 2), **settings).learn(80)


def test_a_state_is_a_copy_with_a_leading_seed_axis() -> None:
    agent = trained("packnet")
    state = agent.state_dict()
    assert all(tensor.shape[0] == 2 for tensor in state["tensors"].values())
    weight = state["tensors"]["weights.actor.head.weight"].clone()
    agent.flats["actor"].flat.fill_(7.0)
    assert same_bits(state["tensors"]["weights.actor.head.weight"], weight)
    assert set(column(state, 1)[1]) == {
        "streams",
        "report",
        "gradient_norms",
        "counters",
        "optimizers",
    }


@pytest.mark.parametrize("name", ["ewc", "packnet"])
def test_the_policy_state_is_enough_to_act_and_evaluate(name: str) -> None:
    agent, other = trained(name), sac(method=method(name), seeds=(4, 2))
    other.load_policy_state(agent.policy_state())
    for task in range(2):
        with agent.evaluating(task):
            expected = agent.act(OBS, True)
        with other.evaluating(task):
            assert np.array_equal(other.act(OBS, True), expected)


def test_a_state_of_other_networks_is_refused() -> None:
    state = trained().state_dict()
    with pytest.raises(ValueError, match="has shape .*; this agent has"):
        sac(method=method("ewc"), seeds=(4, 2), hidden_sizes=(8, 8)).load_state_dict(state)
    with pytest.raises(ValueError, match="the stored networks differ from this agent's in"):
        sac(method=method("ewc"), seeds=(4, 2), hidden_sizes=(16,)).load_state_dict(state)
