"""SAC's compiled losses and gradients: those of autograd, for everything that can be asked."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from clrl.agents.methods import METHODS
from clrl.agents.networks.layers import exact_linear
from clrl.agents.randomness import REPLAY
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.replay import Batch
from clrl.agents.spaces import TaskSpaces
from tests.agents.paths import (
    Compared,
    agree,
    found,
    found_by_both,
    needs_compiled_code,
    on_torch,
    random_batch,
    same_found,
)
from tests.agents.tiny import (
    SETTINGS,
    after_a_task,
    fill,
    method,
    randomise,
    sac,
    same_bits,
)

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
TOO_MANY = 1025


def make(seeds: int = 2, n_tasks: int = 3, **settings: Any) -> ContinualSAC:
    agent = sac(seeds=tuple(range(seeds)), n_tasks=n_tasks, update="native", **settings)
    randomise(agent, 0.1)
    return agent


def of_spaces(numbers: int, actions: int, n_tasks: int, **settings: Any) -> ContinualSAC:
    one_hot = n_tasks if n_tasks > 1 else 0
    observation = Box(-np.inf, np.inf, (numbers + one_hot,), np.float32)
    spaces = TaskSpaces(observation, Box(-1, 1, (actions,), np.float32), n_tasks)
    agent = ContinualSAC(None, seeds=(0, 1), spaces=spaces, **(SETTINGS | settings))
    randomise(agent, 0.1)
    return agent


def compare_updates(agent: ContinualSAC, batch: Callable[[int], Batch], n: int = 10) -> Compared:
    """Take updates on torch's path, and compare both in each."""
    compared = Compared(agent)
    for number in range(n):
        with on_torch(agent):
            drawn = batch(number)
        agent.update(drawn)
    assert compared.unsure <= 3
    return compared


# Losses and gradients


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_and_gradients_are_those_of_autograd(layout: str) -> None:
    agent = make(seeds=2, **LAYOUTS[layout])
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
    agent = make(seeds, **LAYOUTS[layout])
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
    assert compared.agreed + compared.unsure >= updates


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
    agent = make()
    agent.actor.head.bias.data[:, :2] += 0.3
    agent.actor.head.bias.data[:, 2] = -25.0
    agent.actor.head.bias.data[:, 3] = 4.0
    batch = random_batch(agent, 16)
    assert agree(agent, replace(batch, task=0))


def test_heads_that_no_row_uses_get_zeros() -> None:
    agent = make()
    _, gradients, _ = found(agent, random_batch(agent, 16))  # of task 1
    weight = gradients["critic.head.weight"]
    assert weight[:, :, 1].any() and not weight[:, :, [0, 2]].any()


def test_equal_critics_share_the_actors_gradient() -> None:
    agent = make()
    for parameter in agent.critic.parameters():
        parameter.data[:, 1] = parameter.data[:, 0]
    assert agree(agent, random_batch(agent, 16))


def test_a_given_target_is_what_the_critics_are_to_predict() -> None:
    agent = make()
    batch = random_batch(agent, 16, per_row=True)
    given = replace(batch, target=torch.arange(32.0).view(16, 2).t())  # not contiguous
    assert agree(agent, given)
    first = found(agent, given)[0]["critic"]
    assert not torch.equal(first, found(agent, batch)[0]["critic"])
    assert same_found(found(agent, batch), found(agent, batch))  # nothing of it is left


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("multi_head", [False, True])
def test_poparts_target_is_torchs(per_row: bool, multi_head: bool) -> None:
    agent = make(popart=True, multi_head=multi_head)
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
    agent = make()
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
    agent = make()
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
    agent = make(seeds=3)
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
    agent = make()
    network = agent.critic if part == "critic" else agent.target_critic
    network.head.bias.data[0, critic] = float("nan")
    native, torchs = found_by_both(agent, random_batch(agent, 16))
    for key in ("actor", "critic", "alpha"):
        assert native[0][key].isnan().tolist() == torchs[0][key].isnan().tolist()
    for key in native[1]:
        assert native[1][key][0].isnan().any() == torchs[1][key][0].isnan().any(), key
        assert not native[1][key][1].isnan().any()


# Hidden activations, and gradients that go elsewhere


