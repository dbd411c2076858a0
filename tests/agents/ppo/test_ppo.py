"""PPO: what it computes, rollouts over the ends of tasks and of `learn`, independent seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from clrl.agents import randomness
from clrl.agents.ppo import ContinualPPO
from clrl.agents.ppo.policy import log_prob
from clrl.agents.ppo.rollout import RolloutBatch
from tests.agents.tiny import (
    differences,
    finite_seeds,
    method,
    ppo,
    randomise,
    same_bits,
    seen,
    total_differences,
    vec,
    weights,
)

# What it computes


def random_batch(agent: ContinualPPO, rows: int = 20, tasks: bool = True) -> RolloutBatch:
    def draw(*shape: int) -> Tensor:
        return torch.randn(agent.n_seeds, rows, *shape, generator=generator)

    generator = torch.Generator().manual_seed(1)
    task = torch.arange(rows) % 2
    return RolloutBatch(
        obs=draw(3),
        action=draw(2),
        log_prob=draw() - 3.0,
        value=draw(),
        advantage=draw(),
        returns=draw(),
        task=task.expand(agent.n_seeds, -1) if tasks else 1,
    )


def test_losses_are_those_of_the_paper_computed_plainly() -> None:
    agent = ppo(seeds=(0, 1), clip_range_vf=0.3, ent_coef=0.1, vf_coef=0.7)
    randomise(agent)
    batch, w = random_batch(agent), weights(agent)
    found = agent.losses(batch)

    def network(part: str, s: int, b: int) -> Tensor:
        x, task, width = batch.obs[s, b].double(), b % 2, 2 if part == "policy" else 1
        for layer in ("core.layers.0", "core.layers.1"):
            x = (w[f"{part}.{layer}.weight"][s].double() @ x + w[f"{part}.{layer}.bias"][s]).tanh()
        rows = slice(task * width, (task + 1) * width)
        return w[f"{part}.head.weight"][s, rows].double() @ x + w[f"{part}.head.bias"][s, rows]

    for s in range(2):
        a = batch.advantage[s].double()
        a = (a - a.mean()) / a.std()
        surrogate, bonus, error = [], [], []
        for b in range(20):
            std = w["policy.log_std.bias"][s].view(2, 2)[b % 2].double().exp()
            normal = Normal(network("policy", s, b), std)
            ratio = (normal.log_prob(batch.action[s, b]).sum() - batch.log_prob[s, b]).exp()
            surrogate.append(torch.minimum(a[b] * ratio, a[b] * ratio.clamp(0.8, 1.2)))
            bonus.append(normal.entropy().sum())
            old = batch.value[s, b]
            value = old + (network("value", s, b) - old).clamp(-0.3, 0.3)
            error.append((batch.returns[s, b] - value).square().squeeze())
        policy = -torch.stack(surrogate).mean() - 0.1 * torch.stack(bonus).mean()
        assert found["policy"][s].item() == pytest.approx(policy.item(), rel=1e-4)
        value_loss = 0.7 * torch.stack(error).mean().item()
        assert found["value"][s].item() == pytest.approx(value_loss, rel=1e-4)


def test_rows_of_one_task_may_come_as_a_number_or_as_ids() -> None:
    agent = ppo(seeds=(0, 1))
    randomise(agent)
    batch = random_batch(agent, tasks=False)
    same = agent.batch_of(agent.rows_of(batch), randomness.METHOD)
    assert batch.task == 1 and isinstance(same.task, Tensor)
    for name, loss in agent.losses(batch).items():
        torch.testing.assert_close(loss, agent.losses(same)[name])


def test_the_first_minibatch_of_a_rollout_has_ratio_one() -> None:
    agent = ppo(seeds=(0, 1), n_epochs=1, batch_size=32)
    seen: list[tuple[dict[str, Tensor], Tensor]] = []
    update = agent.update

    def watched(batch: RolloutBatch) -> dict[str, Tensor]:
        policy = agent.output_distributions(batch)
        ratio = (log_prob(policy, batch.action) - batch.log_prob).exp()
        seen.append((agent.losses(batch), ratio))
        return update(batch)

    agent.update = watched  # type: ignore[method-assign]
    agent.learn(32)
    ((losses, ratio),) = seen
    torch.testing.assert_close(ratio, torch.ones(2, 32), rtol=0, atol=2e-6)
    assert losses["policy"].tolist() == pytest.approx([0, 0], abs=1e-6)  # - mean of advantages


def test_the_report_says_what_the_updates_did() -> None:
    agent = ppo(seeds=(0, 1), n_epochs=4, learning_rate=1e-2).learn(32)
    report = {name: values for name, values in agent.report.items() if "gradient" not in name}
    assert all(values.shape == (2,) for values in report.values())
    assert bool((report["policy/approx_kl"] > 1e-4).all())
    assert bool((report["value/explained_variance"] < 1).all())
    std = weights(agent)["policy.log_std.bias"][:, :2].exp()
    expected = Normal(torch.zeros(2, 2), std).entropy().sum(1)
    torch.testing.assert_close(report["policy/entropy"], expected)
    assert set(report) == {
        "policy/loss", "value/loss", "policy/entropy", "policy/approx_kl", "policy/clip_fraction",
        "value/explained_variance",
    }  # fmt: skip


def test_the_divergence_reported_is_about_that_of_the_two_policies() -> None:
    agent = ppo(seeds=(0,), n_steps=512, learning_rate=1e-3, steps_per_task=600)
    agent.learn(511)
    rollout = agent.rollout
    batch = rollout.batch(rollout.stand_ins(), agent.device, rollout.only_task())
    before = agent.output_distributions(batch)
    agent.learn(1)
    after = agent.output_distributions(batch)
    exact = kl_divergence(Normal(before.mean, before.std), Normal(after.mean, after.std))
    found = float(agent.report["policy/approx_kl"])
    assert found == pytest.approx(exact.sum(-1).mean().item(), rel=0.3)


# Rollouts and tasks


@pytest.mark.parametrize("n_steps", [32, 20])  # over the boundary at 60, and ending at it
def test_learning_in_parts_is_learning_at_once(n_steps: int) -> None:
    whole, parts = (
        ppo(seeds=(0, 1), method=method("ewc"), n_steps=n_steps, n_tasks=3) for _ in range(2)
    )
    whole.learn(130)
    for steps in (17, 28, 15, 1, 40, 29):
        parts.learn(steps)
    assert total_differences(whole.state_dict(), parts.state_dict()) == []


def test_an_episode_does_not_go_on_in_another_environment(tmp_path: Path) -> None:
    agent = ppo(seeds=(0, 1)).learn(13)
    agent.save(tmp_path / "agent")
    loaded = ContinualPPO.load(tmp_path / "agent", env=vec(2), device="cpu").learn(1)
    assert agent.rollout.arrays["over"][:, 12].tolist() == [0, 0]
    assert loaded.rollout.arrays["over"][:, 12].tolist() == [1, 1]


# The door


def test_actions_are_clipped_to_the_bounds_for_the_environment_only() -> None:
    agent = ppo(log_std_init=1.0).learn(20)  # the environment refuses what is out of bounds
    actions = agent.rollout.arrays["action"][0, :20]
    assert actions.min() < -2.0 and actions.max() > 1.0
    assert agent.to_env(actions).dtype == np.float32
    assert (agent.to_env(actions) == np.clip(actions, -2.0, 1.0)).all()
    sent = ppo(clip_actions=False).to_env(actions)
    assert np.array_equal(sent, actions) and not np.shares_memory(sent, actions)


@pytest.mark.parametrize("bootstrap", [True, False])
def test_a_time_limit_adds_the_value_of_the_last_observation(bootstrap: bool) -> None:
    agent, plain = ppo(bootstrap_truncated=bootstrap), ppo(gamma=0.0)
    agent.learn(10)
    plain.learn(10)
    added = agent.rollout.arrays["reward"][0, :10] - plain.rollout.arrays["reward"][0, :10]
    assert np.flatnonzero(added).tolist() == ([8] if bootstrap else [])
    assert agent.rollout.arrays["over"][0, :10].tolist() == [0] * 8 + [1, 0]


def test_a_step_of_a_broken_simulation_is_left_out_for_its_seed_only() -> None:
    agent = ppo(vec(2, events=[{}, {7: "warning"}]), seeds=(0, 1)).learn(32)
    healthy = ppo(seeds=(0, 1)).learn(32)
    assert differences(agent.state_dict(), healthy.state_dict(), 0, 0) == []
    assert agent.rollout.arrays["kept"][:, :32].sum(1).tolist() == [32, 31]
    assert agent.rollout.arrays["complete"][1, 6] == 0


# Seeds


VARIANTS: list[dict[str, Any]] = [
    {"hidden_sizes": (32, 32)},
    {"multi_head": False, "normalize_advantage": "rollout", "batch_size": 13, "n_steps": 25},
    {"activation": "continual_world", "hide_task_id": False, "ent_coef": 0.1, "clip_range_vf": 0.2},
]


def check_alone_and_beside(name: str, steps: int, **settings: Any) -> None:
    def trained(seeds: tuple[int, ...]) -> dict[str, Any]:
        return ppo(seeds=seeds, method=method(name), **settings).learn(steps).state_dict()

    four = trained((3, 0, 8, 5))
    assert differences(trained((0,)), four, 0, 1) == []
    assert differences(trained((0, 8)), four, 1, 2) == []


@pytest.mark.parametrize("settings", VARIANTS)
def test_a_seed_alone_is_the_seed_beside_others(settings: dict[str, Any]) -> None:
    check_alone_and_beside("ewc", 110, **settings)


def test_a_seed_alone_is_the_seed_beside_others_with_other_matrix_products() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        wide = {"hidden_sizes": (64, 64), "steps_per_task": 130, "n_steps": 100, "batch_size": 100}
        check_alone_and_beside("l2", 210, **wide)
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_nan_stays_in_its_seed() -> None:
    sick, healthy = ppo(seeds=(0, 1)).learn(32), ppo(seeds=(0, 1)).learn(32)
    for view in sick.flats["policy"].views(sick.flats["policy"].flat).values():
        view[0] = float("nan")
    for agent in (sick, healthy):
        agent.update(agent.sample(None, randomness.REPLAY))
    a, b = weights(sick), weights(healthy)
    assert all(same_bits(a[name][1], b[name][1]) for name in a)
    assert finite_seeds(sick) == [False, True]


def test_evaluating_does_not_change_training() -> None:
    agent, other = ppo(seeds=(0, 1)), ppo(seeds=(0, 1))
    for _ in range(4):
        agent.learn(16)
        agent.predict(seen(2))
        agent.act(seen(2, 3), True)
        other.learn(16)
    found = differences(agent.state_dict(), other.state_dict())
    assert found == ["streams"]  # the evaluation stream's own


def test_a_fresh_start_forgets_everything_but_the_streams() -> None:
    agent = ppo(seeds=(0, 1)).learn(50)
    before = weights(agent)
    agent.reinitialise()
    assert agent.rollout.position == 0 and agent.rollout.arrays["complete"].sum() == 0
    after = weights(agent)
    for name in ("policy.core.layers.0.weight", "value.head.weight"):
        assert not torch.equal(before[name], after[name])
    assert bool((after["policy.log_std.bias"] == 0).all())
    assert not agent.optimizers["value"].exp_avg.any()
