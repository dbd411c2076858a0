"""What every method does with a task that comes back."""

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.agents import memory
from clrl.agents.agent import Agent
from clrl.agents.methods import METHODS
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from tests.agents.returning import (
    AGENTS,
    CASES,
    SEEDS,
    STEPS,
    every_case,
    make,
    visit,
    visited,
)
from tests.agents.telling import telling
from tests.agents.tiny import finite_seeds, method, same_bits, total_differences

CLASSES: dict[str, Any] = {"sac": ContinualSAC, "ppo": ContinualPPO}
TAKING_BACK = [case for case in CASES if not METHODS[case[1]].in_order]


def on_sac_first(cases: list[tuple[str, str]]) -> list[Any]:
    """The cases, those of other learners slow: what is tried is common to all of them."""
    return [
        case if case[0] == "sac" else pytest.param(*case, marks=pytest.mark.slow) for case in cases
    ]


def shapes(learner: Any) -> dict[str, Any]:
    return {name: tensor.shape for name, tensor in learner.method.state.items()}


@pytest.mark.parametrize("kind, name", TAKING_BACK)
def test_a_task_that_comes_back_takes_no_more_room(kind: str, name: str) -> None:
    learner = visited(kind, method(name), (0, 1))
    before = shapes(learner)
    assert memory.size(learner.method.state) == learner.method.memory_rows(2)
    if isinstance(learner, Agent):
        learner.set_env(telling("task", 2, 2, STEPS, (0, 1)))
    for task in (0, 1):
        visit(learner, task)
        assert shapes(learner) == before
    assert all(finite_seeds(learner))
    assert learner.ended == ([0] if learner.interleaved else [0, 1])


@every_case
def test_a_method_that_takes_tasks_in_order_refuses_one_that_comes_back(
    kind: str, name: str
) -> None:
    learner = make(kind, method(name), (0, 1, 0), n_tasks=3)
    for task in (0, 1):
        visit(learner, task)
    before = learner.state_dict()
    if METHODS[name].in_order:
        with pytest.raises(ValueError, match="cannot learn task 0 after the end of task 1: .*own"):
            visit(learner, 0)
        after = learner.state_dict()
        after["json"]["counters"]["shown"] = before["json"]["counters"].get("shown")
        before["json"]["counters"]["shown"] = before["json"]["counters"].get("shown")
        assert total_differences(before, after) == []
    else:
        visit(learner, 0)
        assert total_differences(before, learner.state_dict()) != []


@pytest.mark.parametrize("kind, name", on_sac_first(TAKING_BACK))
def test_a_seed_alone_is_the_seed_beside_others_through_a_return(kind: str, name: str) -> None:
    both = visited(kind, method(name), (0, 1, 0))
    alone = visited(kind, method(name), (0, 1, 0), seeds=SEEDS[1:])
    assert both.ended == alone.ended
    mine, others = alone.state_dict()["tensors"], both.state_dict()["tensors"]
    assert [n for n, t in others.items() if not same_bits(t[1:], mine[n])] == []


@pytest.mark.parametrize("kind, name", on_sac_first(TAKING_BACK))
def test_a_restored_learner_goes_on_bit_for_bit_in_a_task_that_came_back(
    kind: str, name: str
) -> None:
    learner = make(kind, method(name))
    visit(learner, 0), visit(learner, 1)
    if kind == "classifier":
        learner.start_task(0)
    learner.learn(10)
    twin = make(kind, method(name))
    twin.load_state_dict(copy.deepcopy(learner.state_dict()))
    assert twin.ended == learner.ended
    if kind != "classifier":
        twin.env = copy.deepcopy(learner.env)
    for each in (learner, twin):
        each.learn(STEPS - 10)
        each.end_task()
    assert total_differences(learner.state_dict(), twin.state_dict()) == []


