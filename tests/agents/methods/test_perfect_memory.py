"""Perfect memory: training draws from everything ever seen."""

from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.methods.perfect_memory import PerfectMemory
from clrl.envs.streams import ToyStream
from tests.agents.tiny import differences, sac


def test_perfect_memory_keeps_every_task_and_a_seed_alone_is_the_seed_beside_others() -> None:
    settings: dict[str, Any] = {"buffer_size": 20, "batch_size": 16, "hidden_sizes": (32, 32)}
    settings |= {"n_tasks": 2, "steps_per_task": 30}
    both, alone = (sac(method=PerfectMemory(), seeds=s, **settings) for s in ((4, 9), (9,)))
    for agent in (both, alone):
        agent.learn(60)
    assert sorted(set(both.buffer.arrays["task"].ravel().tolist())) == [0, 1]
    assert both.buffer.position.tolist() == [60, 60]
    assert differences(both.state_dict(), alone.state_dict(), 1, 0) == []


def test_perfect_memory_has_the_published_settings_and_says_where_it_does_not_work() -> None:
    settings = PerfectMemory.learner_defaults["sac"]
    assert settings["buffer_size"] == 20_000_000 and settings["batch_size"] == 512
    with pytest.raises(ValueError, match="on-policy"):
        PerfectMemory.check_learner("ppo")


def test_the_classifier_replays_all_tasks_seen_in_equal_parts() -> None:
    learner = Classifier(ToyStream(n_tasks=3, examples=20), PerfectMemory(), seeds=(0, 1))
    learner.train_task(0, steps=1)
    learner.train_task(1, steps=1)
    batch = learner.sample(4_000, randomness.METHOD)
    assert isinstance(batch.task, torch.Tensor)
    counts = torch.stack([(batch.task == task).sum(1) for task in range(3)])
    assert counts[2].tolist() == [0, 0]
    assert bool(((counts[:2] - 2_000).abs() < 150).all())
    inputs, labels = learner.stream.task(1, 1)
    row = int((batch.task[1] == 1).nonzero()[0])
    (place,) = np.flatnonzero((inputs[:20] == batch.inputs[1, row].numpy()).all(1))
    assert labels[place] == batch.labels[1, row]
