"""L2: every protected parameter is as important as tasks are finished."""

import pytest

from clrl.agents.methods.l2 import L2
from tests.agents.tiny import sac


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
