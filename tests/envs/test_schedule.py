"""Where tasks start and end, for tasks of equal and of different lengths."""

from typing import Any

import numpy as np
import pytest
import torch

from clrl.envs.schedule import Schedule


def test_every_step_belongs_to_the_task_it_was_taken_in() -> None:
    schedule = Schedule("abc", [3, 1, 2])
    assert [schedule.task_at(step) for step in range(8)] == [0, 0, 0, 0, 1, 2, 2, 2]


def test_a_task_starts_where_the_one_before_it_ends() -> None:
    schedule = Schedule("abc", [3, 1, 2])
    assert [schedule.start(task) for task in range(3)] == [0, 3, 4]
    assert [schedule.end(task) for task in range(3)] == [3, 4, 6] == list(schedule.ends)
    assert schedule.changes == (3, 4) and schedule.total == 6


def test_one_length_serves_all_tasks_and_is_written_as_one_number() -> None:
    assert Schedule("ab", 5) == Schedule("ab", [5, 5])
    assert Schedule("ab", [5, 5]).steps_per_task == 5
    assert Schedule("ab", [5, 6]).steps_per_task == (5, 6)


def test_every_task_has_as_many_evaluations_whatever_its_length() -> None:
    assert Schedule("ab", [10, 4]).evaluations(2) == (5, 10, 12, 14)
    with pytest.raises(ValueError, match="evals_per_task is 3.* b has 4"):
        Schedule("ab", [9, 4]).evaluations(3)


@pytest.mark.parametrize(
    ("names", "lengths", "message"),
    [
        ([], 5, "at least one task"),
        (["a"], 0, "whole numbers >= 1, got 0"),
        (["a"], 2.5, "got 2.5"),
        (["a"], True, "got True"),
        (["a", "b"], [5], "one per task .2., got 1"),
        (["a", "b"], [5, -1], "got -1"),
    ],
)
def test_what_is_no_schedule_is_refused(names: list[str], lengths: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(names, lengths)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lengths",
    [np.array([100, 50]), [np.int64(100), np.float64(50)], torch.tensor([100, 50]), (100.0, 50)],
)
def test_lengths_and_names_of_any_type_become_plain_ones(lengths: Any) -> None:
    names: Any = np.array(["reach", "push"])
    schedule = Schedule(names, lengths)
    assert schedule == Schedule(["reach", "push"], [100, 50])
    assert {type(value) for value in schedule.lengths + schedule.names} == {int, str}


@pytest.mark.parametrize("lengths", [np.array(7), np.int64(7), torch.tensor(7), 7.0])
def test_one_length_for_all_may_have_any_type(lengths: Any) -> None:
    assert Schedule(["a", "b"], lengths).lengths == (7, 7)


@pytest.mark.parametrize("lengths", [2.5, "90", None, True, [10, None], np.array([1.5, 2]), 0, -1])
def test_what_is_no_length_is_refused(lengths: Any) -> None:
    with pytest.raises(ValueError, match="steps_per_task must be"):
        Schedule(["a", "b"], lengths)
