"""When tasks start and end, and what an agent does in one that comes back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clrl.agents import randomness
from tests.agents.returning import AGENTS, SEEDS, STEPS, every_agent, every_kind, make, visit
from tests.agents.telling import Hooks, telling
from tests.agents.tiny import method, ppo, vec


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


@every_agent
@pytest.mark.parametrize("name", ["ewc", "mas", "agem", "cloning"])
def test_an_agent_saved_without_the_data_of_its_task_cannot_end_it(
    kind: str, name: str, tmp_path: Path
) -> None:
    agent = make(kind, method(name), (0, 1)).learn(STEPS + 20)
    agent.save(tmp_path / "agent", exclude=["buffer"])
    fresh = telling("task", 2, 2, STEPS)
    loaded = type(agent).load(tmp_path / "agent", fresh, "cpu")
    with pytest.raises(ValueError, match="seed 7 has no row of task 1 to sample from"):
        loaded.learn(1)


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
