"""What a method may use of a learner, and the update that calls its hooks."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.learner import NonFinite
from clrl.agents.methods.base import Method
from tests.agents.tiny import (
    differences,
    fill,
    finite_seeds,
    ppo,
    sac,
    same_bits,
    total_differences,
    weights,
)


def test_a_finite_agent_passes_the_checks() -> None:
    agent = sac(seeds=(4, 9))
    fill(agent)
    agent.check_finite(agent.update(agent.sample(None, randomness.REPLAY)))
    assert finite_seeds(agent) == [True, True]


@pytest.mark.parametrize("update", ["auto", "torch"])
def test_gradients_of_no_part_may_be_asked_for(update: Any) -> None:
    agent = sac(update=update)
    fill(agent)
    batch = agent.sample(None, randomness.REPLAY)
    assert agent.gradients_of(batch, into={}).keys() == {"actor", "critic", "alpha"}
    assert not any(optimizer.grad.any() for optimizer in agent.optimizers.values())


@pytest.mark.parametrize("make", [sac, ppo])
def test_a_copy_trains_its_own_networks(make: Any) -> None:
    agent = make(seeds=(4, 9), steps_per_task=200)
    twin = copy.deepcopy(agent.learn(64))
    before = agent.state_dict()
    networks = [network.state_dict() for network in twin.modules().values()]
    networks = [{n: t.clone() for n, t in network.items()} for network in networks]
    for flat in twin.flats.values():
        flat.flat.add_(1.0)
    for network, old in zip(twin.modules().values(), networks, strict=True):
        if any(network is twin.modules()[part] for part in twin.flats):
            assert all(torch.equal(t, old[n] + 1.0) for n, t in network.state_dict().items())
    assert total_differences(before, agent.state_dict()) == []
    assert twin.network() is not agent.network() and twin.method.learner is twin


def test_a_nan_in_one_seed_leaves_the_others_bit_for_bit_as_they_were() -> None:
    agents = [sac(seeds=(4, 9), max_grad_norm=max_norm) for max_norm in (0.1, 0.1)]
    for agent, poison in zip(agents, (False, True), strict=True):
        fill(agent)
        if poison:
            agent.buffer.arrays["reward"][1, :] = float("nan")
        for _ in range(3):
            losses = agent.update(agent.sample(None, randomness.REPLAY))
    healthy, poisoned = (agent.state_dict() for agent in agents)
    assert differences(healthy, poisoned, 0, 0) == []
    assert not torch.isfinite(poisoned["tensors"]["weights.critic.head.weight"][1]).any()
    with pytest.raises(NonFinite, match="loss of seed 9 is nan in task 0"):
        agents[1].check_finite(losses)
    assert finite_seeds(agents[1]) == [True, False]


class Pulling(Method):
    """Notes its hooks; its penalty has a graph, and pulls the protected parameters to zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.calls: list[str] = []

    def mix(self, batch: Any) -> Any:
        self.calls.append("mix")
        return batch

    def penalty(self) -> Tensor | None:
        self.calls.append("penalty")
        parameters = self.learner.protected_parameters().values()
        return sum((p.square().flatten(1).sum(1) for p in parameters), torch.zeros(()))

    def adjust_gradients(self) -> None:
        self.calls.append("adjust_gradients")
        self.before = weights(self.learner)  # type: ignore[arg-type]

    def after_step(self) -> None:
        self.calls.append("after_step")
        self.after = weights(self.learner)  # type: ignore[arg-type]


def test_an_update_calls_each_hook_once_and_steps_between_the_last_two() -> None:
    agent = sac(method=Pulling(), seeds=(0, 1))
    fill(agent)
    start = weights(agent)
    losses = agent.update(agent.sample(None, randomness.REPLAY))
    method = agent.method
    assert isinstance(method, Pulling)
    assert method.calls == ["mix", "penalty", "adjust_gradients", "after_step"]
    assert all(same_bits(method.before[name], start[name]) for name in start)
    for part in ("actor", "critic", "alpha", "target"):  # the targets follow before the hook
        parts = [name for name in start if name.startswith(part)]
        assert any(not same_bits(method.after[name], start[name]) for name in parts)
    assert list(losses) == ["actor", "critic", "alpha", "penalty"]
    assert not any(loss.requires_grad for loss in losses.values()) and agent.n_updates == 1


def test_a_penalty_with_a_graph_is_no_part_of_the_learners_own_norm() -> None:
    pulled, plain = sac(method=Pulling(), seeds=(0, 1)), sac(seeds=(0, 1))
    for agent in (pulled, plain):
        fill(agent)
        agent.update(agent.sample(None, randomness.REPLAY))
    own, expected = pulled.gradient_norms["gradient/rl"], plain.gradient_norms["gradient/rl"]
    torch.testing.assert_close(own, expected, rtol=1e-3, atol=0)
    way = [p.flatten(1) for name, p in weights(sac(seeds=(0, 1))).items() if "actor.core" in name]
    pull = 2 * torch.cat(way, 1).norm(dim=1)
    torch.testing.assert_close(pulled.gradient_norms["gradient/penalty"], pull)


def test_layers_record_within_the_block_only_even_if_it_fails() -> None:
    agent = ppo()
    x = torch.ones(1, 2, 3)
    with pytest.raises(RuntimeError, match="enough"), agent.recording() as layers:
        agent.network()(x, 0)
        assert all(len(layers[f"core.layers.{i}"].tape or ()) == 1 for i in (0, 1))
        raise RuntimeError("enough")
    assert all(layer.tape is None for layer in layers.values())
