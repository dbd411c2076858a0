"""Acting by compiled code is acting by torch, and an action depends on nothing but its row."""

import numpy as np
import pytest
import torch

from tests.agents.paths import needs_compiled_code
from tests.agents.tiny import ACTION_DIM, OBS_DIM, ppo, randomise

pytestmark = needs_compiled_code


def test_acting_is_that_of_torch() -> None:
    agent, plain = (ppo(seeds=(0, 1), n_tasks=3, update=way) for way in ("native", "torch"))
    randomise(agent)
    plain.load_state_dict(agent.state_dict())
    features = np.random.default_rng(0).normal(size=(2, OBS_DIM)).astype(np.float32)
    for number in range(3):
        agent.task = plain.task = number
        actions, expected = agent.explore(features), plain.explore(features)
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)
        for name, values in plain.acted.items():
            np.testing.assert_allclose(agent.acted[name], values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hide", [True, False])
def test_an_action_depends_on_its_row_only(hide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ppo(seeds=(0, 1, 2), n_tasks=3, update="native", hide_task_id=hide)
    randomise(agent)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 1030, OBS_DIM)).astype(np.float32)
    noise = rng.normal(size=(3, 1030, ACTION_DIM)).astype(np.float32)
    task = torch.from_numpy(rng.integers(0, 3, (3, 1030)))
    together = agent.act_on_features(features, task, noise)
    monkeypatch.delenv("CLRL_UPDATE", raising=False)
    alone = agent.take(1)
    for first, last in ((0, 1), (3, 5), (7, 24), (1000, 1030)):
        some = slice(first, last)
        few = agent.act_on_features(features[:, some], task[:, some], noise[:, some])
        assert np.array_equal(together[:, some], few)
        own = alone.act_on_features(features[1:2, some], task[1:2, some], noise[1:2, some])
        assert np.array_equal(few[1:2], own)
