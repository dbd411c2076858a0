"""Agents whose updates compiled code does not compute, and what they are told."""

from typing import Any

import gymnasium as gym
import pytest
from torch import Tensor, nn

from clrl.agents.networks.layers import exact_linear
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.replay import Batch
from tests.agents.paths import (
    found,
    native_sac,
    needs_compiled_code,
    of_spaces,
    on_torch,
    random_batch,
    same_found,
)
from tests.agents.tiny import SETTINGS, method, sac, same_bits

pytestmark = needs_compiled_code

TOO_MANY = 1025


# Where it is not taken


class OtherLosses(ContinualSAC):
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {part: 2 * loss for part, loss in super().losses(batch).items()}


class OtherPrepare(ContinualSAC):
    def prepare(self, batch: Batch) -> Batch:
        return batch


class OtherQ(ContinualSAC):
    def _q(self, *inputs: Any) -> Tensor:
        return super()._q(*inputs) + 1


class OtherWithTask(ContinualSAC):
    def with_task(self, features: Tensor, task: int | Tensor) -> Tensor:
        return 2 * super().with_task(features, task)


class OtherPolicy(ContinualSAC):
    def action_distribution(self, features: Tensor, task: int | Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = super().action_distribution(features, task)
        return mean + 1, log_std


class OtherSplit(ContinualSAC):
    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = super()._split(outputs)
        return mean, log_std + 1


class OtherTaking(ContinualSAC):
    def take_gradients(self, *inputs: Any) -> None:
        super().take_gradients(*inputs)


class OtherActivation(ContinualSAC):
    def build(self) -> None:
        super().build()
        for network in (self.actor, self.critic, self.target_critic):
            network.core.activation = nn.functional.elu


class OtherSlope(ContinualSAC):
    def build(self) -> None:
        super().build()
        self.critic.core.activation = nn.LeakyReLU(0.1)


OTHERS: dict[type[ContinualSAC], str] = {
    OtherLosses: "`losses` of OtherLosses",
    OtherPrepare: "`prepare` of OtherPrepare",
    OtherQ: "`_q` of OtherQ",
    OtherWithTask: "`with_task` of OtherWithTask",
    OtherPolicy: "`action_distribution` of OtherPolicy",
    OtherSplit: "`_split` of OtherSplit",
    OtherTaking: "`take_gradients` of OtherTaking",
    OtherActivation: "an activation is none of leaky_relu, relu and tanh",
    OtherSlope: "an activation is none of",
}


def pendulum(kind: type[ContinualSAC], **settings: Any) -> ContinualSAC:
    return kind(gym.make("Pendulum-v1"), **(SETTINGS | settings))


@pytest.mark.parametrize("kind", OTHERS)
def test_a_subclass_with_its_own_computation_is_torchs_and_told_why(
    kind: type[ContinualSAC],
) -> None:
    agent = pendulum(kind)
    assert (agent.native.path, agent.engine()) == ("torch", None)
    assert OTHERS[kind] in agent.native.reason
    with pytest.raises(ValueError, match=f"update is native, but .*{OTHERS[kind]}"):
        pendulum(kind, update="native")
    batch = random_batch(agent, 8)
    losses = agent.losses(batch)
    assert all(same_bits(losses[p], found) for p, found in agent.gradients_of(batch).items())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"batch_size": TOO_MANY}, "batch_size is 1025, more than 1024"),
        ({"hidden_sizes": (8,) * 9}, "a network has 9 hidden layers, more than 8"),
        ({"hidden_sizes": (8, TOO_MANY)}, "a hidden layer has 1025 units, more than 1024"),
    ],
)
def test_limits_are_named(settings: dict[str, Any], reason: str) -> None:
    agent = pendulum(ContinualSAC, **settings)
    assert (agent.native.path, agent.native.reason) == ("torch", reason)
    with pytest.raises(ValueError, match=f"update is native, but {reason}"):
        pendulum(ContinualSAC, update="native", **settings)


def test_a_wide_head_is_torchs() -> None:
    assert "a head has 66 outputs, more than 64" in of_spaces(3, 33, 1).native.reason


def test_vcl_is_torchs() -> None:
    agent = sac(method=method("vcl"))
    assert agent.native.reason == "a layer is a BayesianLinear"
    with pytest.raises(ValueError, match="update is native, but a layer is a BayesianLinear"):
        sac(method=method("vcl"), update="native")


def test_exact_products_are_torchs() -> None:
    agent = native_sac(seeds=1)
    batch = random_batch(agent, 16)
    native = found(agent, batch)
    with exact_linear():
        assert agent.engine(batch) is None
        exact = found(agent, batch)
    with on_torch(agent), exact_linear():
        assert same_found(exact, found(agent, batch))
    assert same_found(native, found(agent, batch))
