"""Reset: every task gets a fresh learner."""

import torch

from clrl.agents.classifier import Classifier
from clrl.agents.methods.reset import Reset
from clrl.envs.streams import ToyStream
from tests.agents.tiny import sac, same_bits, weights

SEEDS = (0, 1)


def test_the_next_task_starts_with_what_a_fresh_agent_has() -> None:
    agent, fresh = sac(method=Reset(), seeds=SEEDS), sac(seeds=SEEDS)
    agent.learn(60)
    trained = weights(agent)
    agent.end_task()
    assert all(same_bits(value, trained[name]) for name, value in weights(agent).items())
    agent.start_task(1)
    fresh.reinitialise()  # the second draw of the weights' stream, as the agent's
    expected = weights(fresh)
    assert all(same_bits(value, expected[name]) for name, value in weights(agent).items())
    kernel = "actor.core.layers.0.weight"
    assert not torch.equal(trained[kernel], expected[kernel])
    assert torch.equal(agent.flats["target"].flat, agent.flats["critic"].flat)
    assert agent.buffer.size.tolist() == [0, 0]
    for optimizer in agent.optimizers.values():
        assert optimizer.step_count == 0 and not optimizer.exp_avg.any()


def test_nothing_of_the_first_task_is_left_in_a_classifier() -> None:
    stream = ToyStream(n_tasks=2, examples=200)
    learner = Classifier(stream, Reset(), seeds=range(3))
    learner.train_task(0, steps=200)
    assert learner.accuracy(0).mean() > 0.7
    learner.train_task(1, steps=200)
    assert learner.accuracy(1).mean() > 0.7
    assert learner.accuracy(0).mean() < 0.6


def test_a_task_starts_with_a_fresh_step_count_also_under_the_original_s_parity() -> None:
    agent = sac(method=Reset(), seeds=SEEDS, parity="original").learn(60)
    assert {o.step_count for o in agent.optimizers.values()} != {0}
    agent.end_task()
    agent.start_task(1)
    for optimizer in agent.optimizers.values():
        assert optimizer.step_count == 0 and not optimizer.exp_avg_sq.any()
    other = sac(seeds=SEEDS, parity="original").learn(60)
    other.end_task()
    other.start_task(1)
    assert {o.step_count for o in other.optimizers.values()} != {0}
