"""What engines have in common: rows in blocks, and what they refuse to act on."""

from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents.native.engine import in_blocks
from clrl.agents.randomness import METHOD
from tests.agents.paths import needs_compiled_code
from tests.agents.tiny import ACTION_DIM, OBS_DIM, ppo, sac

pytestmark = needs_compiled_code


def test_many_rows_come_in_blocks_with_their_tasks() -> None:
    x, ids = torch.arange(2500.0).view(1, 2500, 1), torch.arange(2500).view(1, 2500)
    blocks = list(in_blocks(x, ids, 2 * x))
    assert [block[0].shape[1] for block in blocks] == [1024, 1024, 452]
    for some, task, more in blocks:
        assert torch.equal(some[..., 0].long(), task) and torch.equal(more, 2 * some)
    assert [task for _, task in in_blocks(x, 3)] == [3, 3, 3]


@pytest.mark.parametrize("make", [ppo, sac])
def test_features_and_tasks_that_are_not_there_are_refused(make: Any) -> None:
    agent, noise = make(seeds=(0, 1), update="native"), np.zeros((2, 4, ACTION_DIM))
    features = np.zeros((2, 4, OBS_DIM), np.float32)
    assert agent.act_on_features(features, 1, noise).shape == (2, 4, ACTION_DIM)
    with pytest.raises(ValueError, match=r"features are \(2, 4, 2\); allowed are \(2, 4, 3\)"):
        agent.act_on_features(features[:, :, 1:], 1, noise)
    for task in (2, -1, torch.full((2, 4), 2)):
        with pytest.raises(ValueError, match="allowed are 0 to 1"):
            agent.act_on_features(features, task, noise)


@pytest.mark.parametrize("make", [ppo, sac])
def test_gradients_go_only_where_they_fit(make: Any) -> None:
    agent = make(seeds=(0, 1), update="native").learn(40)
    batch, part = agent.sample(16, METHOD), agent.protected_part
    flat = agent.optimizers[part].grad
    for into in ({part: flat[1:]}, {part: flat.double()}, {"other": flat}):
        with pytest.raises(ValueError, match="is not like the gradients of one of"):
            agent.engine().gradients_of(agent, batch, into)
