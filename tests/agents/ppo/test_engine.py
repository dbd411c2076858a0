"""PPO by compiled code is PPO by autograd, for every layout, and a seed's bits are its own."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents.memory import split
from clrl.agents.native import library
from clrl.agents.networks.layers import exact_linear, keeping_hidden
from clrl.agents.ppo import ContinualPPO
from clrl.agents.ppo.policy import GaussianPolicy, log_prob
from clrl.agents.ppo.rollout import RolloutBatch
from tests.agents.paths import needs_compiled_code
from tests.agents.tiny import ACTION_DIM, OBS_DIM, differences, method, ppo, randomise, same_bits

pytestmark = needs_compiled_code

AGREEMENT = 2e-6
"""The relative norm by which two gradients may differ."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "heads": {},
    "heads, ids": {"ids": True},
    "one head": {"multi_head": False},
    "visible": {"hide_task_id": False, "multi_head": False},
    "visible, heads, ids": {"hide_task_id": False, "ids": True},
}
CHANGES: list[dict[str, Any]] = [
    {"normalize_advantage": normal, "clip_range_vf": vf, "ent_coef": entropy, "rows": rows}
    for rows, normal, vf, entropy in itertools.product(
        (1, 7, 100, 128), ("minibatch", "none"), (None, 0.3), (0.0, 0.05)
    )
]


def native(seeds: int = 2, ids: bool = False, **settings: Any) -> ContinualPPO:
    """Return an agent with random weights whose widths are no multiples of a register's."""
    settings = {"hidden_sizes": (24, 40)} | settings
    agent = ppo(seeds=range(seeds), n_tasks=3, update="native", **settings)
    randomise(agent)
    return agent


def batch_of(agent: ContinualPPO, rows: int, ids: bool = False, number: int = 0) -> RolloutBatch:
    """Return rows as a policy near the agent's would have collected them."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(agent.n_seeds, rows, *shape, generator=generator)

    generator = torch.Generator().manual_seed(number)
    obs, task = draw(OBS_DIM), torch.arange(rows).expand(agent.n_seeds, -1) * 7 % 3
    of_rows: int | Tensor = task if ids else 1
    with torch.no_grad():
        policy = agent.action_distribution(obs, of_rows)
        value = agent.values(obs, of_rows) + 0.3 * draw()
    action = policy.mean + policy.std * draw(ACTION_DIM)
    return RolloutBatch(
        obs=obs,
        action=action,
        log_prob=log_prob(policy, action) + 0.2 * draw(),
        value=value,
        advantage=draw() + 0.5,
        returns=value + 1.0 + 0.5 * draw(),
        task=of_rows,
    )


def by_autograd(agent: ContinualPPO, batch: RolloutBatch) -> dict[str, Tensor]:
    """Put the gradients of the losses into the optimizers, and return the losses."""
    losses = agent.losses(batch)
    agent.take_gradients(losses)
    return {name: loss.detach() for name, loss in losses.items()}


def into(agent: ContinualPPO) -> dict[str, Tensor]:
    """Return places for gradients that nothing has written to."""
    return {part: torch.full_like(o.grad, torch.nan) for part, o in agent.optimizers.items()}


def gradients(agent: ContinualPPO, flat: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return the gradients in the optimizers, or in other places, by name, [S, ...]."""
    flat = flat or {part: o.grad for part, o in agent.optimizers.items()}
    return {
        f"{part}.{name}": view
        for part, o in agent.optimizers.items()
        for name, view in o.parameters.views(flat[part]).items()
    }


def in_double_precision(agent: ContinualPPO, batch: RolloutBatch) -> dict[str, Tensor]:
    """Return the gradients of the losses by name, without rounding."""
    policy, value = agent.policy_net, agent.value_net
    agent.policy_net = copy.deepcopy(policy).double()
    agent.value_net = copy.deepcopy(value).double()
    values = (v.double() if torch.is_tensor(v) and v.is_floating_point() else v
              for v in vars(batch).values())  # fmt: skip
    named = {f"{part}.{name}": parameter for part, network in agent.modules().items()
             for name, parameter in network.named_parameters()}  # fmt: skip
    losses = agent.losses(RolloutBatch(*values))
    found = torch.autograd.grad(sum(losses.values()).sum(), list(named.values()))  # type: ignore[union-attr]
    agent.policy_net, agent.value_net = policy, value
    return dict(zip(named, found, strict=True))


