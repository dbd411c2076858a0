"""PopArt: statistics that follow the targets, outputs that stay."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.policy import squash
from clrl.agents.sac.popart import PopArt
from clrl.agents.sac.replay import Batch
from tests.agents.tiny import column, fill, randomise, sac, same_bits

HEADS = 3


def agent_of(**settings: Any) -> ContinualSAC:
    """An agent with all weights random, statistics far from where they start, and mixed data."""
    agent = sac(seeds=(0, 1), n_tasks=HEADS, popart=True, **settings)
    randomise(agent)
    agent.popart.mean.add_(torch.tensor([5.0, -3.0, 0.5]))
    agent.popart.variance.copy_(torch.tensor([[9.0, 0.25, 1.0], [2.0, 4.0, 16.0]]))
    for task in range(HEADS - 1):  # the last head is in no batch
        fill(agent, task=task)
    return agent


def outputs(agent: ContinualSAC) -> dict[str, Tensor]:
    """Every head's values in units of reward at some inputs, [S, 2, B, heads]."""
    x = torch.randn(2, 2, 20, 5, generator=torch.Generator().manual_seed(1))
    mean, scale = (v[:, None, None] for v in (agent.popart.mean, agent.popart.scale))
    networks = {"critic": agent.critic, "target": agent.target_critic}
    return {name: (n.head(n.core(x)) * scale + mean).detach() for name, n in networks.items()}


def heads(agent: ContinualSAC) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": getattr(network.head, part).detach().clone()
        for name, network in (("critic", agent.critic), ("target", agent.target_critic))
        for part in ("weight", "bias")
    }


def mixed(agent: ContinualSAC) -> Batch:
    batch = agent.sample(None, randomness.REPLAY)
    assert isinstance(batch.task, Tensor) and not (batch.task == HEADS - 1).any()
    return batch


@pytest.mark.parametrize("beta", [3e-4, 0.5])
def test_outputs_stay_while_heads_and_statistics_move(beta: float) -> None:
    agent = agent_of(popart_beta=beta)
    before, mean, scale = outputs(agent), agent.popart.mean.clone(), agent.popart.scale
    for _ in range(20):
        agent.prepare(mixed(agent))
    assert bool((agent.popart.mean != mean)[:, :2].all())
    assert bool((agent.popart.scale != scale)[:, :2].all())
    for name, values in outputs(agent).items():
        torch.testing.assert_close(values, before[name], rtol=1e-5, atol=1e-5)


def test_a_head_that_is_in_no_batch_keeps_every_bit() -> None:
    agent = agent_of(popart_beta=0.5)
    before = {**heads(agent), "mean": agent.popart.mean.clone()}
    for _ in range(5):
        agent.prepare(mixed(agent))
    for name, values in {**heads(agent), "mean": agent.popart.mean}.items():
        own = values.movedim(-2 if name.endswith("weight") else -1, 0)
        old = before[name].movedim(-2 if name.endswith("weight") else -1, 0)
        assert same_bits(own[2], old[2])
        assert not torch.equal(own[0], old[0])


@pytest.mark.parametrize("task", [1, None])
def test_with_beta_1_the_statistics_are_the_batchs(task: int | None) -> None:
    targets = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)) * 7.0 + 40.0
    ids = torch.arange(50).expand(2, 50) % 2 if task is None else task
    popart = PopArt(2, HEADS, beta=1.0)
    popart.update(targets, ids)
    rows = slice(None) if task is not None else slice(1, None, 2)
    torch.testing.assert_close(popart.mean[:, 1], targets[:, rows].mean(1))
    expected = targets[:, rows].std(1, unbiased=False)
    torch.testing.assert_close(popart.scale[:, 1], expected)
    assert torch.equal(popart.mean[:, 2], torch.zeros(2))


def test_the_statistics_are_the_first_two_moments_of_the_papers() -> None:
    rng, popart, beta = np.random.default_rng(0), PopArt(1, 2, beta=0.1), 0.1
    first, second = np.zeros(2), np.ones(2)
    for _ in range(60):
        targets, ids = rng.normal(300.0, 5.0, 32), rng.integers(0, 2, 32)
        for head in range(2):
            own = targets[ids == head]
            first[head] = (1 - beta) * first[head] + beta * own.mean()
            second[head] = (1 - beta) * second[head] + beta * np.square(own).mean()
        popart.update(torch.tensor(targets[None], dtype=torch.float32), torch.tensor(ids[None]))
    np.testing.assert_allclose(popart.mean[0], first, rtol=1e-5)
    np.testing.assert_allclose(popart.scale[0], np.sqrt(second - first**2), rtol=1e-4)


