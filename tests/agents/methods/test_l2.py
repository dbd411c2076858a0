"""L2: every protected parameter is as important as tasks are finished."""

import pytest
import torch

from clrl.agents.methods.l2 import L2
from tests.agents.tiny import after_a_task, sac


@pytest.mark.parametrize("accumulate, expected", [(True, [1, 2, 3]), (False, [1, 1, 1])])
def test_the_importance_of_l2_is_the_number_of_finished_tasks(
    accumulate: bool, expected: list[int]
) -> None:
    agent = sac(method=L2(accumulate=accumulate), n_tasks=4)
    for task, value in enumerate(expected):
        agent.start_task(task)
        agent.end_task()
        importances = [t for name, t in agent.method.state.items() if "importance" in name]
        assert all(bool((t == value).all()) for t in importances)


def test_the_penalty_is_coef_times_the_squared_way_from_the_last_tasks_weights() -> None:
    agent = after_a_task(L2(coef=3.0))
    for parameter in agent.protected_parameters().values():
        parameter.data[0] += 0.5
    count = sum(parameter[0].numel() for parameter in agent.protected_parameters().values())
    penalty = agent.method.penalty()
    assert penalty is not None
    torch.testing.assert_close(penalty, torch.tensor([3.0 * 0.25 * count, 0.0]))
