"""Drawing batches: hooks get rows of the task they name, training what the settings say."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clrl.agents import memory, randomness
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner, NonFinite
from clrl.agents.methods.agem import AGEM
from clrl.agents.methods.base import Method
from clrl.agents.methods.multitask import MultiTask
from clrl.agents.methods.packnet import PackNet
from clrl.agents.ppo.rollout import Rollout
from clrl.agents.sac.replay import ReplayBuffer
from clrl.envs.streams import ToyStream
from tests.agents.telling import telling
from tests.agents.tiny import fill, method, ppo, sac, same_bits, vec

SEEDS = (4, 2)


class Sampling(Method):
    """Notes the tasks of what a hook of every task gets, and of what training would get."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.named: list[list[int]] = []
        self.unnamed: list[list[int]] = []

    def on_task_end(self, task: int) -> None:
        for found, which in ((self.named, task), (self.unnamed, None)):
            batch = self.learner.sample(300, randomness.METHOD, which)
            found.append(self.learner.rows_of(batch)["task"].unique().tolist())


def trained(kind: str, **settings: Any) -> Learner:
    """Return a learner that has seen three tasks."""
    if kind == "classifier":
        learner = Classifier(ToyStream(n_tasks=3, examples=20), Sampling(), seeds=SEEDS, **settings)
        for task in range(3):
            learner.train_task(task, 10)
        return learner
    agent = {"sac": sac, "ppo": ppo}[kind](None, Sampling(), SEEDS, 3, 40, **settings)
    agent.learn(120)
    agent.end_task()
    return agent


def seen(learner: Learner) -> tuple[list[list[int]], list[list[int]]]:
    assert isinstance(learner.method, Sampling)
    return learner.method.named, learner.method.unnamed


@pytest.mark.parametrize(
    "kind, settings, unnamed",
    [
        ("sac", {}, [[0], [1], [2]]),
        ("sac", {"reset_buffer": False}, [[0], [0, 1], [0, 1, 2]]),
        ("sac", {"reset_buffer": False, "replay": "reservoir"}, [[0], [0, 1], [0, 1, 2]]),
        ("sac", {"reset_buffer": False, "buffer_size": 60}, [[0], [0, 1], [1, 2]]),
        ("ppo", {"n_steps": 40}, [[0], [0, 1], [1, 2]]),
        ("classifier", {}, [[0], [1], [2]]),
        ("classifier", {"replay": "all"}, [[0], [0, 1], [0, 1, 2]]),
    ],
)
def test_a_hook_gets_rows_of_its_task_whatever_is_stored(
    kind: str, settings: dict[str, Any], unnamed: list[list[int]]
) -> None:
    named, everything = seen(trained(kind, **settings))
    assert named == [[0], [1], [2]]
    assert everything == unnamed


def test_a_memory_of_a_task_holds_that_task_only() -> None:
    agent = sac(method=AGEM(memory_per_task=50), n_tasks=3, steps_per_task=40, reset_buffer=False)
    agent.learn(120)
    agent.end_task()
    tasks = agent.method.state[memory.PREFIX + "task"][0].view(3, 50)
    assert [row.unique().tolist() for row in tasks] == [[0], [1], [2]]


def test_with_original_parity_sac_draws_from_the_whole_buffer() -> None:
    named, everything = seen(trained("sac", reset_buffer=False, parity="original"))
    assert named == everything == [[0], [0, 1], [0, 1, 2]]
    assert seen(trained("ppo", parity="original"))[0] == [[0], [1], [2]]


def test_all_interleaved_tasks_are_the_one_that_a_hook_names() -> None:
    agent = sac(vec(2, 3, 60, interleaved=True), MultiTask(), SEEDS).learn(60)
    batch = agent.sample(300, randomness.METHOD, 0)
    assert isinstance(batch.task, Tensor) and batch.task.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("reveals, tasks", [("boundaries", [0, 1]), ("nothing", [0])])
def test_the_buffer_keeps_the_tasks_that_are_told(reveals: str, tasks: list[int]) -> None:
    agent = sac(telling(reveals), seeds=SEEDS, reset_buffer=False).learn(100)
    stored = agent.buffer.arrays["task"][:, :100]
    assert np.unique(stored).tolist() == tasks
    batch = agent.sample(50, randomness.METHOD, tasks[-1])
    assert batch.task == tasks[-1]
    assert all(bool(torch.isfinite(loss).all()) for loss in agent.losses(batch).values())


def test_naming_the_only_task_changes_no_draw() -> None:
    agents = [sac(seeds=SEEDS), sac(seeds=SEEDS)]
    for agent, task in zip(agents, (None, 0), strict=True):
        fill(agent)
        batch = agent.sample(30, randomness.METHOD, task)
        assert batch.task == 0
    first, second = (a.sample(30, randomness.METHOD, 0) for a in agents)
    assert same_bits(first.obs, second.obs) and same_bits(first.noise, second.noise)