@pytest.mark.parametrize(
    ("parity", "mean", "scale"), [("clean", 100.0, 10.0), ("original", 24.01, 3.164)]
)
def test_the_statistics_come_to_rest(
    parity: Any, mean: float, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = sac(n_tasks=2, popart=True, popart_beta=0.03, parity=parity)
    fill(agent)
    noise = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    noise = (noise - noise.mean()) / noise.std(unbiased=False)
    monkeypatch.setattr(agent, "_soft_target", lambda batch: 100.0 + 10.0 * noise)
    batch = agent.sample(None, randomness.REPLAY)
    for _ in range(600):
        batch = agent.prepare(batch)
    assert agent.popart.mean[0, 0].item() == pytest.approx(mean, rel=1e-3)
    assert agent.popart.scale[0, 0].item() == pytest.approx(scale, rel=1e-3)
    assert batch.target is not None
    torch.testing.assert_close(
        batch.target * scale + mean, 100.0 + 10.0 * noise, rtol=1e-2, atol=0.0
    )


def test_original_parity_rescales_the_first_critics_head_only() -> None:
    agent = agent_of(parity="original", popart_beta=0.5)
    before, values = heads(agent), outputs(agent)["critic"]
    agent.prepare(mixed(agent))
    torch.testing.assert_close(outputs(agent)["critic"][:, 0], values[:, 0], rtol=1e-5, atol=1e-5)
    for name, after in heads(agent).items():
        assert torch.equal(after[:, 1], before[name][:, 1])
        assert torch.equal(after[:, 0], before[name][:, 0]) == name.startswith("target")


def test_the_critics_learn_normalised_targets_and_the_entropy_is_in_units_of_reward() -> None:
    agent = agent_of()
    batch = mixed(agent)
    assert isinstance(batch.task, Tensor)
    scale, mean = agent.popart.scale.gather(1, batch.task), agent.popart.mean.gather(1, batch.task)
    action, log_prob = squash(
        *agent.action_distribution(batch.next_obs, batch.task), batch.next_noise
    )
    value = agent._q(agent.target_critic, batch.next_obs, action, batch.task).amin(1) * scale + mean
    alpha = agent.log_alpha.value.exp().gather(1, batch.task)
    target = batch.reward + 0.99 * (1 - batch.done) * (value - alpha * log_prob)
    error = agent._q(agent.critic, batch.obs, batch.action, batch.task) - (
        (target - mean) / scale
    ).unsqueeze(1)
    losses = agent.losses(batch)
    torch.testing.assert_close(losses["critic"], 0.5 * error.square().mean(-1).sum(-1))
    assert torch.equal(agent.losses(batch)["critic"], losses["critic"])


def test_statistics_that_never_move_are_plain_sac_bit_for_bit() -> None:
    still, plain = (
        sac(seeds=(0, 1), **settings).learn(90)  # type: ignore[arg-type]
        for settings in ({"popart": True, "popart_beta": 0.0}, {})
    )
    for seed in range(2):
        a, _ = column(still.state_dict(), seed)
        b, _ = column(plain.state_dict(), seed)
        assert a.keys() - b.keys() == {"weights.popart.mean", "weights.popart.variance"}
        assert [name for name in b if not same_bits(a[name], b[name])] == []


def test_popart_works_on_an_ordinary_sequence_and_starts_anew_with_the_critics() -> None:
    agent = sac(seeds=(0, 1), popart=True, popart_beta=0.1, reset_critic=True).learn(60)
    assert bool((agent.popart.mean[:, 0] != 0).all()) and bool((agent.popart.mean[:, 1] == 0).all())
    assert agent.losses_log()["popart/scale"] == agent.popart.scale[:, 0].tolist()
    agent.end_task()
    agent.start_task(1)
    assert bool((agent.popart.mean == 0).all()) and bool((agent.popart.scale == 1).all())
    agent.learn(60)
    assert bool((agent.popart.mean[:, 0] == 0).all()) and bool((agent.popart.mean[:, 1] != 0).all())
    agent.reinitialise()
    assert bool((agent.popart.mean == 0).all())


def test_a_seeds_statistics_do_not_depend_on_the_seeds_beside_it() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(3, 7, 128, generator=generator) * 100.0
    ids = torch.randint(0, HEADS, (3, 7, 128), generator=generator)
    both, alone = PopArt(7, HEADS, 0.1), PopArt(1, HEADS, 0.1)
    for step in range(3):
        units = both.update(targets[step], ids[step])
        own = alone.update(targets[step, 4:5], ids[step, 4:5])
        assert all(same_bits(a[4:5], b) for a, b in zip(units, own, strict=True))
    assert same_bits(both.variance[4:5], alone.variance)
