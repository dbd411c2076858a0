"""Tasks are the same world if that is what they are; their names say nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml

from clrl import ContinualSAC, Evaluation, SeedVecEnv, TaskSequence, table, train
from clrl.errors import ConfigError
from clrl.results.reading import RunData, read_run
from clrl.results.worlds import (
    UNKNOWN,
    by_worlds,
    difference,
    has_halves,
    is_unknown,
    same_world,
    world,
)
from tests.clrl.synthetic import random_success, write_run
from tests.envs.walk import Walk


class Paid(Walk):
    """A walk with another reward, and the same observations."""

    pay = 1.0

    def step(self, action: np.ndarray) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, self.pay * reward, *rest


def paid(pay: float) -> gym.Env:
    env = Paid()
    env.pay = pay
    return env


def pendulum(g: float) -> Any:
    return partial(gym.make, "Pendulum-v1", g=g)


def run(
    out: Path,
    makers: Sequence[Any],
    seed: int = 0,
    names: Any = None,
    method: Any = None,
    **told: Any,
) -> Path:
    env = SeedVecEnv([partial(TaskSequence, makers, 12, names, **told)], seeds=[seed])
    small: Any = {
        "hidden_sizes": (8,),
        "exploration_steps": 4,
        "learning_starts": 4,
        "train_freq": 4,
    }
    agent = ContinualSAC(env, method, seeds=[seed], device="cpu", batch_size=4, **small)
    train(agent, out, Evaluation(2, 1, 0))
    return out


PAIRS = [
    ([pendulum(10.0), pendulum(5.0)], [pendulum(1.0), pendulum(2.0)]),
    pytest.param(
        [pendulum(10.0), pendulum(5.0)], [pendulum(5.0), pendulum(10.0)], marks=pytest.mark.slow
    ),
    ([lambda: paid(1.0)], [lambda: paid(2.0)]),  # no keyword shows it
    pytest.param([Walk], [partial(Walk, length=4)], marks=pytest.mark.slow),
    pytest.param([Walk], [Paid], marks=pytest.mark.slow),
    ([pendulum(10.0)], [partial(gym.make, "Pendulum-v1", g=10.0, max_episode_steps=5)]),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_runs_of_other_worlds_are_no_row_together(tmp_path: Path, one: Any, other: Any) -> None:
    names = [f"task-{k}" for k in range(len(one))]
    run(tmp_path / "a", one, 0, names)
    run(tmp_path / "b", other, 1, names)
    run(tmp_path / "c", other, 0, names)  # of a seed that the other worlds have, too
    result = table([tmp_path])
    counts = sorted(row.group.seeds for section in result.sections for row in section.rows)
    assert counts == [(0,), (0, 1)]
    if len({section.heading for section in result.sections}) == 1:
        assert "are others: " in result.markdown()


def test_equal_worlds_are_a_row_however_they_are_made(tmp_path: Path) -> None:
    run(tmp_path / "a", [lambda: paid(2.0)], 0)
    run(tmp_path / "b", [lambda: paid(1.0 + 1.0)], 1)
    (section,) = table([tmp_path]).sections
    assert [row.group.seeds for row in section.rows] == [(0, 1)]
    assert difference(read_run(tmp_path / "a"), read_run(tmp_path / "b")) is None


def test_a_reference_is_found_by_its_world_and_not_by_its_name(tmp_path: Path) -> None:
    from clrl import EWC

    worlds = [lambda: paid(1.0), lambda: paid(3.0)]
    run(tmp_path / "ewc", worlds, 0, ["slow", "fast"], EWC())
    run(tmp_path / "r0", [lambda: paid(3.0)], 0)  # called task-0
    run(tmp_path / "r1", [lambda: paid(1.0)], 0, ["whatever"])
    result = table([tmp_path])
    (section,) = result.sections
    (row,) = section.rows
    assert {task: g.directories for task, g in row.references.groups.items()} == {
        0: [str(tmp_path / "r1")], 1: [str(tmp_path / "r0")],
    }  # fmt: skip
    assert not result.problems


def test_a_run_of_the_same_name_is_no_reference_of_another_world(tmp_path: Path) -> None:
    from clrl import EWC

    run(tmp_path / "ewc", [lambda: paid(1.0), lambda: paid(3.0)], 0, ["a", "b"], EWC())
    run(tmp_path / "r0", [lambda: paid(1.0)], 0, ["a"])
    run(tmp_path / "r1", [lambda: paid(9.0)], 0, ["b"])
    result = table([tmp_path])
    rows = {row.group.tasks: row for section in result.sections for row in section.rows}
    row = rows["a", "b"]
    assert row.references.missing == (1,) and np.isnan(row.forward_transfer.value)
    assert ("b",) in rows  # it does not disappear
    assert "is no reference for b: its world is another" in result.markdown()


def older(directory: Path) -> None:
    """Make a record look as one of a version that did not know its worlds."""
    (directory / "worlds.json").unlink()
    path = directory / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for key in ("identity", "max_episode_steps", "per_seed"):
        del config["sequence"][key]
    path.write_text(yaml.safe_dump(config))


def test_records_without_their_worlds_join_only_each_other(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        run(tmp_path / name, [Walk], seed)
    for name in ("a", "b"):
        older(tmp_path / name)
    assert is_unknown(read_run(tmp_path / "a")) and not is_unknown(read_run(tmp_path / "c"))
    sections = table([tmp_path]).sections
    assert [[row.group.seeds for row in section.rows] for section in sections] == [[(0, 1)], [(2,)]]
    assert UNKNOWN in sections[0].notes and UNKNOWN not in sections[1].notes
    assert not same_world(read_run(tmp_path / "a"), 0, read_run(tmp_path / "c"), 0)
    assert same_world(read_run(tmp_path / "a"), 0, read_run(tmp_path / "b"), 0)


def test_worlds_of_every_seed_stand_alone_where_no_function_is_named(tmp_path: Path) -> None:
    run(tmp_path / "a", [lambda: paid(1.0)], 0, worlds="per_seed")
    run(tmp_path / "b", [lambda: paid(1.0)], 1, worlds="per_seed")
    groups = by_worlds(map(read_run, (tmp_path / "a", tmp_path / "b")), lambda run: 0)
    assert [len(members) for members in groups] == [1, 1]


def test_the_same_seed_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    run(tmp_path / "a", [Walk], 0)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError, match="seed 0 of the same configuration is in .*a and in .*b"):
        table([tmp_path])


def test_halves_repeat_by_their_worlds(tmp_path: Path) -> None:
    worlds = [lambda: paid(1.0), lambda: paid(3.0)]
    run(tmp_path / "a", worlds * 2, 0, ["a", "b", "c", "d"])
    run(tmp_path / "b", [*worlds, *worlds[::-1]], 0, ["a", "b", "a", "b"])
    assert has_halves(read_run(tmp_path / "a")) and not has_halves(read_run(tmp_path / "b"))


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
def test_halves_of_our_worlds_repeat_by_name(
    tmp_path: Path, tasks: tuple[str, ...], halves: bool
) -> None:
    assert has_halves(read(tmp_path / "run", tasks)) == halves


class Easy(Walk):
    def step(self, action: np.ndarray) -> Any:
        *rest, _ = super().step(action)
        return *rest, {"success": 1.0}


def easy(success: bool) -> gym.Env:
    env = Easy()
    if not success:
        env.step = lambda action: (*Walk.step(env, action)[:4], {"success": 0.0})  # type: ignore
    return env


def test_what_counts_as_success_makes_another_world(tmp_path: Path) -> None:
    run(tmp_path / "a", [lambda: easy(True)], score="success")
    with pytest.raises(ConfigError, match="other worlds: the world of task 0 gives the success"):
        run(tmp_path / "a", [lambda: easy(False)], score="success")


def test_worlds_of_every_seed_are_nobody_s_references_by_name(tmp_path: Path) -> None:
    run(tmp_path / "a", [lambda: paid(1.0), lambda: paid(2.0)], 0, ["x", "y"], worlds="per_seed")
    run(tmp_path / "r", [lambda: paid(9.0)], 0, ["x"], worlds="per_seed")
    rows = [row for section in table([tmp_path]).sections for row in section.rows]
    assert len(rows) == 2 and all(not row.references.groups for row in rows)
