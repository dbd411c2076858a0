"""When tasks are evaluated, and with how many simulators."""

from __future__ import annotations

from typing import Any

import pytest

from clrl.config.evaluation import Evaluation, together
from clrl.envs.schedule import Schedule


def test_all_tasks_are_due_at_every_period_and_never_at_the_start() -> None:
    how = Evaluation(evals_per_task=4)
    due = [how.due(step, Schedule("ab", 100)) for step in range(0, 201, 5)]
    assert [5 * i for i, tasks in enumerate(due) if tasks] == list(range(25, 201, 25))
    assert due[5] == [0, 1]


@pytest.mark.parametrize(("evals", "last"), [(1, 1), (4, 1), (10, 1), (20, 2), (50, 5)])
def test_the_economical_schedule_is_the_current_task_and_all_where_the_end_is_averaged(
    evals: int, last: int
) -> None:
    how = Evaluation(evals_per_task=evals, tasks="economical")
    due = [how.due(step, Schedule("abc", 100 * evals)) for step in range(100, 300 * evals + 1, 100)]
    assert due[-last:] == [[0, 1, 2]] * last
    assert due[:-last] == ([[0]] * evals + [[1]] * evals + [[2]] * evals)[:-last]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evals_per_task": 0}, "evals_per_task is 0"),
        ({"stochastic_episodes": -1}, "stochastic_episodes is -1"),
        ({"stochastic_episodes": 0, "deterministic_episodes": 0}, "must not both be 0"),
        ({"tasks": "some"}, "tasks is 'some'; it must be all or economical"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(**settings)


def test_a_period_that_does_not_come_out_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="evals_per_task is 3; it must divide .* has 100"):
        Evaluation(evals_per_task=3).due(10, Schedule("a", 100))


def test_economical_evaluation_is_that_of_the_end() -> None:
    how, schedule = Evaluation(6, tasks="economical"), Schedule("ab", 60)
    due = [how.due(step, schedule, interleaved=True) for step in range(10, 121, 10)]
    assert due == [[]] * 11 + [[0, 1]]


@pytest.mark.parametrize(
    ("n_tasks", "simulators"), [(1, 24), (3, 24), (4, 20), (10, 8), (20, 4), (1000, 2)]
)
def test_of_80_simulators_each_task_has_2_to_24(n_tasks: int, simulators: int) -> None:
    assert together(n_tasks) == simulators
