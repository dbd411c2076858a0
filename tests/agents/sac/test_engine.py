"""SAC's compiled losses, gradients and actions are those of autograd."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents.methods import METHODS
from clrl.agents.randomness import REPLAY
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.replay import Batch
from tests.agents.paths import (
    Compared,
    agree,
    found,
    found_by_both,
    native_sac,
    needs_compiled_code,
    of_spaces,
    on_torch,
    random_batch,
    same_found,
)
from tests.agents.tiny import after_a_task, fill, method, randomise, sac, same_bits

pytestmark = needs_compiled_code

LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one head": {"multi_head": False},
    "visible": {"hide_task_id": False},
    "one visible head": {"multi_head": False, "hide_task_id": False},
    "popart": {"popart": True},
    "popart, one head": {"popart": True, "multi_head": False},
    "no layer norm": {"layer_norm": False},
    "odd widths": {"hidden_sizes": (40, 33, 7)},
    "a layer": {"hidden_sizes": (24,)},
    "eight layers": {"hidden_sizes": (16, 9, 16, 24, 16, 5, 16, 16)},
}


def compare_updates(agent: ContinualSAC, batch: Callable[[int], Batch], n: int = 10) -> Compared:
    """Take updates on torch's path, and compare both in each."""
    compared = Compared(agent)
    for number in range(n):
        with on_torch(agent):
            drawn = batch(number)
        agent.update(drawn)
    assert compared.unsure <= 0.3 * n
    return compared


# Losses and gradients


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_and_gradients_are_those_of_autograd(layout: str) -> None:
    agent = native_sac(seeds=2, **LAYOUTS[layout])
    agreed = [
        agree(agent, agent.prepare(random_batch(agent, n, per_row, n)))
        for n, per_row in ((1, False), (7, True), (16, False), (33, True))
    ]
    assert sum(agreed) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("rows", [1, 7, 100, 128, 1024])
@pytest.mark.parametrize("per_row", [False, True])
def test_they_are_for_every_layout(layout: str, seeds: int, rows: int, per_row: bool) -> None:
    agent = native_sac(seeds, **LAYOUTS[layout])
    compared = Compared(agent)
    for number in range(10):
        agent.update(random_batch(agent, rows, per_row, number))
    assert compared.agreed >= (5 if 1 < rows < 1024 else 1)


