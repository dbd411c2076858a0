"""What an engine notices before it uses an address."""

import functools
from typing import Any

import pytest
import torch

from clrl.agents.native.watched import Watched, home_of, misplaced, not_ours
from clrl.agents.networks.layers import SeedLayerNorm, SeedLinear, exact_linear, keeping_hidden
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.policy import LogAlpha
from tests.agents.native.agents import with_engine
from tests.agents.paths import (
    agree,
    found,
    found_by_both,
    needs_compiled_code,
    on_torch,
    random_batch,
    same_found,
)
from tests.agents.tiny import sac, same_bits

pytestmark = [
    needs_compiled_code,
    pytest.mark.filterwarnings("ignore:this update is computed by torch"),
]


def losses_on_the_object(agent: ContinualSAC) -> None:
    agent.losses = lambda batch: {  # type: ignore[method-assign]
        part: 2 * loss for part, loss in ContinualSAC.losses(agent, batch).items()
    }


CLASS_PATCHES = [
    (ContinualSAC, "losses"), (ContinualSAC, "_q"), (ContinualSAC, "_soft_target"),
    (ContinualSAC, "with_task"), (SeedLinear, "forward"), (SeedLayerNorm, "forward"),
    (LogAlpha, "of"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CLASS_PATCHES)
def test_a_patched_class_is_left_to_torch_until_it_is_as_before(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = with_engine()
    batch = random_batch(agent, 16)
    before = found(agent, batch)
    original = getattr(kind, name)

    @functools.wraps(original)  # it looks like the original, down to its module
    def doubled(*inputs: Any, **named: Any) -> Any:
        result = original(*inputs, **named)
        if isinstance(result, dict):
            return {part: 2 * loss for part, loss in result.items()}
        return 2 * result

    monkeypatch.setattr(kind, name, doubled)
    assert agent.engine(batch) is None
    now = found(agent, batch)
    with on_torch(agent):
        assert same_found(now, found(agent, batch))
    assert not all(same_bits(before[1][name], now[1][name]) for name in now[1])
    fresh = sac(n_tasks=3)
    assert (fresh.native.path, "not the library's own" in fresh.native.reason) == ("torch", True)
    monkeypatch.undo()
    assert same_found(before, found(agent, batch)) and agree(agent, batch)


def test_an_open_tape_is_written_and_the_answer_is_torchs() -> None:
    agent = with_engine()
    batch = random_batch(agent, 16)
    for layer in (agent.actor.core.layers[0], agent.critic.head):
        layer.tape = []  # type: ignore[assignment]
        assert agent.engine(batch) is None
        agent.gradients_of(batch)
        assert layer.tape
        layer.tape = None  # type: ignore[assignment]
    with agent.recording() as layers:
        agent.gradients_of(batch)
    assert layers and agree(agent, batch)


def test_activations_that_are_to_be_kept_are_kept() -> None:
    agent = with_engine()
    with keeping_hidden(agent.modules()) as passes:
        agent.gradients_of(random_batch(agent, 16))
        assert [len(passes[part]) for part in ("actor", "critic", "target")] == [2, 2, 0]


def test_a_replaced_method_of_an_object_counts_only_while_it_is_there() -> None:
    agent = with_engine()
    batch = random_batch(agent, 16)
    losses_on_the_object(agent)
    assert agent.engine(batch) is None
    del agent.losses
    assert agree(agent, batch)


def test_an_engine_is_kept_as_long_as_nothing_changes() -> None:
    agent = with_engine()
    engine = agent.native.engine(agent)
    for n in (1, 40, 3):
        agent.update(random_batch(agent, n))
    with exact_linear():
        assert agent.engine() is None
    agent.reset_optimizers()
    agent.target_entropy = -3.0
    assert agent.engine() is engine and isinstance(engine._watched, Watched)


def test_gradients_that_were_put_elsewhere_are_not_written_to_where_they_were() -> None:
    agent = with_engine()
    optimizer = agent.optimizers["actor"]
    old = optimizer.grad
    optimizer.grad = torch.zeros(3)
    assert misplaced(agent) == "values or gradients of actor are not contiguous float32 on the CPU"
    old.fill_(5.0)
    assert agent.engine(random_batch(agent, 16)) is None
    optimizer.grad = torch.zeros_like(old)
    assert misplaced(agent) == "the optimizer of actor trains other parameters"
    assert (old == 5.0).all()


def test_a_learner_as_it_was_made_is_in_its_place() -> None:
    agent = with_engine(popart=True)
    assert misplaced(agent) is None
    assert not_ours(agent, ("losses", "_soft_target"), ("clrl.agents.sac.sac",)) is None
    assert not_ours(agent, ("with_task",), ("clrl.agents.sac.sac",)) is not None


def test_a_function_was_written_where_its_globals_are() -> None:
    here = __name__

    @torch.no_grad()
    def plain() -> None: ...

    @functools.wraps(ContinualSAC.losses)
    def disguised() -> None: ...

    assert disguised.__module__ == "clrl.agents.sac.sac"
    assert (home_of(plain), home_of(disguised)) == (here, here)
    assert home_of(ContinualSAC._soft_target) == home_of(ContinualSAC.losses) != here
    assert home_of(print) == ""


def test_both_paths_are_compared_on_the_same_weights() -> None:
    agent = with_engine()
    native, torchs = found_by_both(agent, random_batch(agent, 16))
    assert not same_found(native, torchs)  # else the tests above would compare one path with itself