def test_hidden_activations_are_torchs_own() -> None:
    agent = make(hidden_sizes=(40, 33, 7))
    for n in (1, 16):
        native, torchs = found_by_both(agent, random_batch(agent, n, per_row=True))
        assert list(native[2]) == list(torchs[2]) == ["actor", "critic"]
        for part, lead in (("actor", (2,)), ("critic", (2, 2))):
            shapes = [tuple(h.shape) for h in native[2][part]]
            assert shapes == [(*lead, n, units) for units in (40, 33, 7)]
            for mine, other in zip(native[2][part], torchs[2][part], strict=True):
                torch.testing.assert_close(mine, other, rtol=1e-5, atol=2e-6)


def test_asking_for_hidden_activations_or_another_place_changes_no_bit() -> None:
    agent = make()
    batch = random_batch(agent, 16, per_row=True)
    losses = agent.gradients_of(batch)
    grads = {part: o.grad.clone() for part, o in agent.optimizers.items()}
    hidden: dict[str, list[Tensor]] = {}
    into = {part: torch.full_like(grad, 5.0) for part, grad in grads.items()}
    for optimizer in agent.optimizers.values():
        optimizer.grad.fill_(3.0)
    for asked in ({}, {"into": into}, {"hidden": hidden}, {"into": into, "hidden": hidden}):
        again = agent.gradients_of(batch, **asked)
        assert all(same_bits(losses[part], again[part]) for part in losses)
    for part, flat in agent.flats.items():
        if part in into:
            views = flat.views(into[part]), flat.views(grads[part])
            assert all(same_bits(views[0][name], views[1][name]) for name in views[0])
    assert agent.native.path == "native"


def test_into_leaves_the_optimizers_gradients_and_may_name_some_parts() -> None:
    agent = make()
    batch = random_batch(agent, 16)
    whole = found(agent, batch)
    for optimizer in agent.optimizers.values():
        optimizer.grad.fill_(3.0)
    for names in ((), ("actor",), ("alpha", "critic")):
        into = {part: torch.full_like(agent.optimizers[part].grad, 5.0) for part in names}
        losses = agent.gradients_of(batch, into)
        assert all(same_bits(losses[part], whole[0][part]) for part in losses)
        for part, flat in into.items():
            for name, view in agent.flats[part].views(flat).items():
                assert same_bits(view, whole[1][f"{part}.{name}"])
            size = sum(shape.numel() for _, shape in agent.flats[part].slots.values())
            assert (flat[size:] == 5.0).all()  # nothing beyond the last parameter
    assert all((o.grad == 3.0).all() for o in agent.optimizers.values())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda grad: grad[:-1],
        lambda grad: torch.zeros(3),
        lambda grad: grad.double(),
        lambda grad: torch.zeros(2 * len(grad))[::2],
        lambda grad: torch.zeros(len(grad), requires_grad=True),
    ],
)
def test_gradients_are_never_put_where_they_do_not_fit(wrong: Callable[[Tensor], Tensor]) -> None:
    agent = make()
    batch = random_batch(agent, 16)
    with pytest.raises(ValueError, match=r"into\['critic'\] is not like the gradients"):
        agent.gradients_of(batch, {"critic": wrong(agent.optimizers["critic"].grad)})
    with pytest.raises(ValueError, match=r"into\['target'\].*actor, critic, alpha"):
        agent.gradients_of(batch, {"target": torch.zeros(10)})
    given = replace(batch, target=torch.zeros(2, 16))
    with pytest.raises(ValueError, match="into"):
        agent.gradients_of(given, {"critic": torch.zeros(3)})
    assert agree(agent, batch)  # the target of the call that failed is not used again


# Batches that it does not read


def narrower(tensor: Tensor) -> Tensor:
    return tensor[..., :-1]


