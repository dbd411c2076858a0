"""Networks that grow while a run goes on."""

import copy
import json
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method
from clrl.agents.networks.adam import seed_norms
from clrl.agents.networks.layers import HeadedNetwork, SeedLinear
from clrl.agents.randomness import METHOD, REPLAY
from clrl.agents.state import Shapes
from clrl.envs.streams import ToyStream
from tests.agents.tiny import differences, ppo, sac, same_bits, total_differences, weights
from tests.agents.twins import MADE_ANEW, NOT_COMPARED, differing

AGENTS: dict[str, Any] = {"sac": sac, "ppo": ppo}
PARTS = {
    "sac": ("actor", "critic", "target"),
    "ppo": ("policy", "value"),
    "classifier": ("classifier",),
}
every_learner = pytest.mark.parametrize("kind", PARTS)
NEW = "core.layers.2.weight"
SEEDS = (4, 2)


class Growing(Method):
    """Puts a layer into every network when task 1 starts."""

    def on_task_start(self, task: int) -> None:
        if task == 1:
            self.grow(PARTS[self.learner.name])
            if self.learner.name == "sac":
                copy_layer(self.learner, "critic", "target")

    def take_shape(self, shapes: Shapes) -> None:
        grown = [part for part, shape in shapes.items() if NEW in shape]
        self.grow(part for part in grown if NEW not in self.learner.flats[part].slots)

    def grow(self, parts: Iterable[str]) -> None:
        for part in parts:
            network = self.learner.modules()[part]
            assert isinstance(network, HeadedNetwork)
            layer = SeedLinear(network.lead, 16, 16)
            layer.glorot_(self.learner.generators(METHOD))
            network.core.layers.append(layer)
            self.learner.reflatten(part)


def copy_layer(learner: Learner, source: str, target: str) -> None:
    views = learner.flats[target].views(learner.flats[target].flat)
    for name, view in learner.flats[source].views(learner.flats[source].flat).items():
        if name.startswith("core.layers.2"):
            views[name].copy_(view)


def make(kind: str, **settings: Any) -> Any:
    if kind == "classifier":
        stream = ToyStream(dim=5, examples=64)
        return Classifier(stream, Growing(), seeds=SEEDS, hidden_sizes=(16, 16), **settings)
    return AGENTS[kind](method=Growing(), seeds=SEEDS, steps_per_task=64, **settings)


def moments(learner: Learner) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part, optimizer in learner.optimizers.items()
        for name, tensor in optimizer.tensors().items()
    }


def to_the_switch(learner: Any) -> None:
    if isinstance(learner, Classifier):
        learner.train_task(0, 30)
    else:
        learner.learn(64)


def go_on(learner: Any) -> None:
    if isinstance(learner, Classifier):
        if learner.task == 0:
            learner.start_task(1)
        learner.learn(10)
    else:
        learner.learn(32)


@every_learner
def test_a_layer_that_is_added_is_trained(kind: str) -> None:
    learner = make(kind)
    to_the_switch(learner)
    go_on(learner)
    for part in PARTS[kind]:
        assert NEW in learner.flats[part].slots
    before = weights(learner)
    go_on(learner)
    after = weights(learner)
    for part in PARTS[kind]:
        assert not torch.equal(before[f"{part}.{NEW}"], after[f"{part}.{NEW}"])
        assert not torch.equal(before[f"{part}.head.weight"], after[f"{part}.head.weight"])


@every_learner
def test_growing_keeps_values_moments_and_step_counts_by_name(kind: str) -> None:
    learner = make(kind, reset_optimizer=False)
    to_the_switch(learner)
    values, before = weights(learner), moments(learner)
    counts = {part: o.step_count for part, o in learner.optimizers.items()}
    assert all(counts.values())
    learner.method.grow(PARTS[kind])
    now, after = weights(learner), moments(learner)
    assert all(same_bits(values[name], now[name]) for name in values)
    assert all(same_bits(before[name], after[name]) for name in before)
    new = [name for name in after if name not in before]
    assert len(new) == 4 * len(learner.network_parts)  # two moments of weight and bias
    assert all(not after[name].any() for name in new)
    assert counts == {part: o.step_count for part, o in learner.optimizers.items()}


def test_growing_critics_leaves_their_targets_alone() -> None:
    agent = make("sac", reset_optimizer=False).learn(50)
    target = agent.flats["target"].flat.clone()
    assert not torch.equal(target, agent.flats["critic"].flat)
    agent.method.grow(["critic"])
    assert same_bits(agent.flats["target"].flat, target)
    with pytest.raises(ValueError, match="differ in their parameters .*core.layers.2.weight"):
        agent.after_step()
    agent.method.grow(["target"])
    agent.after_step()


@every_learner
def test_a_grown_learner_is_restored_into_a_fresh_one(kind: str) -> None:
    learner, fresh = make(kind), make(kind)
    to_the_switch(learner)
    go_on(learner)
    state = learner.state_dict()
    numbers = json.loads(json.dumps(state["json"]))
    fresh.load_state_dict({"tensors": state["tensors"], "json": numbers})
    assert differing(learner, fresh, NOT_COMPARED | MADE_ANEW) == []
    if kind != "classifier":
        fresh.env = copy.deepcopy(learner.env)
    for each in (learner, fresh):
        go_on(each)
        each.end_task()
    assert total_differences(learner.state_dict(), fresh.state_dict()) == []
    fresh.load_state_dict(state)  # into one that has the shape already
    assert total_differences(fresh.state_dict(), state) == []


@every_learner
def test_a_seed_of_a_grown_learner_can_be_taken(kind: str) -> None:
    learner = make(kind)
    to_the_switch(learner)
    go_on(learner)
    for position in range(2):
        alone = learner.take(position)
        assert differences(alone.state_dict(), learner.state_dict(), 0, position) == []


@every_learner
def test_the_policy_of_a_grown_learner_is_enough_to_predict(kind: str) -> None:
    learner, fresh = make(kind), make(kind)
    to_the_switch(learner)
    go_on(learner)
    fresh.load_policy_state(learner.policy_state())
    part = learner.protected_part
    assert same_bits(learner.flats[part].flat, fresh.flats[part].flat)


def test_ppos_joint_clip_counts_what_was_added() -> None:
    agent = make("ppo", max_grad_norm=1e-3).learn(32)
    agent.method.grow(PARTS["ppo"])
    agent.take_gradients(agent.losses(agent.sample(None, REPLAY)))
    agent.clip_gradients()
    slots = [view for o in agent.optimizers.values() for _, view in o.parameters.gradient_slots]
    torch.testing.assert_close(seed_norms(slots), torch.full((2,), 1e-3), rtol=1e-2, atol=0)
