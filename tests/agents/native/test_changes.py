"""An engine holds addresses: whatever moves, grows or is replaced, it answers as torch does."""

import copy
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from clrl.agents.networks.heads import rest_heads
from clrl.agents.networks.layers import SeedLinear
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.policy import LogAlpha
from tests.agents.native.agents import with_engine
from tests.agents.paths import (
    agree,
    found,
    needs_compiled_code,
    on_torch,
    random_batch,
)
from tests.agents.test_growth import Growing
from tests.agents.tiny import vec

pytestmark = [
    needs_compiled_code,
    pytest.mark.filterwarnings("ignore:this update is computed by torch"),
]


def other(agent: ContinualSAC) -> ContinualSAC:
    """Return one with other weights and targets."""
    twin = with_engine()
    for flat in twin.flats.values():
        flat.flat.mul_(1.3)
    return twin


# What an agent may go through, and an engine made before must take up


def loaded(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.load_state_dict(other(agent).state_dict())
    return agent


def loaded_policy(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.load_policy_state(other(agent).policy_state())
    return agent


def saved(agent: ContinualSAC, path: Path) -> ContinualSAC:
    other(agent).save(path / "agent")
    return ContinualSAC.load(path / "agent", vec(2, 3), method=Growing(), device="cpu")


def grown(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.method.grow(("actor", "critic", "target"))  # type: ignore[attr-defined]
    return agent


def actor_grown(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.method.grow(("actor",))  # type: ignore[attr-defined]
    return agent


def critic_grown(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.method.grow(("critic",))  # type: ignore[attr-defined]
    return agent


def widened(agent: ContinualSAC, path: Path) -> ContinualSAC:
    """Make one hidden layer of the actor wider than any of the critics'."""
    core = agent.actor.core
    core.layers[1] = SeedLinear((2,), 16, 70)
    core.layers.append(SeedLinear((2,), 70, 16))
    for layer in core.layers[1:]:
        assert isinstance(layer, SeedLinear)
        nn.init.normal_(layer.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    agent.make_optimizers()
    return agent


def optimizers_made(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.make_optimizers()
    return agent


def reinitialised(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.reinitialise()
    return agent


def copied(agent: ContinualSAC, path: Path) -> ContinualSAC:
    twin = copy.deepcopy(agent)
    assert twin.native._engine is None
    for flat in agent.flats.values():  # what it was made from may be gone
        flat.flat.fill_(float("nan"))
    weight = twin.critic.head.weight.clone()
    twin.update(random_batch(twin, 16))
    assert not torch.equal(weight, twin.critic.head.weight)  # the copy trains its own networks
    return twin


def taken(agent: ContinualSAC, path: Path) -> ContinualSAC:
    return agent.take(1)


def actor_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.actor = other(agent).actor
    agent.make_optimizers()
    gc.collect()
    return agent


def target_moved(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.flats["target"].flat.copy_(other(agent).flats["target"].flat)
    return agent


def target_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.target_critic = other(agent).target_critic
    agent.make_optimizers()
    return agent


def entropies_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.log_alpha = LogAlpha(2, 3)
    agent.log_alpha.value.data.fill_(-0.7)
    agent.make_optimizers()
    return agent


def gamma_set(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.settings = replace(agent.settings, gamma=0.5, learning_rate=0.1)
    return agent


def entropy_set(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.target_entropy = 5.0
    agent.optimizers["actor"].lr = 1.0
    return agent


def range_set(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.log_std_range = (-0.2, 0.1)  # type: ignore[misc]
    return agent


def popart_on(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.settings = replace(agent.settings, popart=True)
    agent.popart.mean.fill_(3.0)
    agent.make_optimizers()
    return agent


def tapes_were_open(agent: ContinualSAC, path: Path) -> ContinualSAC:
    with agent.recording():
        found(agent, random_batch(agent, 16))
    return agent


def heads_rested(agent: ContinualSAC, path: Path) -> ContinualSAC:
    rest_heads(agent.optimizers, agent.modules(), 0)
    agent.reset_optimizers()
    return agent


def hook_was_there(agent: ContinualSAC, path: Path) -> ContinualSAC:
    handle = agent.critic.core.register_forward_hook(lambda *_: None)
    found(agent, random_batch(agent, 16))
    handle.remove()
    return agent


def scaled_in_place(agent: ContinualSAC, path: Path) -> ContinualSAC:
    for parameter in agent.critic.parameters():
        parameter.data *= 1.1
    return agent


def other_norm_values(agent: ContinualSAC, path: Path) -> ContinualSAC:
    assert agent.actor.core.norm is not None
    agent.actor.core.norm.reset()
    return agent


def without_norm(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.actor.core.norm = None
    agent.reflatten("actor")
    return agent


def parameter_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.critic.head.weight = nn.Parameter(agent.critic.head.weight.detach() * 2)
    agent.reflatten("critic")
    return agent


def relu(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.critic.core.activation = nn.functional.relu
    agent.actor.core.activation = torch.tanh
    return agent


TAKEN_UP = [
    loaded, loaded_policy, saved, grown, actor_grown, critic_grown, widened, optimizers_made,
    reinitialised, copied, taken, actor_replaced, target_moved, target_replaced,
    entropies_replaced, gamma_set, entropy_set, range_set, popart_on, tapes_were_open,
    heads_rested, hook_was_there, scaled_in_place, other_norm_values, without_norm,
    parameter_replaced, relu,
]  # fmt: skip


@pytest.mark.parametrize("change", TAKEN_UP, ids=lambda change: change.__name__)
def test_compiled_code_goes_on_with_what_is_there_now(
    change: Callable[[ContinualSAC, Path], ContinualSAC], tmp_path: Path
) -> None:
    agent = change(with_engine(), tmp_path)
    for n in (5, 16, 40):
        batch = random_batch(agent, n, per_row=True, seed=n)
        if agree(agent, batch):  # it fails unless compiled code is in use
            break
    else:
        pytest.fail("nothing could be compared")
    obs, noise = batch.obs.numpy(), batch.noise.numpy()
    native = agent.act_on_features(obs, batch.task, noise)
    with on_torch(agent):
        torchs = agent.act_on_features(obs, batch.task, noise)
    assert abs(native - torchs).max() <= 2e-6
