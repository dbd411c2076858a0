"""VCL: its penalty, what is frozen, and which weights act."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.methods.vcl import VCL
from clrl.agents.sac import ContinualSAC
from clrl.envs.streams import ToyStream
from tests.agents.tiny import fill, ppo, sac, same_bits, weights

SEEDS = (7, 1)
OBS = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
OBS[:, :, 3:] = (1.0, 0.0)


def agent_of(method: VCL | None = None, **settings: Any) -> ContinualSAC:
    return sac(method=method or VCL(), seeds=SEEDS, hidden_sizes=(32, 32), **settings)


def updated(agent: ContinualSAC, n: int = 5) -> ContinualSAC:
    """Train without environments, so that it takes no time."""
    fill(agent, task=agent.task)
    for _ in range(n):
        agent.update(agent.sample(None, randomness.REPLAY))
    return agent


def switch(agent: ContinualSAC) -> None:
    agent.task_step = 1
    agent.end_task()
    agent.start_task(agent.task + 1)


def test_the_means_start_as_the_weights_of_fine_tuning_and_parameters_double() -> None:
    agent, plain = agent_of(), sac(seeds=SEEDS, hidden_sizes=(32, 32))
    ours, theirs = weights(agent), weights(plain)
    assert all(same_bits(ours[name], tensor) for name, tensor in theirs.items())
    assert all((ours[name] == -6.0).all() for name in ours.keys() - theirs.keys())
    norm = {"actor.core.norm.weight", "actor.core.norm.bias"}
    dense = {name for name in theirs if name.startswith("actor.")} - norm
    assert {name for name in ours if name.startswith("actor.")} == (
        norm | dense | {f"{name}_rho" for name in dense}
    )


def test_without_variance_the_network_is_the_plain_one_bit_for_bit() -> None:
    agent = agent_of(VCL(initial_log_variance=-300.0))
    plain = sac(seeds=SEEDS, hidden_sizes=(32, 32), update="torch")
    for deterministic in (True, False):
        noise = np.random.default_rng(1).standard_normal((2, 4, 2)).astype(np.float32)
        expected = plain.act(OBS, deterministic, noise)
        assert np.array_equal(agent.act(OBS, deterministic, noise), expected)


def test_the_penalty_is_none_in_the_first_task_then_0_at_its_start_and_the_kl_of_the_core() -> None:
    agent = updated(agent_of(VCL(coef=3.0)))
    assert agent.method.penalty() is None
    switch(agent)
    before = weights(agent)
    penalty = agent.method.penalty()
    assert penalty is not None and penalty.tolist() == [0.0, 0.0]
    updated(agent, 20)
    after, expected = weights(agent), torch.zeros(2)
    for name in before:
        if name.startswith("actor.core") and f"{name}_rho" in before:
            pairs = [(w[name], (0.5 * w[f"{name}_rho"]).exp()) for w in (after, before)]
            expected += torch_kl(Normal(*pairs[0]), Normal(*pairs[1])).flatten(1).sum(1)
    penalty = agent.method.penalty()
    assert penalty is not None and (penalty > 0).all()
    torch.testing.assert_close(penalty, 3.0 * expected, rtol=1e-4, atol=0)


def test_with_the_kl_in_the_first_task_the_current_head_is_held_to_the_standard_normal() -> None:
    agent = agent_of(VCL(first_task_kl=True))
    total, state = {task: torch.zeros(2) for task in (0, 1)}, weights(agent)
    for name in [name for name in state if f"{name}_rho" in state]:
        q = Normal(state[name], (0.5 * state[f"{name}_rho"]).exp())
        each = torch_kl(q, Normal(0.0, 1.0))
        for task in (0, 1):
            rows = slice(4 * task, 4 * task + 4) if ".head." in name else slice(None)
            total[task] += each[:, rows].flatten(1).sum(1)
    for task in (0, 1):
        agent.task = task
        penalty = agent.method.penalty()
        assert penalty is not None
        torch.testing.assert_close(penalty, total[task], rtol=1e-5, atol=0)


def test_a_single_head_is_managed_like_the_core() -> None:
    agent = updated(agent_of(multi_head=False))
    switch(agent)
    assert "prior.head.weight_rho" in agent.method.state
    several = updated(agent_of())
    switch(several)
    assert not any("head" in key for key in several.method.state)


@pytest.mark.parametrize("reset_optimizer", [True, False])
def test_layer_norm_is_frozen_from_the_second_task_on(reset_optimizer: bool) -> None:
    agent = updated(agent_of(reset_optimizer=reset_optimizer))
    first = weights(agent)
    assert not (first["actor.core.norm.weight"] == 1).all()
    switch(agent)
    second = weights(updated(agent))
    same = {name for name in first if same_bits(first[name], second[name])}
    assert same == {"actor.core.norm.weight", "actor.core.norm.bias"}
    old = {n for n in first if ".head." in n and same_bits(first[n][:, :4], second[n][:, :4])}
    names = ("weight", "weight_rho", "bias", "bias_rho")
    assert old == {f"actor.head.{name}" for name in names}


def test_layer_norm_of_the_classifier_is_frozen_too() -> None:
    learner = Classifier(ToyStream(dim=4, examples=32), VCL(), seeds=SEEDS, reset_optimizer=False)
    learner.train_task(0, steps=5)
    before = {name: p.detach().clone() for name, p in learner.net.named_parameters()}
    learner.train_task(1, steps=5)
    after = dict(learner.net.named_parameters())
    same = {name for name in before if same_bits(before[name], after[name])}
    assert same == {"core.norm.weight", "core.norm.bias"}


def test_on_ppo_layer_norm_is_frozen_and_the_action_noise_is_ordinary() -> None:
    agent = ppo(
        method=VCL(), seeds=SEEDS, n_steps=20, activation="continual_world", reset_optimizer=False
    )
    agent.learn(60)
    agent.end_task()
    before = weights(agent)
    agent.learn(60)
    after = weights(agent)
    same = {name for name in before if same_bits(before[name], after[name])}
    assert same == {"policy.core.norm.weight", "policy.core.norm.bias"}
    assert "policy.log_std.bias" in after and "policy.log_std.bias_rho" not in after


def test_the_reported_deviation_is_that_of_the_core() -> None:
    agent = agent_of()
    for name, parameter in agent.actor.named_parameters():
        if name.endswith("_rho"):
            parameter.data[1] = 4.0 if name.startswith("head") else -2.0
    expected = torch.tensor([math.exp(-3.0), math.exp(-1.0)])
    torch.testing.assert_close(agent.method.report()["sigma"], expected)


def test_a_nan_in_one_seed_leaves_the_others() -> None:
    agents = [updated(agent_of()) for _ in range(2)]
    dict(agents[1].actor.named_parameters())["core.layers.0.weight_rho"].data[0] = float("nan")
    for agent in agents:
        switch(agent)
        updated(agent)
    first, second = (weights(agent) for agent in agents)
    assert all(same_bits(first[name][1], second[name][1]) for name in first)
    assert bool(second["actor.core.layers.1.weight"][0].isnan().all())


# Acting


def test_deterministic_actions_use_the_means_and_others_a_draw_for_each_call() -> None:
    agent = agent_of()
    noise = np.zeros((2, 4, 2), np.float32)
    mode = np.array([True, False, True, False])
    first, second = agent.act(OBS, mode, noise), agent.act(OBS, mode, noise)
    assert np.array_equal(first[:, mode], second[:, mode])
    assert (first[:, ~mode] != second[:, ~mode]).all()
    plain = sac(seeds=SEEDS, hidden_sizes=(32, 32), update="torch")  # has the same means
    assert np.array_equal(first[:, mode], plain.act(OBS[:, mode], True))


def test_the_original_draws_weights_for_deterministic_actions_too() -> None:
    agent = ContinualSAC(agent_of().get_env(), VCL(), seeds=SEEDS, parity="original")
    assert (agent.act(OBS, True) != agent.act(OBS, True)).all()


def test_acting_and_evaluating_never_change_training() -> None:
    agent = updated(agent_of())
    before = agent.streams.state()
    agent.act(OBS, False)
    agent.predict(OBS.reshape(8, 5))
    with agent.evaluating(0, 40):
        agent.act(OBS, False)
    after = agent.streams.state()
    assert {role for role in after if after[role] != before[role]} == {"evaluation"}
    agent.sample(None, randomness.REPLAY)
    method = agent.streams.state()["method"]
    agent.losses(agent.sample(None, randomness.REPLAY))
    assert agent.streams.state()["method"] != method  # training draws from this one


def test_draws_inside_an_evaluation_depend_on_its_key_and_leave_the_stream_as_it_was() -> None:
    agent = agent_of()
    before = agent.streams.state()
    actions = []
    for key in ((40, 0), (40, 0), (40, 1), (50, 0)):
        with agent.evaluating(1, *key):
            actions.append(agent.act(OBS, False))
    assert np.array_equal(actions[0], actions[1])
    assert not any(np.array_equal(actions[0], other) for other in actions[2:])
    assert agent.streams.state() == before


def test_the_classifier_is_tested_at_the_means_or_as_in_the_original_at_a_draw() -> None:
    stream = ToyStream(dim=4, examples=512)
    learners = (
        Classifier(stream, VCL(), seeds=SEEDS),
        Classifier(stream, VCL(), seeds=SEEDS, parity="original"),
    )
    for learner, different in zip(learners, (1, 3), strict=True):
        scores = {tuple(learner.accuracy(0).tolist()) for _ in range(3)}
        assert len(scores) == different


def test_a_saved_agent_acts_and_goes_on_as_before(tmp_path: Any) -> None:
    agent = updated(agent_of())
    switch(agent)
    updated(agent)
    agent.save(tmp_path / "agent")
    other = ContinualSAC.load(tmp_path / "agent", device="cpu")
    alone = agent.take(1)
    assert np.array_equal(agent.predict(OBS[:, 0])[0], other.predict(OBS[:, 0])[0])
    for each in (agent, other, alone):
        for _ in range(3):
            each.update(each.sample(None, randomness.REPLAY))
    first, second, third = weights(agent), weights(other), weights(alone)
    assert all(same_bits(first[name], second[name]) for name in first)
    assert all(same_bits(first[name][1:], third[name]) for name in first)