def test_rows_of_a_task_are_found_anew_after_every_change() -> None:
    agent = sac(buffer_size=60)
    for task, expected in ((0, 40), (1, 20), (0, 40)):
        fill(agent, 40, task)
        assert agent.buffer.counts(0) == [expected]
    assert agent.buffer.counts(1) == [20] and agent.buffer.counts() == [60]
    agent.buffer.load(sac(buffer_size=60).buffer.state())
    assert agent.buffer.counts(0) == [0]


def test_rows_of_a_task_are_drawn_uniformly() -> None:
    agent = sac(buffer_size=60)
    fill(agent, 30, 0)
    fill(agent, 20, 1)
    batch = agent.sample(20_000, randomness.METHOD, 1)
    counts = batch.reward[0].unique(return_counts=True)[1]
    assert len(counts) == 20 and 850 < int(counts.min()) and int(counts.max()) < 1150


@pytest.mark.parametrize("kind", ["sac", "ppo"])
def test_a_seed_without_a_row_of_the_task_is_named(kind: str) -> None:
    agent: Any = {"sac": sac, "ppo": ppo}[kind](seeds=SEEDS, steps_per_task=64, n_tasks=2)
    agent.learn(64)
    with pytest.raises(ValueError, match="seed 4 has no row of task 1 to sample from"):
        agent.sample(10, randomness.METHOD, 1)
    store = agent.buffer if kind == "sac" else agent.rollout
    store.arrays["task"][0] = 1
    if kind == "sac":
        store.tasks = {0, 1}
    with pytest.raises(ValueError, match="seed 4 has no row of task 0 to sample from"):
        agent.sample(10, randomness.METHOD, 0)


@pytest.mark.parametrize("kind", ["sac", "ppo"])
def test_an_empty_store_is_no_silent_draw(kind: str) -> None:
    agent: Any = {"sac": sac, "ppo": ppo}[kind](seeds=SEEDS)
    with pytest.raises(ValueError, match="seed 4 has no row to sample from"):
        agent.sample(10, randomness.METHOD)


def test_a_seed_whose_every_step_blew_up_is_named() -> None:
    events = [{}, {step: "warning" for step in range(1, 60)}]
    agent = sac(vec(2, events=events), seeds=SEEDS)
    agent.learn(10)  # before updates are due
    with pytest.raises(NonFinite, match="every step of seed 2 so far blew up in task 0"):
        agent.learn(20)


# More tasks than fit into a byte


def test_buffers_and_memories_keep_the_ids_of_many_tasks() -> None:
    agent = sac(n_tasks=300, hidden_sizes=(16,), reset_buffer=False)
    for task in (255, 256, 299):
        fill(agent, 20, task)
    batch = agent.sample(200, randomness.METHOD)
    stored = agent.rows_of(batch)["task"]
    assert stored.unique().tolist() == [255, 256, 299]
    again = agent.batch_of(agent.rows_of(batch), randomness.METHOD)
    assert isinstance(again.task, Tensor) and torch.equal(again.task, stored.long())
    assert agent.sample(10, randomness.METHOD, 299).task == 299
    row = {"obs": 0, "action": 0, "reward": 0, "value": 0, "log_prob": 0, "over": 0, "kept": 1}
    for store in (ReplayBuffer(1, 1, 1, 1, np.int16), Rollout(1, 1, 1, 1, np.int16)):
        assert store.arrays["task"].dtype == np.int16
    rollout = ppo(n_tasks=300, hidden_sizes=(16,)).rollout
    rollout.add(task=np.int64(299), **row)  # type: ignore[arg-type]
    assert rollout.arrays["task"][0, 0] == 299


def test_an_agent_switches_to_task_256() -> None:
    agent = sac(method=method("agem"), n_tasks=300, hidden_sizes=(16,))
    agent.learn(30)
    agent.end_task()
    agent.start_task(299)
    fill(agent, 20, 299)
    agent.end_task()
    assert agent.method.state[memory.PREFIX + "task"][0].unique().tolist() == [0, 299]


def test_a_classifier_and_packnets_owners_know_many_tasks() -> None:
    stream = ToyStream(n_tasks=300, dim=4, examples=2)
    settings: dict[str, Any] = {"hidden_sizes": (40, 40), "batch_size": 4}
    learner = Classifier(stream, PackNet(retrain_steps=0), **settings)
    for task in range(300):
        learner.train_task(task, 0)
    owner = learner.method.state["owner.core.layers.1.weight"]
    assert owner.dtype == torch.int16 and int(owner.max()) == 299
    rows = learner.rows_of(learner.sample(5, randomness.METHOD, 299))
    assert rows["task"].unique().tolist() == [299]
    few = Classifier(ToyStream(), PackNet(retrain_steps=0), **settings)
    assert few.method.state["owner.core.layers.1.weight"].dtype == torch.uint8