@pytest.mark.parametrize("kind, name", on_sac_first([c for c in CASES if c[0] in AGENTS]))
def test_a_saved_agent_in_a_fresh_sequence_is_in_a_task_that_came_back(
    kind: str, name: str, tmp_path: Path
) -> None:
    agent = make(kind, method(name), (0, 1), n_tasks=3)
    agent.learn(2 * STEPS)
    agent.save(tmp_path / "agent")
    fresh = telling("task", 2, 3, STEPS, (0, 1, 2))
    loaded = CLASSES[kind].load(tmp_path / "agent", fresh, "cpu")
    agent.set_env(telling("task", 2, 3, STEPS, (0, 1, 2)))
    for each in (agent, loaded):
        if METHODS[name].in_order:
            before = each.state_dict()
            with pytest.raises(ValueError, match="cannot learn task 0 after the start of task 1"):
                each.learn(STEPS)
            changed = total_differences(before, each.state_dict())
            assert [text for text in changed if "last_" not in text] == []  # task 1 can go on
        else:
            each.learn(STEPS)
            assert (each.task, each.interleaved or each.ended == [0, 1]) == (0, True)
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []


@pytest.mark.parametrize("kind, name", on_sac_first(CASES))
def test_a_task_that_was_left_out_can_be_evaluated(kind: str, name: str) -> None:
    learner = visit(make(kind, method(name), (0, 2), n_tasks=3), 0)
    obs = np.zeros((2, 4, 6), np.float32)
    obs[..., 3:] = np.eye(3)[1]
    for _ in range(2):
        before = learner.state_dict()["tensors"]
        if kind == "classifier":
            assert bool((learner.accuracy(1) >= 0).all())
        else:
            with learner.evaluating(1, 5):
                assert np.isfinite(learner.act(obs, True)).all()
        after = learner.state_dict()["tensors"]
        assert all(same_bits(before[key], after[key]) for key in before)
        if len(learner.ended) == 1:
            visit(learner, 2)


@pytest.mark.parametrize("kind, name", on_sac_first(CASES))
def test_a_policy_from_a_snapshot_acts_and_does_not_train(kind: str, name: str) -> None:
    trained = visited(kind, method(name), (0, 1))
    snapshot = make(kind, method(name))
    snapshot.load_policy_state(trained.policy_state())
    saved = make(kind, method(name))
    saved.load_state_dict(snapshot.state_dict())
    for each in (snapshot, saved):
        before = each.state_dict()["tensors"]
        with pytest.raises(ValueError, match="from a snapshot.*load an agent that `save` wrote"):
            each.learn(1)
        with each.method.evaluating(0):
            pass
        after = each.state_dict()["tensors"]
        assert all(same_bits(before[name], after[name]) for name in before)
    snapshot.load_state_dict(trained.state_dict())
    assert snapshot.acts_only is False and snapshot.ended == trained.ended


def test_every_method_says_what_becomes_of_a_task_that_comes_back() -> None:
    page = (Path(__file__).parents[3] / "docs" / "returning.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)`(?:, `([a-z0-9-]+)`)? \|", page, re.MULTILINE)
    assert {name for row in rows for name in row if name} == set(METHODS)
    for name, kind in METHODS.items():
        texts = " ".join((cls.__doc__ or "") for cls in kind.__mro__[:-1])
        assert re.search(r"comes\s+back", texts), name


@pytest.mark.parametrize("kind", AGENTS)
def test_a_task_is_not_ended_for_one_that_is_refused(kind: str) -> None:
    agent = make(kind, method("packnet"), (0, 1, 2), n_tasks=3)
    agent.learn(STEPS + STEPS // 2)  # in the middle of task 1
    before = agent.state_dict()["tensors"]
    agent.set_env(telling("task", 2, 3, STEPS, (0, 1, 2)))
    with pytest.raises(ValueError, match="cannot learn task 0 after the start of task 1"):
        agent.learn(1)
    after = agent.state_dict()["tensors"]
    learned = [name for name in before if not name.startswith("last_")]  # what the fresh one shows
    assert all(same_bits(before[name], after[name]) for name in learned)
    assert (agent.task, agent.task_open) == (1, True)
    agent.set_env(telling("task", 2, 3, STEPS, (1, 2)))
    agent.learn(1)
