"""Tasks start and end, and come back: what every method does with what it has of them."""

import copy
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents import memory, randomness
from clrl.agents.agent import Agent
from clrl.agents.classifier import Classifier
from clrl.agents.methods import METHODS, Method
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from clrl.envs.streams import ToyStream
from tests.agents.telling import Hooks, telling
from tests.agents.tiny import finite_seeds, method, ppo, sac, same_bits, total_differences, vec

SEEDS = (7, 1)
STEPS = 32  # of a task: two rollouts, and more than the random actions
AGENTS: dict[str, Any] = {"sac": sac, "ppo": partial(ppo, n_steps=16)}
CLASSES: dict[str, Any] = {"sac": ContinualSAC, "ppo": ContinualPPO}
KINDS = (*AGENTS, "classifier")
CASES = [(k, name) for name in sorted(METHODS) for k in KINDS if k not in METHODS[name].refusals()]
every_case = pytest.mark.parametrize("kind, name", CASES)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_agent = pytest.mark.parametrize("kind", AGENTS)
TAKING_BACK = [case for case in CASES if not METHODS[case[1]].in_order]


def make(
    kind: str,
    chosen: Method | None = None,
    order: tuple[int, ...] = (0, 1, 0, 1),
    n_tasks: int = 2,
    seeds: tuple[int, ...] = SEEDS,
) -> Any:
    """Return a learner whose worlds show tasks in an order."""
    if kind == "classifier":
        stream = ToyStream(n_tasks=n_tasks, dim=5, examples=64)
        return Classifier(stream, chosen, seeds=seeds, batch_size=16, hidden_sizes=(16, 16))
    env = telling("task", len(seeds), n_tasks, STEPS, order)
    return AGENTS[kind](env, chosen, seeds)


def visit(learner: Any, task: int) -> Any:
    """Train on the next task of the order, to its end."""
    if isinstance(learner, Classifier):
        learner.train_task(task, 20)
    else:
        learner.learn(STEPS)
        assert learner.interleaved or learner.task == task
        learner.end_task()
    return learner


def visited(kind: str, chosen: Method | None, order: tuple[int, ...], **more: Any) -> Any:
    learner = make(kind, chosen, order, **more)
    for task in order:
        visit(learner, task)
    return learner


def shapes(learner: Any) -> dict[str, Any]:
    return {name: tensor.shape for name, tensor in learner.method.state.items()}


# Every method


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


@pytest.mark.parametrize("kind, name", TAKING_BACK)
def test_a_seed_alone_is_the_seed_beside_others_through_a_return(kind: str, name: str) -> None:
    both = visited(kind, method(name), (0, 1, 0))
    alone = visited(kind, method(name), (0, 1, 0), seeds=SEEDS[1:])
    assert both.ended == alone.ended
    mine, others = alone.state_dict()["tensors"], both.state_dict()["tensors"]
    assert [n for n, t in others.items() if not same_bits(t[1:], mine[n])] == []


@pytest.mark.parametrize("kind, name", TAKING_BACK)
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


@pytest.mark.parametrize("kind, name", [case for case in CASES if case[0] in AGENTS])
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
            with pytest.raises(ValueError, match="cannot learn task 0 after the end of task 1"):
                each.learn(STEPS)
        else:
            each.learn(STEPS)
            assert (each.task, each.interleaved or each.ended == [0, 1]) == (0, True)
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []


@every_case
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


# A method's own kind of what is old


