"""Ends and starts of tasks wait for the end of a rollout."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clrl.agents import randomness
from clrl.agents.methods.base import Method
from clrl.agents.ppo import ContinualPPO
from clrl.agents.ppo.policy import log_prob
from tests.agents.tiny import (
    differences,
    method,
    ppo,
    randomise,
    total_differences,
)


class Witness(Method):
    """Notes the hooks: (name, task, step, the learner's task, tasks of sampled rows)."""

    def attach(self, learner: Any) -> None:
        super().attach(learner)
        self.seen: list[tuple[Any, ...]] = []

    def on_task_start(self, task: int) -> None:
        self.note("start", task)

    def on_task_end(self, task: int) -> None:
        rows = self.learner.rows_of(self.learner.sample(50, randomness.METHOD, task))
        self.note("end", task, *rows["task"].unique().tolist())

    def note(self, event: str, task: int, *tasks: int) -> None:
        learner: Any = self.learner
        assert learner.task == task
        self.seen.append((event, task, learner.num_timesteps, *tasks))


def witnessed(steps: int, **settings: Any) -> tuple[ContinualPPO, list[tuple[Any, ...]]]:
    agent = ppo(method=Witness(), **settings).learn(steps)
    assert isinstance(agent.method, Witness)
    return agent, agent.method.seen


def test_hooks_of_a_boundary_wait_for_the_end_of_the_rollout() -> None:
    agent, seen = witnessed(63)
    assert seen == [("start", 0, 0)] and (agent.task, agent.task_step) == (1, 3)
    agent.learn(1)
    assert seen == [("start", 0, 0), ("end", 0, 64, 0), ("start", 1, 64)]
    assert (agent.task, agent.task_step, agent.task_open) == (1, 4, True)
    agent.learn(56)
    agent.end_task()  # the last one does not wait, though its rollout has 24 rows only
    assert seen[3:] == [("end", 1, 120, 1)] and agent.waiting == []


def test_hooks_run_at_once_where_a_rollout_ends_at_the_boundary() -> None:
    agent, seen = witnessed(60, n_steps=30)
    agent.end_task()
    assert seen[1:] == [("end", 0, 60, 0)]
    agent.start_task(1)
    assert seen[2:] == [("start", 1, 60)] and agent.waiting == []


def test_tasks_shorter_than_a_rollout_end_one_after_the_other() -> None:
    agent, seen = witnessed(32, n_tasks=4, steps_per_task=10)
    assert [event[:3] for event in seen[1:]] == [
        ("end", 0, 32), ("start", 1, 32), ("end", 1, 32), ("start", 2, 32), ("end", 2, 32),
        ("start", 3, 32),
    ]  # fmt: skip
    assert [event[3:] for event in seen if event[0] == "end"] == [(0,), (1,), (2,)]
    agent.learn(8)
    agent.end_task()
    assert seen[-1] == ("end", 3, 40, 3)


def test_a_waiting_boundary_is_saved_and_taken(tmp_path: Path) -> None:
    agent = ppo(seeds=(0, 1), method=method("ewc")).learn(62)
    agent.save(tmp_path / "agent")
    loaded = ContinualPPO.load(tmp_path / "agent", device="cpu")
    assert loaded.waiting == agent.take(1).waiting == [["end", 0], ["start", 1]]
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []
    assert differences(agent.state_dict(), agent.take(1).state_dict(), 1, 0) == []
    assert loaded.env is None
    for each in (agent, loaded):
        each.n_tasks = 2
        each.end_task()  # of task 1, the last: all that waits is done
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []
    assert any(name.startswith("importance") for name in loaded.method.state)


def test_after_a_boundary_the_agent_acts_with_the_new_head_at_once() -> None:
    agent = ppo(seeds=(0, 1))
    randomise(agent)
    agent.learn(63)
    last = agent.rollout.rows(np.array([[61, 62]] * 2))  # ring of 64: the second rollout's rows
    assert last["task"].tolist() == [[1, 1]] * 2
    gaussian = agent.output_distributions(agent.batch_of(last, randomness.METHOD))
    torch.testing.assert_close(log_prob(gaussian, last["action"]), last["log_prob"])