@pytest.mark.parametrize("name", ["finetuning", "packnet", "agem", "cloning", "multitask-popart"])
def test_they_are_for_methods(name: str) -> None:
    test_they_are_for_every_method(name, 2, updates=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METHODS if name != "vcl"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_they_are_for_every_method(name: str, seeds: int, updates: int = 10) -> None:
    own = method(name)
    agent = sac(method=own, seeds=tuple(range(seeds)), n_tasks=3, update="native")
    randomise(agent, 0.1)
    fill(agent)
    agent.start_task(0)
    if not agent.interleaved:
        agent.end_task()
        agent.start_task(1)
    fill(agent, task=1)
    compared = compare_updates(agent, lambda number: agent.sample(None, REPLAY), updates)
    assert compared.agreed >= 0.7 * updates


@pytest.mark.slow
def test_they_are_at_the_published_size() -> None:
    sizes = {"hidden_sizes": (256,) * 4, "batch_size": 128}
    agent = of_spaces(39, 4, 10, **sizes)
    compared = Compared(agent)
    for number in range(3):
        agent.update(random_batch(agent, 128, seed=number))
    assert compared.agreed + compared.unsure == 3


@pytest.mark.parametrize(("numbers", "actions", "n_tasks"), [(1, 1, 1), (70, 32, 2), (5, 9, 40)])
def test_they_are_for_other_spaces(numbers: int, actions: int, n_tasks: int) -> None:
    agent = of_spaces(numbers, actions, n_tasks, hide_task_id=False)
    assert agree(agent, random_batch(agent, 16, per_row=True))


def test_the_deviation_has_no_gradient_where_it_is_clamped() -> None:
    agent = native_sac()
    agent.actor.head.bias.data[:, :2] += 0.3
    agent.actor.head.bias.data[:, 2] = -25.0
    agent.actor.head.bias.data[:, 3] = 4.0
    batch = random_batch(agent, 16)
    assert agree(agent, replace(batch, task=0))


@pytest.mark.parametrize("mean", [9.5, 20.0, -1e6])
def test_a_saturated_policy_gets_nothing_from_the_critics(mean: float) -> None:
    agent = native_sac()
    with torch.no_grad():
        agent.actor.head.weight.zero_()
        agent.actor.head.bias[:, :2] = mean
    agent.flats["alpha"].flat.fill_(-20.0)  # all else is small
    assert agree(agent, replace(random_batch(agent, 16), task=0))


def test_heads_that_no_row_uses_get_zeros() -> None:
    agent = native_sac()
    _, gradients, _ = found(agent, random_batch(agent, 16))  # of task 1
    weight = gradients["critic.head.weight"]
    assert weight[:, :, 1].any() and not weight[:, :, [0, 2]].any()


def test_equal_critics_share_the_actors_gradient() -> None:
    agent = native_sac()
    for parameter in agent.critic.parameters():
        parameter.data[:, 1] = parameter.data[:, 0]
    assert agree(agent, random_batch(agent, 16))


def test_a_given_target_is_what_the_critics_are_to_predict() -> None:
    agent = native_sac()
    batch = random_batch(agent, 16, per_row=True)
    given = replace(batch, target=torch.arange(32.0).view(16, 2).t())  # not contiguous
    assert agree(agent, given)
    first = found(agent, given)[0]["critic"]
    assert not torch.equal(first, found(agent, batch)[0]["critic"])
    assert same_found(found(agent, batch), found(agent, batch))  # nothing of it is left


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("multi_head", [False, True])
def test_poparts_target_is_torchs(per_row: bool, multi_head: bool) -> None:
    agent = native_sac(popart=True, multi_head=multi_head)
    agent.popart.mean.copy_(torch.linspace(-3, 3, agent.popart.mean.numel()).view(2, -1))
    agent.popart.variance.copy_(torch.linspace(1, 9, agent.popart.mean.numel()).view(2, -1))
    batch = random_batch(agent, 33, per_row)
    engine = agent.engine(batch)
    torch.testing.assert_close(
        engine.targets(agent, batch), agent._soft_target(batch), rtol=2e-6, atol=1e-5
    )
    assert agree(agent, batch)  # without `prepare`: units as they are


# Strides


def test_a_batch_may_be_views_of_packed_rows() -> None:
    agent = native_sac()
    batch = random_batch(agent, 16, per_row=True)
    parts = [
        batch.obs,
        batch.next_obs,
        batch.action,
        batch.reward[..., None],
        batch.done[..., None],
    ]
    packed, ids = torch.cat(parts, -1), torch.as_tensor(batch.task)
    views = packed.split([part.shape[2] for part in parts], -1)
    strided = replace(
        batch, obs=views[0], next_obs=views[1], action=views[2],
        reward=views[3].squeeze(-1), done=views[4].squeeze(-1),
        task=ids.t().contiguous().t(),
    )  # fmt: skip
    assert same_found(found(agent, batch), found(agent, strided))


def test_a_batch_may_be_one_row_again_and_again() -> None:
    agent = native_sac()
    one = random_batch(agent, 1, per_row=True)
    names = ("obs", "action", "reward", "next_obs", "done", "task", "noise", "next_noise")
    again = replace(
        one, **{n: getattr(one, n).expand(2, 8, *getattr(one, n).shape[2:]) for n in names}
    )
    whole = replace(again, **{n: getattr(again, n).contiguous() for n in names})
    assert same_found(found(agent, again), found(agent, whole))
    assert agree(agent, again)


# Not a number


@pytest.mark.parametrize("name", ["obs", "action", "reward", "next_obs", "noise", "next_noise"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_in_a_seed_leaves_the_others_their_bits(name: str, value: float) -> None:
    agent = native_sac(seeds=3)
    batch = random_batch(agent, 16)
    good = found(agent, batch)
    tensor = getattr(batch, name).clone()
    tensor[1, 3] = value
    bad = found(agent, replace(batch, **{name: tensor}))
    for before, after in zip(good[:2], bad[:2], strict=True):
        for key in before:
            assert same_bits(before[key][[0, 2]], after[key][[0, 2]]), key
    if name != "action" or value != value:  # the actor's own loss knows no actions
        assert not all(bool(torch.isfinite(loss[1])) for loss in bad[0].values())


@pytest.mark.parametrize("critic", [0, 1])
@pytest.mark.parametrize("part", ["critic", "target"])
def test_a_critic_that_says_nan_is_not_lost_beside_one_that_does_not(
    part: str, critic: int
) -> None:
    agent = native_sac()
    network = agent.critic if part == "critic" else agent.target_critic
    network.head.bias.data[0, critic] = float("nan")
    native, torchs = found_by_both(agent, random_batch(agent, 16))
    for key in ("actor", "critic", "alpha"):
        assert native[0][key].isnan().tolist() == torchs[0][key].isnan().tolist()
    for key in native[1]:
        assert native[1][key][0].isnan().any() == torchs[1][key][0].isnan().any(), key
        assert not native[1][key][1].isnan().any()


# Acting


def acted(agent: ContinualSAC, rows: int, task: Any, drawn: bool = False) -> np.ndarray:
    rng = np.random.default_rng(rows)
    shape = (agent.n_seeds, rows)
    features = rng.normal(size=(*shape, agent.spaces.feature_dim)).astype(np.float32)
    noise = rng.normal(size=(*shape, agent.spaces.action_dim)).astype(np.float32)
    return agent.act_on_features(features, task, noise * drawn)


@pytest.mark.parametrize("layout", ["plain", "one visible head", "odd widths", "no layer norm"])
@pytest.mark.parametrize("drawn", [False, True])
def test_actions_are_torchs(layout: str, drawn: bool) -> None:
    agent = native_sac(seeds=3, **LAYOUTS[layout])
    ids = torch.tensor([[0], [2], [1]])
    for rows, task in ((1, 2), (2, 0), (1, ids), (3, ids.expand(3, 3)), (33, ids.expand(3, 33))):
        native = acted(agent, rows, task, drawn)
        with on_torch(agent):
            np.testing.assert_allclose(native, acted(agent, rows, task, drawn), rtol=0, atol=1e-6)


def test_an_action_has_the_same_bits_among_any_number_of_rows_and_seeds() -> None:
    agent = native_sac(seeds=3)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 2100, 3)).astype(np.float32)
    noise = np.zeros((3, 2100, 2), np.float32)
    ids = torch.from_numpy(rng.integers(0, 3, (3, 2100)))
    whole = agent.act_on_features(features, ids, noise)
    for some in (slice(0, 1), slice(5, 7), slice(9, 12), slice(1000, 1100), slice(1020, 2060)):
        part = agent.act_on_features(features[:, some], ids[:, some], noise[:, some])
        assert part.tobytes() == whole[:, some].tobytes()
    alone = agent.take(1).act_on_features(features[1:2], ids[1:2], noise[1:2])
    assert alone.tobytes() == whole[1:2].tobytes()


def test_acting_refuses_what_it_cannot_read() -> None:
    agent = native_sac()
    noise = np.zeros((2, 4, 2), np.float32)
    for shape in ((2, 4, 2), (2, 4, 4), (1, 4, 3), (3, 4, 3)):
        with pytest.raises(ValueError, match="features are"):
            agent.act_on_features(np.zeros(shape, np.float32), 0, noise)
    features = np.zeros((2, 4, 3), np.float32)
    for task in (3, -1, torch.full((2, 4), 3), torch.zeros(2, 4, dtype=torch.int32)):
        with pytest.raises(ValueError, match="allowed are 0 to 2"):
            agent.act_on_features(features, task, noise)
    with pytest.raises((ValueError, RuntimeError)):
        agent.act_on_features(features, torch.zeros(2, 3, dtype=torch.int64), noise)
    assert agent.act_on_features(features[:, :0], 0, noise[:, :0]).shape == (2, 0, 2)


def test_a_policy_of_saved_weights_acts_as_it_did() -> None:
    agent, fresh = (
        after_a_task(method("packnet")),
        sac(seeds=(0, 1), method=method("packnet"), n_tasks=3),
    )
    fresh.act_on_features(np.zeros((2, 1, 3), np.float32), 0, np.zeros((2, 1, 2), np.float32))
    fresh.load_policy_state(agent.policy_state())
    assert acted(agent, 4, 1).tobytes() == acted(fresh, 4, 1).tobytes()
