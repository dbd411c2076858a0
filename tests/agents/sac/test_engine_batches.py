"""What compiled code gives beside losses, where it puts it, and batches that it leaves to torch."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.sac.replay import Batch
from tests.agents.paths import (
    agree,
    found,
    found_by_both,
    native_sac,
    needs_compiled_code,
    of_spaces,
    random_batch,
    same_found,
)
from tests.agents.tiny import same_bits

pytestmark = needs_compiled_code

TOO_MANY = 1025


# Hidden activations, and gradients that go elsewhere


def test_hidden_activations_are_torchs_own() -> None:
    agent = native_sac(hidden_sizes=(40, 33, 7))
    for n in (1, 16):
        native, torchs = found_by_both(agent, random_batch(agent, n, per_row=True))
        assert list(native[2]) == list(torchs[2]) == ["actor", "critic"]
        for part, lead in (("actor", (2,)), ("critic", (2, 2))):
            shapes = [tuple(h.shape) for h in native[2][part]]
            assert shapes == [(*lead, n, units) for units in (40, 33, 7)]
            for mine, other in zip(native[2][part], torchs[2][part], strict=True):
                torch.testing.assert_close(mine, other, rtol=1e-5, atol=2e-6)


def test_asking_for_hidden_activations_or_another_place_changes_no_bit() -> None:
    agent = native_sac()
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
    agent = native_sac()
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
    agent = native_sac()
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
    agent = native_sac()
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
    agent = native_sac()
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
