"""What every method must hold, with every learner."""

import ast
import functools
import inspect
import textwrap
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.agents.methods import METHODS, Method
from clrl.agents.sac.settings import SACSettings
from clrl.envs.streams import ToyStream
from tests.agents.tiny import finite_seeds, method, ppo, sac, same_bits

SEEDS = (7, 1)
AGENTS = {"sac": sac, "ppo": ppo}
LEARNERS = (*AGENTS, "classifier")
every_method = pytest.mark.parametrize("name", sorted(METHODS))
every_learner = pytest.mark.parametrize("kind", LEARNERS)
CASES = [
    (k, name) for name in sorted(METHODS) for k in LEARNERS if k not in METHODS[name].refusals()
]
every_case = pytest.mark.parametrize("kind, name", CASES)


def make(kind: str, name: str, seeds: tuple[int, ...] = SEEDS, given: Method | None = None) -> Any:
    chosen = given or method(name)
    if kind in AGENTS:
        return AGENTS[kind](method=chosen, seeds=seeds, hidden_sizes=(32, 32))
    stream = ToyStream(n_tasks=2, dim=5, examples=64)
    return Classifier(stream, chosen, seeds=seeds, batch_size=16, hidden_sizes=(32, 32))


def train(learner: Any) -> dict[str, Tensor]:
    """Train on both tasks to the end, hooks included, and return a snapshot."""
    for task in (0, 1):
        if isinstance(learner, Classifier):
            learner.train_task(task, steps=40)
        else:
            learner.learn(60)
            learner.end_task()
    return snapshot(learner)


@functools.cache
def trained(kind: str, name: str) -> tuple[Any, dict[str, Tensor]]:
    """Return a trained learner, to be looked at only, and what it was after training."""
    learner = make(kind, name)
    return learner, train(learner)


def snapshot(learner: Learner) -> dict[str, Tensor]:
    """Return copies of weights, optimizers, method state and buffer: {name: [S, ...]}."""
    state = {f"method.{name}": tensor for name, tensor in learner.method.state.items()}
    for part, flat in learner.flats.items():
        state |= {f"{part}.{name}": view for name, view in flat.views(flat.flat).items()}
    for part, optimizer in learner.optimizers.items():
        state |= {f"{part}.{name}": tensor for name, tensor in optimizer.tensors().items()}
    if isinstance(learner, Agent):
        state |= {f"buffer.{name}": tensor for name, tensor in learner.data_state().items()}
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def unequal(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    names = a.keys() & b.keys()
    return sorted(a.keys() ^ b.keys()) + [n for n in names if not same_bits(a[n], b[n])]


@every_case
def test_a_seed_alone_is_the_seed_beside_others_through_a_switch(kind: str, name: str) -> None:
    both, state = trained(kind, name)
    assert all(tensor.shape[0] == 2 for tensor in state.values())
    assert all(bool(torch.isfinite(t).all()) for t in state.values())
    assert all(values.shape == (2,) for values in both.method.report().values())
    assert all(finite_seeds(both))
    alone = train(make(kind, name, SEEDS[1:]))
    assert unequal({key: tensor[1:] for key, tensor in state.items()}, alone) == []


@pytest.mark.parametrize("name", ["ewc", "packnet", "agem", "cloning", "multitask"])
def test_by_torch_too_a_seed_alone_is_the_seed_beside_others(name: str) -> None:
    both, alone = (
        sac(method=method(name), seeds=seeds, hidden_sizes=(32, 32), update="torch")
        for seeds in (SEEDS, SEEDS[1:])
    )
    state = {key: tensor[1:] for key, tensor in train(both).items()}
    assert both.native.path == alone.native.path == "torch"
    assert unequal(state, train(alone)) == [] and all(finite_seeds(both))


@every_case
def test_evaluating_leaves_the_weights_as_they_were(kind: str, name: str) -> None:
    learner, before = trained(kind, name)
    for task in (0, 1):
        with learner.method.evaluating(task):
            pass
        with pytest.raises(RuntimeError, match="in the middle"), learner.method.evaluating(task):
            raise RuntimeError("in the middle of an evaluation")
    assert unequal(before, snapshot(learner)) == []


@every_learner
@pytest.mark.parametrize("name", ["l2", "ewc", "online-ewc", "mas", "si", "cloning"])
def test_a_coefficient_of_zero_is_fine_tuning_bit_for_bit(kind: str, name: str) -> None:
    zero = method(name)
    zero.coef = 0.0  # type: ignore[attr-defined]
    found, (_, plain) = train(make(kind, name, given=zero)), trained(kind, "finetuning")
    state = {key: tensor for key, tensor in found.items() if not key.startswith("method.")}
    assert unequal(state, plain) == []


@pytest.mark.parametrize("kind, name", [case for case in CASES if case[1] != "finetuning"])
def test_a_method_changes_what_is_learned_in_the_second_task(kind: str, name: str) -> None:
    (learner, found), (_, plain) = trained(kind, name), trained(kind, "finetuning")
    kernel = f"{learner.protected_part}.core.layers.1.weight"
    assert not torch.equal(found[kernel], plain[kernel])


@pytest.mark.parametrize(
    "kind, name", [(kind, name) for name in sorted(METHODS) for kind in METHODS[name].refusals()]
)
def test_a_method_is_refused_where_it_does_not_work(kind: str, name: str) -> None:
    works = [learner for learner in LEARNERS if learner not in METHODS[name].refusals()]
    with pytest.raises(ValueError, match=f"learner {kind}: .*; it works on {', '.join(works)}"):
        if kind == "classifier":
            Classifier(ToyStream(), method(name))
        else:
            AGENTS[kind](method=method(name))


@every_method
def test_every_field_says_what_it_is(name: str) -> None:
    documented = set()
    for cls in METHODS[name].__mro__[:-1]:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body[:-1], body.body[1:], strict=True):
            if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
                assert isinstance(statement.target, ast.Name)
                assert isinstance(following.value, ast.Constant)
                assert len(str(following.value.value)) > 10
                documented.add(statement.target.id)
    assert {field.name for field in fields(METHODS[name])} <= documented


@every_method
def test_every_method_says_where_it_is_from_and_what_it_costs(name: str) -> None:
    cls = METHODS[name]
    assert "arXiv" in cls.paper or cls.paper == "ours"
    assert cls.__doc__ and "(coef:" not in cls.__doc__
    assert cls.update_factor > 0
    costs = (method(name).copies_of_weights, method(name).memory_rows, method(name).extra_updates)
    assert all(0 <= count(1) <= count(2) for count in costs)


@every_method
def test_every_method_says_what_it_must_be_told(name: str) -> None:
    """That is when a task ends if it has a hook there, and which it is if weights depend on it."""
    cls = METHODS[name]
    hooks = {hook for base in cls.__mro__ if base not in Method.__mro__ for hook in vars(base)}
    assert cls.uses_task_boundaries == bool(hooks & {"on_task_start", "on_task_end"})
    learner, _ = trained("sac", name)
    played = []
    for task in (0, 1):
        with learner.method.evaluating(task):
            played.append(snapshot(learner))
    own = cls.learner_defaults.get("sac", {})
    needs = {k for k, v in SACSettings.forced("boundaries").items() if own.get(k, v) != v}
    assert cls.uses_task_id == (bool(needs) or unequal(*played) != [])
