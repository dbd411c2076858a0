"""Where tasks start and end, for tasks of equal and of different lengths."""

import pytest

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
