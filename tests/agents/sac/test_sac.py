"""SAC: the numbers of Continual World, and what an update may and may not change."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.replay import Batch
from tests.agents.tiny import (
    SETTINGS,
    fill,
    randomise,
    sac,
    same_bits,
    total_differences,
    vec,
    weights,
)


def test_targets_start_at_the_critics_and_follow_them_in_closed_form() -> None:
    agent = sac(seeds=(0, 1))
    target, critic = agent.flats["target"].flat, agent.flats["critic"].flat
    assert torch.equal(target, critic)
    start = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    target.copy_(start)
    for _ in range(100):
        agent.after_step()
    expected = critic + 0.995**100 * (start - critic)
    torch.testing.assert_close(target, expected, rtol=1e-4, atol=1e-5)


def batch_of(agent: ContinualSAC, mixed: bool = False) -> Batch:
    fill(agent)
    if mixed:
        fill(agent, task=1)
    batch = agent.sample(None, randomness.REPLAY)
    assert isinstance(batch.task, Tensor) == mixed
    return batch


@pytest.mark.parametrize("mixed", [False, True])
def test_each_loss_has_gradients_for_its_own_part_only(mixed: bool) -> None:
    agent = sac(seeds=(0, 1), n_tasks=3)
    randomise(agent)
    losses = agent.losses(batch_of(agent, mixed))
    assert list(losses) == ["actor", "critic", "alpha"]
    modules = {"actor": agent.actor, "critic": agent.critic, "alpha": agent.log_alpha}
    for part, loss in losses.items():
        assert loss.shape == (2,)
        for other, module in modules.items():
            gradients = torch.autograd.grad(
                loss.sum(), list(module.parameters()), retain_graph=True, allow_unused=True
            )
            touched = any(g is not None and bool((g != 0).any()) for g in gradients)
            assert touched == (part == other)


def test_a_step_of_one_part_leaves_the_other_parts_alone() -> None:
    for part in ("actor", "critic", "alpha"):
        agent = sac(seeds=(0, 1))
        losses = agent.losses(batch_of(agent))
        before = weights(agent)
        agent.take_gradients({part: losses[part]})
        for optimizer in agent.optimizers.values():
            optimizer.step()
        changed = {
            name.split(".")[0]
            for name, w in weights(agent).items()
            if not same_bits(w, before[name])
        }
        assert changed == {part}


def test_the_gradient_of_alpha_touches_only_tasks_in_the_batch() -> None:
    agent = sac(seeds=(0, 1), n_tasks=3)
    agent.update(batch_of(agent, mixed=True))  # tasks 0 and 1
    value = agent.log_alpha.value
    assert bool((value[:, :2] != 1.0).all()) and bool((value[:, 2] == 1.0).all())


def test_gradients_of_a_seed_come_from_its_own_loss() -> None:
    agent = sac(seeds=(0, 1))
    losses = agent.losses(batch_of(agent))
    gradients = torch.autograd.grad(losses["actor"][0], list(agent.actor.parameters()))
    assert all(bool((g[1] == 0).all()) for g in gradients)
    assert all(bool((g[0] != 0).any()) for g in gradients)


def test_heads_and_alphas_of_other_tasks_keep_their_bits_after_the_switch() -> None:
    agent = sac(seeds=(0, 1), n_tasks=3)
    agent.learn(60)
    before = weights(agent)
    agent.learn(60)
    assert agent.task == 1 and agent.n_updates == 100
    after = weights(agent)
    for part, outputs in (("actor", 4), ("critic", 1)):
        for name in ("head.weight", "head.bias"):
            old, new = before[f"{part}.{name}"], after[f"{part}.{name}"]
            axis = 1 if part == "actor" else 2
            pieces = zip(old.split(outputs, axis), new.split(outputs, axis), strict=True)
            assert [same_bits(a, b) for a, b in pieces] == [True, False, True]
    old, new = before["alpha.value"], after["alpha.value"]
    assert [same_bits(old[:, k], new[:, k]) for k in range(3)] == [True, False, True]


def test_without_a_reset_the_old_head_rests_and_the_core_keeps_its_momentum() -> None:
    agent = sac(reset_optimizer=False)
    agent.learn(60)
    before = weights(agent)["actor.head.weight"]
    agent.learn(1)
    assert agent.optimizers["actor"].exp_avg.any()
    agent.learn(59)
    assert same_bits(before[:, :4], weights(agent)["actor.head.weight"][:, :4])
    assert not same_bits(before[:, 4:], weights(agent)["actor.head.weight"][:, 4:])


@pytest.mark.parametrize("multi_head", [True, False])
def test_the_task_does_not_change_the_action_when_heads_are_identical(multi_head: bool) -> None:
    agent = sac(n_tasks=3, multi_head=multi_head)
    if multi_head:
        head = agent.actor.head
        with torch.no_grad():
            head.weight.copy_(head.weight[:, :4].repeat(1, 3, 1))
    features = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
    noise = np.zeros((1, 5, 2), np.float32)
    actions = [agent.act_on_features(features, task, noise) for task in range(3)]
    assert np.array_equal(actions[0], actions[1]) and np.array_equal(actions[0], actions[2])


def test_a_network_that_sees_the_task_acts_differently_on_each() -> None:
    agent = sac(n_tasks=3, multi_head=False, hide_task_id=False)
    features = np.ones((1, 5, 3), np.float32)
    actions = [
        agent.act_on_features(features, task, np.zeros((1, 5, 2), np.float32)) for task in (0, 1)
    ]
    assert not np.array_equal(actions[0], actions[1])


class Counted(ContinualSAC):
    """SAC that only notes at which steps of the task it acts uniformly, and would update."""

    def explore(self, features: np.ndarray) -> np.ndarray:
        state = self.streams.state()["exploration"]
        actions = super().explore(features)
        if self.streams.state()["exploration"] != state:
            self.uniform.append(self.task_step)
        return actions

    def update(self, batch: Any) -> dict[str, Tensor]:
        self.updates.append((self.task_step, int(self.buffer.size[0])))
        self.n_updates += 1
        return {}

    def sample(self, n: int | None, role: int, task: int | None = None) -> Any:
        assert n is not None
        return SimpleNamespace(split=lambda size: [None] * (n // size))

    def build(self) -> None:
        super().build()
        self.uniform: list[int] = []
        self.updates: list[tuple[int, int]] = []


def test_every_task_explores_and_starts_to_learn_anew() -> None:
    agent = Counted(vec(), **SETTINGS)
    for _ in range(2):
        agent.uniform, agent.updates = [], []
        agent.learn(60)
        assert agent.uniform == list(range(21))  # exploration_steps + 1
        assert agent.updates[0] == (11, 11)  # learning_starts + 1 transitions
        assert [step for step, _ in agent.updates] == [
            s for s in range(11, 60, 5) for _ in range(5)
        ]


def test_a_task_of_a_million_steps_takes_999000_updates() -> None:
    agent = Counted(sac().env, hidden_sizes=(8,), buffer_size=10, device="cpu")
    agent.task_open = True
    fill(agent, 5)
    for step in range(1, 1_000_001):
        agent.task_step = step
        agent.train_if_due()
    assert agent.n_updates == 999_000
    assert agent.updates[0][0] == 1_001 and agent.updates[49][0] == 1_001
    assert agent.updates[50][0] == 1_051


def test_a_task_starts_with_10001_uniform_actions() -> None:
    agent = Counted(sac().env, hidden_sizes=(8,), buffer_size=10, device="cpu")
    for agent.task_step in range(10_050):
        agent.explore(np.zeros((1, 3), np.float32))
    assert agent.uniform == list(range(10_001))


def counts(agent: ContinualSAC) -> list[int]:
    return [agent.optimizers[part].step_count for part in ("actor", "critic", "alpha")]


def test_the_original_counts_the_steps_of_all_parts_together_and_through_a_reset() -> None:
    ours, original = (ContinualSAC(vec(), parity=p, **SETTINGS) for p in ("clean", "original"))
    for agent in (ours, original):
        agent.learn(60)
    assert (counts(ours), counts(original)) == ([50] * 3, [150] * 3)
    assert not same_bits(weights(ours)["actor.head.bias"], weights(original)["actor.head.bias"])
    for agent in (ours, original):
        agent.learn(1)  # the second task begins
    assert (counts(ours), counts(original)) == ([0] * 3, [150] * 3)
    assert not original.optimizers["actor"].exp_avg_sq.any()


def test_a_restored_agent_of_the_original_kind_goes_on_bit_for_bit() -> None:
    first, other = (ContinualSAC(vec(), parity="original", **SETTINGS) for _ in range(2))
    first.learn(70)
    other.load_state_dict(first.state_dict())
    for agent in (first, other):
        agent.update(agent.sample(None, randomness.REPLAY))
    assert counts(first) == counts(other)
    a, b = weights(first), weights(other)
    assert all(same_bits(a[name], b[name]) for name in a)


def test_a_new_critic_is_a_new_network() -> None:
    agent = sac(reset_critic=True)
    agent.learn(60)
    agent.end_task()
    agent.start_task(1)
    critic, target = agent.critic, agent.flats["target"].flat
    assert torch.equal(target, agent.flats["critic"].flat)
    assert critic.core.norm is not None
    assert bool((weights(agent)["critic.core.layers.0.bias"] == 0).all())
    assert bool((critic.core.norm.weight == 1).all()) and bool((critic.core.norm.bias == 0).all())


class Recording(ContinualSAC):
    """SAC that keeps the batches it was updated on."""

    def update(self, batch: Any) -> dict[str, Tensor]:
        self.batches.append(batch)
        return super().update(batch)

    def build(self) -> None:
        super().build()
        self.batches: list[Batch] = []


@pytest.mark.parametrize("updates", [1, 5, 30])
def test_the_batches_of_a_block_are_drawn_together_up_to_25(updates: int) -> None:
    agent = Recording(vec(2), seeds=(0, 1), **(SETTINGS | {"gradient_steps": updates}))
    agent.learn(10)
    assert agent.batches == []
    twin = sac(seeds=(0, 1))
    twin.load_state_dict(agent.state_dict())
    agent.learn(1)
    twin.buffer.load(agent.buffer.state())
    expected = []
    for n in (updates,) if updates < 25 else (25, 5):
        expected += twin.sample(16 * n, randomness.REPLAY).split(16)
    assert len(agent.batches) == len(expected) == updates
    for got, wanted in zip(agent.batches, expected, strict=True):
        for name in ("obs", "next_obs", "action", "reward", "done", "noise", "next_noise"):
            assert same_bits(getattr(got, name), getattr(wanted, name))
        assert got.task == wanted.task == 0
    assert agent.streams.state()["replay"] == twin.streams.state()["replay"]


def test_a_run_split_between_blocks_that_are_drawn_in_parts_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clrl.agents.sac.sac.DRAWN_TOGETHER", 2)
    whole, first, second = (sac(seeds=(0, 1)) for _ in range(3))
    whole.learn(44)
    first.learn(33)
    second.load_state_dict(first.state_dict())
    assert first.env is not None
    second.set_env(first.env, force_reset=False)
    second.learn(11)
    assert whole.n_updates == second.n_updates == 35
    assert total_differences(whole.state_dict(), second.state_dict()) == []
