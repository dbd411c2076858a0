"""The same world: equal name and equal settings of the family, at the task's own place."""

from pathlib import Path
from typing import Any

import pytest

from clrl.results.reading import RunData, read_run
from clrl.results.tables import table
from clrl.results.worlds import has_halves, same_world, world
from tests.clrl.synthetic import random_success, write_run

TASKS = ("push-v3", "reach-v3")


def read(directory: Path, tasks: tuple[str, ...] = TASKS, **sequence: Any) -> RunData:
    success = random_success(1, 3, len(tasks))
    return read_run(write_run(directory, success, tasks, sequence=sequence))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"steps_per_task": 6000}, True),
        ({"steps_per_task": [600, 3000]}, True),
        ({"reveals": "nothing"}, True),
        ({"score": "return", "score_range": [0, 1]}, True),
        ({"name": "another"}, True),
        ({"interleaved": True}, True),
        ({"horizon": 500}, False),
        ({"family": "custom"}, False),
        ({"worlds": ["a", "b"]}, False),
        ({"identity": [{"spec": "a"}, {"spec": "b"}]}, False),
    ],
    ids=str,
)
def test_a_world_is_its_name_and_its_familys_settings(
    tmp_path: Path, change: dict[str, Any], same: bool
) -> None:
    one, other = read(tmp_path / "a"), read(tmp_path / "b", **change)
    assert same_world(one, 0, other, 0) == same_world(other, 1, one, 1) == same
    assert not same_world(one, 0, other, 1)


def test_settings_with_an_entry_per_task_are_compared_at_its_place(tmp_path: Path) -> None:
    both = read(tmp_path / "a", family="gymnasium", identity=[{"g": 1}, {"g": 2}])
    second = read(tmp_path / "b", ("reach-v3",), family="gymnasium", identity=[{"g": 2}])
    assert same_world(both, 1, second, 0)
    assert world(both.config, 0)["identity"] == {"g": 1}
    third = read(tmp_path / "c", ("reach-v3",), family="gymnasium", identity=[{"g": 1}])
    assert not same_world(both, 1, third, 0)


def test_two_tasks_of_one_name_and_two_worlds_have_a_reference_each(tmp_path: Path) -> None:
    told: dict[str, Any] = {"family": "gymnasium"}
    names, worlds = ("pendulum", "pendulum"), [{"g": 1}, {"g": 2}]
    run = random_success(2, 3, 2)
    write_run(tmp_path / "run", run, names, sequence={**told, "identity": worlds})
    for k, identity in enumerate(worlds):
        curves = random_success(2, 3, 1, key=k)
        told_one = {**told, "identity": [identity]}
        write_run(tmp_path / f"reference-{k}", curves, names[:1], sequence=told_one)
        result = table([tmp_path])
        if k == 0:
            (problem,) = result.problems
            assert "not there: pendulum (task 1)." in problem

    assert result.problems == []
    (row,) = result.sections[0].rows
    found = row.json()["forward_transfer"]["reference_directories"]
    assert found == {f"pendulum (task {k})": [str(tmp_path / f"reference-{k}")] for k in range(2)}
    assert not has_halves(row.group.runs[0])


@pytest.mark.parametrize(
    ("tasks", "halves"),
    [(TASKS * 2, True), (("a", "a"), True), (TASKS, False), (("a",), False), (("a",) * 3, False)],
)
def test_halves_repeat_each_other(tmp_path: Path, tasks: tuple[str, ...], halves: bool) -> None:
    assert has_halves(read(tmp_path / "run", tasks)) == halves