def far_apart(
    found: dict[str, Tensor], expected: dict[str, Tensor], exact: dict[str, Tensor] | None = None
) -> list[str]:
    """Return where two gradients do not agree, and by how much.

    Where the rows' gradients add up to almost nothing, autograd's own are off by more (known from
    the exact gradients). There the first ones must agree with the exact ones, or be off by no more
    than twice as much as autograd's.
    """
    far = []
    for name, b in expected.items():
        off, size = float((found[name] - b).norm()), float(b.norm())
        if exact and not off <= AGREEMENT * size:
            error = float((b - exact[name]).norm())
            off, size = float((found[name] - exact[name]).norm()), max(size, 2 * error / AGREEMENT)
        if not off <= AGREEMENT * size:
            far.append(f"{name}: {off / max(size, 1e-30):.1e}")
    return far


def near_a_kink(
    agent: ContinualPPO, batch: RolloutBatch, first: dict[str, list[Tensor]], second: Any
) -> bool:
    """Return whether rounding decides about a side: of a ReLU, or of a clip."""
    s = agent.settings
    with torch.no_grad():
        ratio = (
            log_prob(agent.action_distribution(batch.obs, batch.task), batch.action)
            - batch.log_prob
        ).exp()
        gap = agent.values(batch.obs, batch.task) - batch.value
    edges = [(ratio - 1).abs() - s.clip_range]
    if s.clip_range_vf is not None:
        edges.append(gap.abs() - s.clip_range_vf)
    sides = any(
        bool(((a > 0) != (b > 0)).any())
        for part in first
        for a, b in zip(first[part], second[part], strict=True)
    )
    return sides or any(bool((edge.abs() < 1e-6).any()) for edge in edges)