WRONG: dict[str, Callable[[Batch], dict[str, Any]]] = {
    "too many rows": lambda b: {},  # made below
    "no rows": lambda b: {n: getattr(b, n)[:, :0] for n in ("obs", "action", "reward", "next_obs",
                                                            "done", "noise", "next_noise")},
    "narrow obs": lambda b: {"obs": narrower(b.obs)},
    "narrow next_obs": lambda b: {"next_obs": narrower(b.next_obs)},
    "narrow action": lambda b: {"action": narrower(b.action)},
    "narrow noise": lambda b: {"noise": narrower(b.noise)},
    "fewer obs": lambda b: {"obs": b.obs[:, 1:]},
    "fewer rewards": lambda b: {"reward": b.reward[:, 1:]},
    "rewards of a seed": lambda b: {"reward": b.reward[:1]},
    "fewer seeds": lambda b: {n: getattr(b, n)[:1] for n in ("obs", "action", "reward", "next_obs",
                                                             "done", "noise", "next_noise")},
    "done is bytes": lambda b: {"done": b.done.to(torch.uint8)},
    "obs is double": lambda b: {"obs": b.obs.double()},
    "obs by columns": lambda b: {"obs": b.obs.transpose(1, 2).contiguous().transpose(1, 2)},
    "obs with a graph": lambda b: {"obs": b.obs.clone().requires_grad_()},
    "narrow target": lambda b: {"target": b.reward[:, :1]},
    "double target": lambda b: {"target": b.reward.double()},
    "flat reward": lambda b: {"reward": b.reward.flatten()},
    "task too large": lambda b: {"task": 3},
    "task below 0": lambda b: {"task": -1},
    "ids too large": lambda b: {"task": torch.full((2, 16), 3)},
    "ids below 0": lambda b: {"task": torch.full((2, 16), -1)},
    "one id too large": lambda b: {"task": torch.arange(32).view(2, 16) // 10},
    "ids far away": lambda b: {"task": torch.full((2, 16), 2**40)},
    "short ids": lambda b: {"task": torch.ones(2, 16, dtype=torch.int32)},
    "byte ids": lambda b: {"task": torch.ones(2, 16, dtype=torch.uint8)},
    "ids of a column": lambda b: {"task": torch.ones(2, 1, dtype=torch.int64)},
    "ids of a seed": lambda b: {"task": torch.ones(1, 16, dtype=torch.int64)},
    "flat ids": lambda b: {"task": torch.ones(32, dtype=torch.int64)},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("wrong", WRONG)
def test_a_batch_that_compiled_code_would_misread_is_torchs(wrong: str) -> None:
    agent = make()
    batch = random_batch(agent, TOO_MANY if wrong == "too many rows" else 16)
    batch = replace(batch, **WRONG[wrong](batch))
    assert agent.engine(batch) is None
    results: list[Any] = []
    for path in ("native", "torch"):
        agent.native.path = path
        try:
            results.append(found(agent, batch))
        except (RuntimeError, IndexError, TypeError) as error:
            results.append(str(error))
    if isinstance(results[0], tuple):
        assert same_found(*results)
    else:
        assert results[0] == results[1]


def test_a_batch_that_is_torchs_is_warned_of_once() -> None:
    agent = make()
    batch = random_batch(agent, TOO_MANY)
    with pytest.warns(UserWarning, match="computed by torch: a batch has more rows"):
        agent.gradients_of(batch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.gradients_of(batch)
    assert agree(agent, random_batch(agent, 16))  # and the next one is compiled again


def test_tasks_do_not_matter_where_there_is_one_for_all() -> None:
    agent = of_spaces(3, 2, 1)
    batch = random_batch(agent, 16)
    for task in (7, -1, torch.full((2, 16), 9)):
        assert agree(agent, replace(batch, task=task))


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
    agent = make(seeds=1)
    batch = random_batch(agent, 16)
    native = found(agent, batch)
    with exact_linear():
        assert agent.engine(batch) is None
        exact = found(agent, batch)
    with on_torch(agent), exact_linear():
        assert same_found(exact, found(agent, batch))
    assert same_found(native, found(agent, batch))


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
    agent = make(seeds=3, **LAYOUTS[layout])
    ids = torch.tensor([[0], [2], [1]])
    for rows, task in ((1, 2), (2, 0), (1, ids), (3, ids.expand(3, 3)), (33, ids.expand(3, 33))):
        native = acted(agent, rows, task, drawn)
        with on_torch(agent):
            np.testing.assert_allclose(native, acted(agent, rows, task, drawn), rtol=0, atol=1e-6)


def test_an_action_has_the_same_bits_among_any_number_of_rows_and_seeds() -> None:
    agent = make(seeds=3)
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
    agent = make()
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
