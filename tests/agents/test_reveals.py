"""What a sequence reveals of its tasks, and what an agent does with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from clrl.agents import randomness
from clrl.agents.agent import Agent
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from tests.agents.telling import ChangingTask, Hooks, telling
from tests.agents.tiny import ppo, sac, total_differences, vec

AGENTS: dict[str, Any] = {"sac": sac, "ppo": ppo}
every_agent = pytest.mark.parametrize("kind", AGENTS)
SEEDS = (4, 2)


def calls(agent: Agent) -> list[tuple[str, int]]:
    assert isinstance(agent.method, Hooks)
    return agent.method.calls


def worlds(agent: Agent) -> list[Any]:
    env = agent.get_env()
    assert isinstance(env, DummyVecEnv)
    return env.envs


@every_agent
def test_a_change_of_which_nothing_is_told_is_one_world_that_changes(kind: str) -> None:
    # 50 is inside a rollout of 32 and between two blocks of updates.
    hidden = AGENTS[kind](telling("nothing", steps_per_task=52), Hooks(), SEEDS)
    one_world = DummyVecEnv([lambda: ChangingTask(52)] * 2)
    known = AGENTS[kind](one_world, Hooks(), SEEDS)
    for agent in (hidden, known):
        agent.learn(103)
        assert agent.n_updates > 10
        agent.end_task()
        assert calls(agent) == [("start", 0), ("end", 0)]
    assert [env.unwrapped.task for env in worlds(hidden)] == [1, 1]
    assert total_differences(hidden.state_dict(), known.state_dict()) == []
    assert (hidden.task, hidden.task_step, hidden.n_tasks) == (0, 103, 1)


@every_agent
def test_boundaries_are_told_without_an_identity(kind: str) -> None:
    env = telling("boundaries", n_tasks=3, steps_per_task=64)
    agent = AGENTS[kind](env, Hooks(), SEEDS)
    agent.learn(192)
    agent.end_task()
    expected = [(event, task) for task in range(3) for event in ("start", "end")]
    assert calls(agent) == expected
    assert (agent.n_tasks, agent.spaces.n_ids, agent.n_heads) == (3, 1, 1)
    assert agent.spaces.one_hot_dim == 0 and agent.spaces.feature_dim == 3
    assert agent.task_step == 64


def test_what_belongs_to_a_task_is_reset_at_a_told_boundary() -> None:
    agent = sac(telling("boundaries"), seeds=SEEDS).learn(70)
    assert agent.buffer.size.tolist() == [10, 10] and agent.buffer.only_task() == 1
    assert agent.optimizers["actor"].step_count == 0 and agent.task_step == 10
    assert agent.log_alpha.value.shape == (2, 1)
    uniform = agent.streams.state()["exploration"]
    agent.learn(1)  # tasks start with random actions
    assert agent.streams.state()["exploration"] != uniform
    agent.learn(20)
    assert agent.optimizers["actor"].step_count > 0
    assert set(agent.losses_log()) >= {"alpha/value"}


@pytest.mark.parametrize("reveals", ["task", "boundaries", "nothing"])
def test_a_method_evaluates_the_true_task_only_where_it_is_told(reveals: str) -> None:
    agent = sac(telling(reveals, n_tasks=3), Hooks(), SEEDS).learn(70)
    calls(agent).clear()
    drawn = []
    for task in (0, 2):
        with agent.evaluating(task, 7):
            drawn.append(agent.streams.normal(randomness.EVALUATION, (2,)))
    told = {"task": [0, 2], "boundaries": [1, 1], "nothing": [0, 0]}[reveals]
    assert calls(agent) == [("evaluate", task) for task in told]
    assert not np.array_equal(drawn[0], drawn[1])  # the generators are those of the true task


@every_agent
@pytest.mark.parametrize("reveals", ["task", "boundaries", "nothing"])
def test_an_agent_keeps_what_was_revealed(kind: str, reveals: str, tmp_path: Path) -> None:
    agent = AGENTS[kind](telling(reveals, n_tasks=3), seeds=SEEDS).learn(70)
    agent.save(tmp_path / "agent")
    loaded = {"sac": ContinualSAC, "ppo": ContinualPPO}[kind].load(tmp_path / "agent", device="cpu")
    for other in (loaded, agent.take(1)):
        assert (other.spaces.reveals, other.spaces.n_tasks) == (reveals, 3)
        assert (other.n_tasks, other.task) == (agent.n_tasks, agent.task)
    loaded.set_env(telling(reveals, n_tasks=3))
    loaded.learn(3)


def test_going_on_where_other_things_are_told_is_refused(tmp_path: Path) -> None:
    agent = sac(telling("boundaries"), seeds=SEEDS).learn(20)
    with pytest.raises(ValueError, match="env tells 1 tasks apart and the start of 1; this agent"):
        agent.set_env(telling("nothing"))
    agent.save(tmp_path / "agent")
    with pytest.raises(ValueError, match="env tells 1 tasks apart and the start of 3; this agent"):
        ContinualSAC.load(tmp_path / "agent", telling("boundaries", n_tasks=3), "cpu")


def test_interleaved_environments_start_and_end_once_for_any_method() -> None:
    agent = sac(vec(2, 3, 60, interleaved=True), Hooks(), SEEDS).learn(60)
    agent.end_task()
    assert calls(agent) == [("start", 0), ("end", 0)]
    assert (agent.n_tasks, agent.n_heads) == (1, 3) and agent.buffer.tasks == {0, 1, 2}


class Turns(Finetuning):
    interleaved = True


def test_a_learner_that_cannot_interleave_refuses_methods_and_environments_that_do() -> None:
    with pytest.raises(ValueError, match="Turns does not work on the learner ppo: a row of"):
        ppo(vec(2), Turns(), SEEDS)
    with pytest.raises(ValueError, match="tasks are interleaved.*the learner ppo needs one"):
        ppo(vec(2, interleaved=True), Finetuning(), SEEDS)