@pytest.fixture(autouse=True)
def _no_path_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let agents that are loaded or taken choose as those do that were made here."""
    monkeypatch.delenv("CLRL_UPDATE", raising=False)


# Agreement


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ["tanh", "relu", "continual_world"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_compiled_gradients_are_those_of_autograd(seeds: int, activation: str, layout: str) -> None:
    settings = LAYOUTS[layout]
    ids = settings.get("ids", False)
    agent, skipped = native(seeds, activation=activation, **settings), 0
    first = 10 * (list(LAYOUTS).index(layout) + seeds)
    for number in range(10):
        change = dict(CHANGES[(first + number) % len(CHANGES)])
        batch = batch_of(agent, change.pop("rows"), ids, number)
        agent.settings = replace(agent.settings, **change)
        found, hidden = into(agent), dict[str, list[Tensor]]()
        losses = agent.gradients_of(batch, found, hidden)
        with keeping_hidden(agent.modules()) as expected_hidden:
            expected = by_autograd(agent, batch)
        if near_a_kink(agent, batch, hidden, expected_hidden):
            skipped += 1
        else:
            for part, loss in expected.items():
                torch.testing.assert_close(losses[part], loss, rtol=1e-5, atol=1e-5)
            exact = in_double_precision(agent, batch)
            assert far_apart(gradients(agent, found), gradients(agent), exact) == [], change
            for part, layers in expected_hidden.items():
                for a, b in zip(hidden[part], layers, strict=True):
                    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        for optimizer in agent.optimizers.values():
            optimizer.step()
    assert skipped <= 2


@pytest.mark.parametrize("ratio", [0.9, 1.2, 1.5])
@pytest.mark.parametrize("advantage", [0.0, 1.0, -1.0])
def test_a_clipped_ratio_passes_a_gradient_on_where_torchs_does(
    ratio: float, advantage: float
) -> None:
    agent = native(1, clip_range=0.2, normalize_advantage="none")
    batch = batch_of(agent, 3)
    with torch.no_grad():
        now = log_prob(agent.action_distribution(batch.obs, batch.task), batch.action)
    batch.log_prob = now - float(np.log(ratio)) + 1e-4  # not at the very bound
    batch.advantage = torch.full((1, 3), advantage)
    found = into(agent)
    agent.gradients_of(batch, found)
    by_autograd(agent, batch)
    passes = advantage != 0 and (ratio < 1.2 or advantage < 0 or ratio == 1.2)
    assert bool(agent.optimizers["policy"].grad.any()) == passes
    assert far_apart(gradients(agent, found), gradients(agent)) == []


def test_parts_that_are_not_asked_for_are_left_alone() -> None:
    agent = native()
    batch = batch_of(agent, 20)
    agent.gradients_of(batch)
    whole, only = {n: g.clone() for n, g in gradients(agent).items()}, into(agent)
    for optimizer in agent.optimizers.values():
        optimizer.grad.fill_(7.0)
    agent.gradients_of(batch, {"value": only["value"]})
    assert all(bool((o.grad == 7.0).all()) for o in agent.optimizers.values())
    views = agent.flats["value"].views(only["value"])
    assert all(same_bits(view, whole[f"value.{name}"]) for name, view in views.items())


def test_views_of_rows_are_read_as_their_copies() -> None:
    agent = native()
    whole = batch_of(agent, 50, ids=True)
    piece = split(whole, 20)[1]
    assert not piece.obs.is_contiguous()
    found = []
    for batch in (piece, piece.copy()):
        agent.gradients_of(batch)
        found.append({name: g.clone() for name, g in gradients(agent).items()})
    assert all(same_bits(found[0][name], found[1][name]) for name in found[0])


def test_predictions_have_the_gradients_of_autograd() -> None:
    agent = native(ids=True)
    for rows, ids in ((30, True), (1100, False)):
        batch = batch_of(agent, rows, ids)
        found = []
        for torchs in (False, True):
            gaussian = (
                agent.action_distribution(batch.obs, batch.task)
                if torchs
                else agent.output_distributions(batch)
            )
            loss = (gaussian.mean.square() + gaussian.std.log() * gaussian.mean).mean((1, 2))
            agent.take_gradients({"policy": loss})
            found.append({n: g.clone() for n, g in gradients(agent).items() if "policy" in n})
        assert far_apart(*found) == []


# Bits


def bits_of_updates(agent: ContinualPPO, part: slice, ids: bool) -> list[Tensor]:
    """Return all weights after three updates on the batches of some of three seeds."""
    three = native(3, ids=ids, hide_task_id=False)
    for number in range(3):
        values = vars(batch_of(three, 100, ids, number)).values()
        agent.update(RolloutBatch(*(v[part] if isinstance(v, Tensor) else v for v in values)))
    return [
        view for flat in agent.flats.values() for view in flat.views(flat.flat.clone()).values()
    ]


@pytest.mark.parametrize("ids", [False, True])
def test_bits_depend_on_neither_neighbours_nor_threads_nor_registers(
    ids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agent() -> ContinualPPO:
        return native(3, ids=ids, hide_task_id=False)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        together = bits_of_updates(agent(), slice(None), ids)
        alone = bits_of_updates(agent().take(1), slice(1, 2), ids)
        torch.set_num_threads(3)
        threads = bits_of_updates(agent(), slice(None), ids)
    finally:
        torch.set_num_threads(before)
    assert all(same_bits(a[1:2], b) for a, b in zip(together, alone, strict=True))
    assert all(same_bits(a, b) for a, b in zip(together, threads, strict=True))
    monkeypatch.setattr(library, "processor", lambda: "avx2")
    narrow = bits_of_updates(agent(), slice(None), ids)
    assert all(same_bits(a, b) for a, b in zip(together, narrow, strict=True))


@pytest.mark.parametrize("name", ["obs", "advantage", "returns", "value", "log_prob"])
def test_a_nan_stays_one_and_in_its_seed(name: str) -> None:
    agent = native(clip_range_vf=20.0)
    batch = batch_of(agent, 20)
    agent.gradients_of(batch)
    healthy = {n: g.clone() for n, g in gradients(agent).items()}
    getattr(batch, name)[0, 3] = torch.nan
    losses = agent.gradients_of(batch)
    sick = {"obs": {"policy", "value"}, "returns": {"value"}, "value": {"value"}}
    for part, loss in losses.items():
        assert bool(loss[0].isnan()) == (part in sick.get(name, {"policy"}))
        assert not bool(loss[1].isnan())
        assert bool(gradients(agent)[f"{part}.head.bias"][0].isnan().any()) == bool(loss[0].isnan())
    assert all(same_bits(gradients(agent)[n][1], g[1]) for n, g in healthy.items())


# Which path is taken


class OtherLosses(ContinualPPO):
    def values(self, features: Tensor, task: int | Tensor) -> Tensor:
        return 2.0 * super().values(features, task)


def test_what_is_not_ours_is_left_to_torch() -> None:
    agent = native()
    refusal = agent.native._refusal
    assert refusal(agent) is None
    assert "batch_size is 1025" in str(refusal(ppo(batch_size=1025)))
    assert "`values` of OtherLosses" in str(refusal(OtherLosses(agent.get_env(), seeds=(0, 1))))
    agent.policy_net.gaussian = agent.policy_net.gaussian  # type: ignore[method-assign]
    assert "`gaussian` of GaussianPolicy" in str(refusal(agent))
    assert ppo(method=method("vcl")).native.path == "torch"
    with pytest.raises(ValueError, match="update is native, but .*BayesianLinear"):
        ppo(method=method("vcl"), update="native")


def test_a_policys_patched_class_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = native()
    engine = agent.engine()
    assert engine is not None and agent.engine() is engine
    around = GaussianPolicy.around
    monkeypatch.setattr(GaussianPolicy, "around", lambda *inputs: around(*inputs))
    with pytest.warns(UserWarning, match="`around` of GaussianPolicy"):
        assert agent.engine() is None
    monkeypatch.undo()
    assert agent.engine() is not None


def test_under_exact_linear_torch_computes() -> None:
    found = []
    for update in ("native", "torch"):
        agent = ppo(update=update)
        with exact_linear():
            found.append(agent.learn(64).state_dict())
    assert differences(found[0], found[1]) == []


def loaded(agent: ContinualPPO, path: Path) -> ContinualPPO:
    agent.save(path / "agent")
    return ContinualPPO.load(path / "agent", device="cpu", env=agent.get_env())


def changed(change: Callable[[ContinualPPO], Any]) -> Callable[[ContinualPPO, Path], ContinualPPO]:
    """Return a change in place as one that returns the agent."""

    def do(agent: ContinualPPO, path: Path) -> ContinualPPO:
        change(agent)
        return agent

    return do


RENEWALS: dict[str, Callable[[ContinualPPO, Path], ContinualPPO]] = {
    "load": loaded,
    "take": lambda agent, _: agent.take(1),
    "deep copy": lambda agent, _: copy.deepcopy(agent),
    "reinitialise": changed(ContinualPPO.reinitialise),
    "reflatten": changed(lambda agent: agent.reflatten("policy")),
    "make_optimizers": changed(ContinualPPO.make_optimizers),
    "load_state_dict": changed(lambda agent: agent.load_state_dict(native().state_dict())),
}


@pytest.mark.parametrize("name", RENEWALS)
def test_after_a_renewal_the_new_parameters_are_trained(name: str, tmp_path: Path) -> None:
    before = native()
    before.update(batch_of(before, 20))
    before.acting_task = 0
    agent = RENEWALS[name](before, tmp_path)
    randomise(agent)
    batch, found = batch_of(agent, 20), into(agent)
    assert agent.native.path == "native" and agent.engine(batch) is not None
    agent.gradients_of(batch, found)
    by_autograd(agent, batch)
    exact = in_double_precision(agent, batch)
    assert far_apart(gradients(agent, found), gradients(agent), exact) == []
    expected = {part: o.grad.clone() for part, o in agent.optimizers.items()}
    agent.gradients_of(batch)
    for part, optimizer in agent.optimizers.items():
        torch.testing.assert_close(optimizer.grad, expected[part], rtol=1e-4, atol=1e-6)