@every_kind
@pytest.mark.parametrize(
    "name, given",
    [("l2", {}), ("l2", {"accumulate": False}), ("ewc", {}), ("mas", {}), ("si", {}),
     ("online-ewc", {"gamma": 0.5}), ("ewc", {"anchors": "per_task"})],
)  # fmt: skip
def test_importances_of_a_task_that_comes_back(
    kind: str, name: str, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = method(name)
    vars(chosen).update(given)
    learner, found = make(kind, chosen, (0, 1, 0)), []
    measure = learner.method.importance
    monkeypatch.setattr(
        learner.method, "importance", lambda task: found.append(measure(task)) or found[-1]
    )
    for task in (0, 1, 0):
        visit(learner, task)
    state = learner.method.state
    for key, parameter in learner.protected_parameters().items():
        first, second, third = (importance[key] for importance in found)
        if given == {"anchors": "per_task"}:
            assert torch.equal(state[f"importance0.{key}"], third)
            assert torch.equal(state[f"importance1.{key}"], second)
            assert torch.equal(state[f"anchor0.{key}"], parameter)
            assert not any(name.startswith("importance2") for name in state)
            continue
        expected = {
            "online-ewc": 0.5 * (0.5 * first + second) + third,
            "si": ((first.relu() + second).relu() + third).relu(),
        }.get(name, first + second + third)
        expected = third if given == {"accumulate": False} else expected
        torch.testing.assert_close(state[f"importance.{key}"], expected)
        assert torch.equal(state[f"anchor.{key}"], parameter)


@every_kind
def test_the_prior_of_vcl_is_the_last_posterior_whichever_task_it_was(kind: str) -> None:
    learner = visited(kind, method("vcl"), (0, 1, 0))
    for name, parameter in learner.protected_parameters().items():
        if f"prior.{name}" in learner.method.state:
            assert torch.equal(learner.method.state[f"prior.{name}"], parameter)


@every_kind
@pytest.mark.parametrize("name", ["agem", "cloning"])
@pytest.mark.parametrize("order", [(0, 1, 0), (0, 1, 1), (1, 0, 2, 0), (2, 0, 0, 2)])
def test_examples_of_a_task_that_comes_back_are_renewed_and_the_others_kept(
    kind: str, name: str, order: tuple[int, ...]
) -> None:
    learner = make(kind, method(name), order, n_tasks=3)
    for task in order[:-1]:
        visit(learner, task)
    before, n = dict(learner.method.state), learner.method.memory_per_task
    visit(learner, order[-1])
    after, tasks = learner.method.state, list(dict.fromkeys(order))
    assert after[memory.ENDED].tolist() == [tasks] * 2 and memory.size(after) == n * len(tasks)
    for place, task in enumerate(tasks):
        rows = slice(place * n, (place + 1) * n)
        assert after["memory.task"][:, rows].unique().tolist() == [task]
        key = "memory.inputs" if kind == "classifier" else "memory.obs"
        assert torch.equal(before[key][:, rows], after[key][:, rows]) == (task != order[-1])
    if name == "cloning":
        place = tasks.index(order[-1])
        kept = {k: t[:, place * n : (place + 1) * n] for k, t in memory.examples(after).items()}
        batch = learner.batch_of({k: t for k, t in kept.items() if "." not in k}, randomness.METHOD)
        now = learner.output_distributions(batch)
        found = kept.get("output.logits", kept.get("output.mean"))
        torch.testing.assert_close(found, now.logits if kind == "classifier" else now.mean)


@every_kind
def test_reset_starts_the_first_task_anew_too_when_it_comes_back(kind: str) -> None:
    learner, fresh = make(kind, method("reset")), make(kind)
    for task in (0, 1):
        visit(learner, task)
    learner.start_task(0)
    for _ in range(2):
        fresh.reinitialise()
    part = learner.protected_part
    assert same_bits(learner.flats[part].flat, fresh.flats[part].flat)
    assert all(optimizer.step_count == 0 for optimizer in learner.optimizers.values())


@pytest.mark.parametrize("order", [(2, 1), (1, 0)])
@every_kind
def test_reset_need_not_draw_anew_for_a_first_task_that_is_not_number_0(
    kind: str, order: tuple[int, ...]
) -> None:
    learner, fresh = (make(kind, method("reset"), order, n_tasks=3) for _ in range(2))
    learner.start_task(order[0])
    part = learner.protected_part
    assert same_bits(learner.flats[part].flat, fresh.flats[part].flat)


@pytest.mark.parametrize(
    "order, old", [((0, 1, 0), [[], [0], [0, 1]]), ((2, 0), [[], [2]]), ((1, 1), [[], [1]])]
)
def test_clonex_explores_with_the_heads_of_tasks_that_have_ended(
    order: tuple[int, ...], old: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make("sac", method("clonex"), order, n_tasks=3)
    for task, heads in zip(order, old, strict=True):
        asked: list[Any] = []
        choose = agent.old_heads.heads
        monkeypatch.setattr(
            agent.old_heads, "heads", lambda tasks: asked.append(tasks) or choose(tasks)
        )
        visit(agent, task)
        assert asked == [heads] * len(asked) and bool(asked) == bool(heads)
        monkeypatch.undo()


def test_perfect_memory_keeps_both_visits() -> None:
    agent = visited("sac", method("perfect-memory"), (0, 1, 0))
    stored = agent.buffer.arrays["task"][0, : agent.buffer.size[0]]
    assert np.bincount(stored).tolist() == [2 * STEPS, STEPS]


@pytest.mark.parametrize("order", [(0, 1, 0), (2, 0), (1, 2, 1, 0)])
@pytest.mark.parametrize("reveals", ["task", "boundaries", "nothing"])
def test_a_classifier_with_perfect_memory_trains_on_all_that_was_seen_and_nothing_else(
    order: tuple[int, ...], reveals: Any
) -> None:
    stream = ToyStream(n_tasks=3, dim=5, examples=20, reveals=reveals)
    learner = Classifier(stream, method("perfect-memory"), seeds=SEEDS)
    for task in order:
        if learner.task_open and reveals == "nothing":
            learner.show(task)
            learner.learn(5)
        else:
            learner.train_task(task, 5)
    drawn = learner.sample(600, randomness.METHOD).inputs[0, :, 0]
    seen = {t for t in range(3) if torch.isin(drawn, learner._inputs[t, 0, :20, 0]).any()}
    assert seen == set(order) == set(learner.seen)
    state = learner.state_dict()
    del state["json"]["counters"]["seen"]
    twin = Classifier(stream, method("perfect-memory"), seeds=SEEDS)
    twin.load_state_dict(state)
    assert twin.seen == list(range(learner.shown + 1))  # what a state of older versions means


# PackNet


@every_kind
def test_packnet_gives_the_weights_of_a_task_left_out_to_the_next(kind: str) -> None:
    learner = make(kind, method("packnet"), (0, 2, 3), n_tasks=4)
    visit(learner, 0)
    kernels = {k: p.detach().clone() for k, p in learner.protected_parameters().items()}
    owners = {k: t.clone() for k, t in learner.method.state.items() if k.startswith("owner.")}
    visit(learner, 2)
    shares = []
    for key, owner in owners.items():
        kernel = learner.protected_parameters()[key.removeprefix("owner.")]
        old = kernels[key.removeprefix("owner.")]
        assert torch.equal(kernel[owner == 0], old[owner == 0])
        after = learner.method.state[key]
        assert set(after.unique().tolist()) == {0, 2, 3}
        shares.append(float((after == 2).float().mean()))
        assert bool((kernel[after == 2] != 0).all())
    assert np.mean(shares) == pytest.approx(3 / 8, abs=0.02)  # half of what was free
    visit(learner, 3)
    with pytest.raises(ValueError, match="cannot learn task 1 after the end of task 3"):
        learner.start_task(1)


@every_kind
def test_packnets_last_task_may_go_on_and_old_ones_act_as_before(kind: str) -> None:
    learner = visited(kind, method("packnet"), (0, 1))
    owners = {k: t.clone() for k, t in learner.method.state.items() if k.startswith("owner.")}

    def hidden() -> dict[str, torch.Tensor]:
        with learner.method.evaluating(0):
            return {k: p.detach().clone() for k, p in learner.protected_parameters().items()}

    before, weights = hidden(), learner.flats[learner.protected_part].flat.clone()
    visit(learner, 1)
    assert all(torch.equal(before[key], values) for key, values in hidden().items())
    assert all(torch.equal(owners[key], learner.method.state[key]) for key in owners)
    assert not torch.equal(weights, learner.flats[learner.protected_part].flat)


def test_ppo_refuses_for_packnet_at_once_though_hooks_wait() -> None:
    agent = ppo(telling("task", 2, 3, 10, (0, 1, 0)), method("packnet"), SEEDS)
    with pytest.raises(ValueError, match="cannot learn task 0 after the end of task 1"):
        agent.learn(32)
    assert agent.num_timesteps == 20 and agent.ended == [0, 1]
    assert [event for event, _ in agent.waiting] == ["end", "start", "end"]


# Starts and ends


@every_kind
def test_tasks_start_one_by_one_and_end_once(kind: str) -> None:
    learner = make(kind, Hooks())
    learner.start_task(0)
    with pytest.raises(ValueError, match="task 1 cannot start: task 0 has not ended; call end_tas"):
        learner.start_task(1)
    learner.learn(10)
    learner.end_task()
    with pytest.raises(ValueError, match="task 0 has ended already; learn"):
        learner.end_task()
    for wrong in (-1, 2, 7):
        with pytest.raises(ValueError, match=f"task is {wrong}; allowed are 0 to 1"):
            learner.start_task(wrong)
    learner.start_task(np.int64(1))
    assert type(learner.task) is int


@every_agent
def test_a_task_that_comes_back_starts_like_any_other(kind: str) -> None:
    agent = make(kind, Hooks(), (0, 1, 0, 1, 1))
    agent.learn(5 * STEPS)
    agent.end_task()
    told = [(event, task) for task in (0, 1, 0, 1) for event in ("start", "end")]
    assert agent.method.calls == told  # two visits in a row are one
    agent.learn(1)
    assert agent.method.calls[-1] == ("start", 1) and (agent.task, agent.task_step) == (1, 1)


def test_exploration_data_and_optimizers_start_anew_and_heads_go_on() -> None:
    agent = make("sac", order=(0, 1, 0))
    visit(agent, 0)
    own = agent.actor.head.weight[:, :4].detach().clone(), agent.log_alpha.value[:, 0].clone()
    visit(agent, 1)
    drawn = agent.streams.state()["exploration"]
    agent.learn(1)
    assert agent.streams.state()["exploration"] != drawn
    assert agent.buffer.size.tolist() == [1, 1] and agent.optimizers["actor"].step_count == 0
    assert torch.equal(agent.actor.head.weight[:, :4], own[0])
    assert torch.equal(agent.log_alpha.value[:, 0], own[1])


@every_agent
def test_what_is_told_without_a_one_hot_may_come_back(kind: str) -> None:
    env = telling("boundaries", 2, 2, STEPS, (0, 1, 0))
    agent = AGENTS[kind](env, Hooks(), SEEDS)
    agent.learn(3 * STEPS)
    assert agent.method.calls[-2:] == [("end", 1), ("start", 0)] and agent.ended == [0, 1]
    counting = telling("boundaries", 2, 2, STEPS, (0, 1, 2))
    with pytest.raises(ValueError, match=r"task is 2; allowed are 0 to 1 \(n_tasks\)"):
        AGENTS[kind](counting, Hooks(), SEEDS).learn(3 * STEPS)


@every_agent
@pytest.mark.parametrize("by_hand", [False, True])
def test_beyond_the_end_a_sequence_says_how_to_go_on(kind: str, by_hand: bool) -> None:
    agent = AGENTS[kind](vec(1, 2, STEPS), method("ewc")).learn(2 * STEPS)
    if by_hand:
        agent.end_task()
    with pytest.raises(RuntimeError, match="the sequence is over: all 64 steps are used up"):
        agent.learn(1)
    agent.set_env(vec(1, 2, STEPS))
    agent.learn(1)
    assert (agent.task, agent.ended) == (0, [0, 1])


class Training(Hooks):
    """Trains at the end of a task, and notes the optimizer's steps when a task starts."""

    def on_task_start(self, task: int) -> None:
        self.calls.append(("steps", self.learner.optimizers["policy"].step_count))

    def on_task_end(self, task: int) -> None:
        self.learner.update(self.learner.sample(None, randomness.METHOD, task))


def test_every_start_resets_though_several_are_in_one_rollout() -> None:
    agent = ppo(telling("task", 2, 3, 10, (0, 1, 0)), Training(), SEEDS).learn(32)
    assert agent.method.calls == [("steps", 0)] * 3  # type: ignore[attr-defined]
    assert agent.task == 0 and agent.task_step == 12 and agent.optimizers["policy"].step_count == 0


@every_kind
@pytest.mark.parametrize("when", ["before", "in 0", "after 0", "in 1", "after 1"])
def test_a_state_from_before_tasks_could_come_back_says_which_have_ended(
    kind: str, when: str
) -> None:
    learner = make(kind, Hooks())
    for task in range(2):
        if when == "before":
            break
        if when == f"in {task}":
            if kind == "classifier":
                learner.start_task(task)
            learner.learn(5)
            break
        visit(learner, task)
        if when == f"after {task}":
            break
    state = learner.state_dict()
    for name in ("ended", "acts_only"):
        del state["json"]["counters"][name]
    twin = make(kind, Hooks())
    twin.load_state_dict(state)
    assert twin.ended == learner.ended and not twin.acts_only


# What is written of it


def test_every_method_says_what_becomes_of_a_task_that_comes_back() -> None:
    page = (Path(__file__).parents[2] / "docs" / "returning.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)`(?:, `([a-z0-9-]+)`)? \|", page, re.MULTILINE)
    assert {name for row in rows for name in row if name} == set(METHODS)
    for name, kind in METHODS.items():
        texts = " ".join((cls.__doc__ or "") for cls in kind.__mro__[:-1])
        assert re.search(r"comes\s+back", texts), name
