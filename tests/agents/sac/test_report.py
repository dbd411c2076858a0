"""The report of a block of updates is of the time of the block, whenever it is read."""

from typing import Any

import pytest
import torch

from clrl.agents.methods.multitask import MultiTask
from tests.agents.tiny import randomise, sac, same_bits

SEEDS = (0, 1)


@pytest.mark.parametrize("settings", [{}, {"popart": True}, {"exploration": "best_return"}])
def test_a_report_read_late_is_the_one_read_at_once(settings: dict[str, Any]) -> None:
    early, late = (sac(seeds=SEEDS, n_tasks=3, **settings).learn(120) for _ in range(2))
    assert early.task == late.task == 1
    expected = early.report
    names = ["actor/loss", "critic/loss", "alpha/loss", "gradient/rl", "alpha/value"]
    names += ["popart/mean", "popart/scale"] if "popart" in settings else []
    names += ["exploration/head"] if "exploration" in settings else []
    assert list(expected) == names
    alpha = early.log_alpha.value.detach().exp()[:, 1]
    assert same_bits(expected["alpha/value"], alpha) and len(set(alpha.tolist())) == 2
    randomise(late)
    late.task = 2
    assert all(same_bits(late.report[name], value) for name, value in expected.items())
    assert late.report is late.report


def test_interleaved_tasks_report_the_mean_of_their_coefficients() -> None:
    agent = sac(method=MultiTask(), seeds=SEEDS, n_tasks=2).learn(60)
    expected = agent.log_alpha.value.detach().exp().mean(1)
    assert torch.equal(agent.report["alpha/value"], expected)


def test_a_report_that_is_set_replaces_what_was_noted() -> None:
    agent, other = (sac(seeds=SEEDS).learn(30) for _ in range(2))
    other.learn(10)
    other.load_state_dict(agent.state_dict())
    assert other.report.keys() == agent.report.keys()
    assert all(same_bits(other.report[name], value) for name, value in agent.report.items())
