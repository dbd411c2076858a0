"""What a method has of a task that comes back: used, renewed, added to, or a reason to refuse."""

from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents import memory, randomness
from clrl.agents.classifier import Classifier
from clrl.envs.streams import ToyStream
from tests.agents.returning import SEEDS, STEPS, every_kind, make, visit, visited
from tests.agents.telling import telling
from tests.agents.tiny import method, ppo, same_bits


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
    learner = make(kind, chosen, (0, 1, 0))
    found: list[dict[str, torch.Tensor]] = []
    measure = learner.method.importance

    def noted(task: int) -> dict[str, torch.Tensor]:
        found.append(measure(task))
        return found[-1]

    monkeypatch.setattr(learner.method, "importance", noted)
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
    agent, asked = make("sac", method("clonex"), order, n_tasks=3), []
    choose = agent.old_heads.heads

    def noted(tasks: list[int]) -> np.ndarray:
        asked.append(tasks)
        return choose(tasks)

    monkeypatch.setattr(agent.old_heads, "heads", noted)
    for task, heads in zip(order, old, strict=True):
        asked.clear()
        visit(agent, task)
        assert asked == [heads] * len(asked) and bool(asked) == bool(heads)


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


@every_kind
@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 1, 1), (1, 2, 0), (0, 2, 0)])
def test_packnet_refuses_what_comes_back_or_is_late_and_changes_nothing(
    kind: str, order: tuple[int, ...]
) -> None:
    learner = make(kind, method("packnet"), order, n_tasks=3)
    for task in order[:-1]:
        visit(learner, task)
    before = learner.state_dict()["tensors"]
    match = f"PackNet cannot learn task {order[-1]} after the end of task {max(order[:-1])}"
    with pytest.raises(ValueError, match=match):
        learner.start_task(order[-1])
    after = learner.state_dict()["tensors"]
    assert all(same_bits(before[key], after[key]) for key in before) and not learner.task_open


def test_ppo_refuses_for_packnet_at_once_though_hooks_wait() -> None:
    agent = ppo(telling("task", 2, 3, 10, (0, 1, 0)), method("packnet"), SEEDS)
    with pytest.raises(ValueError, match="cannot learn task 0 after the start of task 1"):
        agent.learn(32)
    assert agent.num_timesteps == 20 and agent.ended == [0] and agent.task_open
    assert [event for event, _ in agent.waiting] == ["end", "start"]
