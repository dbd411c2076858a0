"""The run directory: what is written survives, and what is damaged is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.errors import ConfigError, DamagedData
from clrl.results.reading import (
    ALL,
    WORLDS_FILE,
    differing_worlds,
    find_runs,
    read_run,
    read_worlds,
)
from tests.clrl.synthetic import line, random_success, write_run

TASKS = ("push-v3", "reach-v3")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", random_success(2, 3, 2), TASKS, seeds=(4, 7))


def rewrite(run: Path, number: int, **changes: Any) -> None:
    """Change values of one line (numbers from 1)."""
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **changes})
    path.write_text("\n".join(lines) + "\n")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    success = random_success(2, 3, 2)
    success[0, 1, 1] = np.nan

    run = read_run(write_run(tmp_path / "run", success, TASKS, seeds=(4, 7)))

    np.testing.assert_array_equal(run.success, success)
    np.testing.assert_array_equal(run.deterministic, success)
    np.testing.assert_array_equal(run.success_last, success / 2)
    np.testing.assert_array_equal(run.returns, 1000 * success)
    np.testing.assert_array_equal(run.steps, [1000, 2000, 3000, 4000, 5000, 6000])
    assert (run.seeds, run.tasks, run.state) == ((4, 7), TASKS, "complete")


def test_what_is_not_known_is_nan_and_evaluated_all_the_same(run: Path) -> None:
    rewrite(run, 1, success=None, success_last=None, **{"return": None})

    read = read_run(run)

    for values in (read.scores, read.success, read.success_last, read.returns):
        assert np.isnan(values[0, 0, 0]) and np.isnan(values).sum() == 1
    assert read.evaluated.all() and not np.isnan(read.deterministic).any()


def silence(run: Path, key: str = "success", lines: slice = slice(None)) -> None:
    """Make a number of some lines null, as a world writes it that does not report it."""
    path = run / "metrics.jsonl"
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    for row in rows[lines]:
        row[key] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_world_that_reports_no_success_is_measured_by_its_returns(run: Path) -> None:
    silence(run)
    read = read_run(run)
    assert read.score.name == "return" and read.config["sequence"]["score"] == "success"
    np.testing.assert_array_equal(read.scores, read.returns)


@pytest.mark.parametrize("known", [0, 1, -1])
def test_a_single_success_keeps_success_the_measure(run: Path, known: int) -> None:
    """Be it of a deterministic episode: the world does report it."""
    success = json.loads((run / "metrics.jsonl").read_text().splitlines()[known])["success"]
    silence(run)
    rewrite(run, known % 24 + 1, success=success)
    read = read_run(run)
    assert read.score.name == "success" and np.isnan(read.scores).sum() >= 11


def test_nothing_known_is_no_return_either(run: Path) -> None:
    silence(run)
    silence(run, "return")
    assert read_run(run).score.name == "success"


@pytest.mark.parametrize("score", ["success", "return", "accuracy"])
def test_scores_are_what_the_sequence_is_measured_by(tmp_path: Path, score: str) -> None:
    values = random_success(2, 3, 2)

    run = read_run(write_run(tmp_path / "run", values, TASKS, sequence={"score": score}))

    np.testing.assert_array_equal(run.scores, values)
    assert run.score.name == score
    assert np.isnan(run.success).all() == (score != "success")
    np.testing.assert_array_equal(run.returns, {"success": 1000 * values, "return": values}.get(
        score, np.full_like(values, np.nan)))  # fmt: skip


def test_tasks_may_differ_in_length(tmp_path: Path) -> None:
    values = random_success(1, 3, 2)

    run = read_run(write_run(
        tmp_path / "run", values, TASKS, sequence={"steps_per_task": [30, 1200]}
    ))  # fmt: skip

    assert run.steps.tolist() == [10, 20, 30, 430, 830, 1230]
    assert run.schedule.changes == (30,)
    np.testing.assert_array_equal(run.scores, values)


def test_the_last_recorded_step_is_known(tmp_path: Path) -> None:
    values = random_success(1, 3, 2)
    values[:, 4:] = np.nan
    assert read_run(write_run(tmp_path / "a", values, TASKS)).last_step == 4000
    assert read_run(write_run(tmp_path / "b", values * np.nan, TASKS)).last_step == 0


@pytest.mark.parametrize("torn", [b'{"seq": 24, "st', b"\x00\x00\x00\n", b"\xff\xfe"])
def test_a_torn_last_line_is_ignored(run: Path, torn: bytes) -> None:
    expected = read_run(run)
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(torn)

    np.testing.assert_array_equal(read_run(run).success, expected.success)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq": 9}, "seq is 9, not 4: lines are missing"),
        ({"step": 1500}, "step 1500 is no step at which"),
        ({"step": 7000}, "step 7000 is no step at which"),
        ({"step": 0}, "step 0 is no step at which"),
        ({"step": 1000.0}, "step 1000.0 is no step at which"),
        ({"task": 2}, "task 2 is not in 0..1"),
        ({"task": -1}, "task -1 is not in 0..1"),
        ({"task_name": "hammer-v3"}, "task_name 'hammer-v3' is not the name of task 1"),
        ({"seed": 5}, r"seed 5 is not among the run's seeds \[4, 7\]"),
        ({"mode": "greedy"}, "mode 'greedy' is not one of"),
        ({"episodes": 0}, "episodes 0 is not"),
        ({"success": 1.1}, "success 1.1 is not in 0..1"),
        ({"accuracy": 1.5}, "accuracy 1.5 is not in 0..1"),
        ({"success": float("nan")}, "success nan is not in 0..1"),
        ({"success_last": "0.1"}, "success_last '0.1' is not in 0..1"),
        ({"return": float("inf")}, "return inf is not a finite number"),
        ({"task": 0, "task_name": "push-v3"}, "seed 4, stochastic at step 1000 is there twice"),
    ],
)
def test_a_wrong_line_is_named(run: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(run, 5, **changes)

    with pytest.raises(DamagedData, match=f"metrics.jsonl: line 5: .*{message}"):
        read_run(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seq": 4, "step', "line 5 is not JSON"),
        ("", "line 5 is not JSON"),
        ("[4]", "line 5 is not a JSON object"),
        ('{"seq": 4, "step": 1000}', "line 5 has no 'task'"),
    ],
)
def test_a_bad_line_that_is_not_the_last_is_named(run: Path, text: str, message: str) -> None:
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], text, *lines[5:]]) + "\n")

    with pytest.raises(DamagedData, match=message) as error:
        read_run(run)

    assert str(path) in str(error.value)


def test_a_lost_line_is_noticed(run: Path) -> None:
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:6] + lines[7:]))

    with pytest.raises(DamagedData, match="line 7: seq is 7, not 6"):
        read_run(run)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.yaml", "sequence: [", "config.yaml cannot be read"),
        ("config.yaml", "seeds: [0]", "config.yaml has no 'sequence'"),
        ("config.yaml", "- 1", "config.yaml is not the configuration of a run"),
        ("run.json", "{", "run.json cannot be read"),
        ("run.json", "3", "run.json is not a JSON object"),
    ],
)
def test_a_damaged_file_is_named(run: Path, name: str, text: str, message: str) -> None:
    (run / name).write_text(text)

    with pytest.raises(DamagedData, match=message):
        read_run(run)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("evals_per_task: 3", "evals_per_task: 7", "evals_per_task is 7; it must divide"),
        ("evals_per_task: 3", "evals_per_task: 0", "evals_per_task is 0; it must be"),
        ("steps_per_task: 3000", "steps_per_task: [3000]", "one number or one per task"),
        ("steps_per_task: 3000", "steps_per_task: []", "one number or one per task"),
        ("steps_per_task: 3000", "steps_per_task: [3000, 0]", "whole numbers >= 1, got 0"),
        ("score: success", "score: fame", "score is 'fame'; it is one of success, return, acc"),
        ("reveals: task", "reveals: all", "reveals is 'all'; it is one of task, boundaries, noth"),
        ("score_range: null", "score_range: [1, 1]", "null or .low, high."),
        ("score_range: null", "score_range: 3", "null or .low, high."),
        ("- 7", "- 4", "has a seed twice"),
        ("seeds:\n- 4\n- 7", "seeds: []", "not empty"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    run: Path, old: str, new: str, message: str
) -> None:
    path = run / "config.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(DamagedData, match=message):
        read_run(run)


def test_a_run_without_run_json_is_of_unknown_state(run: Path) -> None:
    (run / "run.json").unlink()
    assert read_run(run).state == "unknown"


def test_runs_are_found_by_their_content_and_once(tmp_path: Path) -> None:
    success = random_success(1, 2, 2)
    deep = write_run(tmp_path / "a" / "deep", success, TASKS)
    other = write_run(tmp_path / "b", success, TASKS)
    inner = other / "wandb" / "files"  # wandb keeps a config.yaml of its own
    inner.mkdir(parents=True)
    (inner / "config.yaml").touch()
    (inner / "metrics.jsonl").touch()

    assert find_runs([tmp_path / "b", tmp_path]) == [other, deep]


def test_a_path_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        find_runs([tmp_path])
    with pytest.raises(ConfigError, match="nowhere is not a directory"):
        find_runs([tmp_path / "nowhere"])


def test_lines_are_those_that_a_run_writes() -> None:
    assert list(line(1000, 0, "push-v3", 0, "stochastic", 0.5)) == [
        *("step", "task", "task_name", "seed", "mode"),
        *("episodes", "success", "success_last", "return"),
    ]


def numbers_of(reward: float) -> dict[str, list[Any]]:
    return {"observations": [[0.0], [1.0]], "rewards": [0.0, reward], "ends": [0, 0],
            "successes": [-1.0]}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ({ALL: [numbers_of(1)]}, {ALL: [numbers_of(1)]}, None),
        (
            {ALL: [numbers_of(1), numbers_of(2)]},
            {ALL: [numbers_of(1), numbers_of(3)]},
            "world of task 1 gives",
        ),
        ({ALL: [numbers_of(1)]}, {ALL: [numbers_of(1)] * 2}, "1 worlds instead of 2"),
        ({"0": [numbers_of(1)]}, {"1": [numbers_of(9)]}, None),  # of other seeds
        (
            {"0": [numbers_of(1)], "1": [numbers_of(2)]},
            {"1": [numbers_of(9)]},
            "reward 2 instead of 9",
        ),
        (None, {ALL: [numbers_of(1)]}, None),
        (None, None, None),
    ],
)
def test_worlds_differ_where_both_are_known(one: Any, other: Any, text: str | None) -> None:
    found = differing_worlds(one, other)
    assert found is None if text is None else text in str(found)


def test_numbers_of_worlds_are_read_back(tmp_path: Path) -> None:
    assert read_worlds(tmp_path) is None
    (tmp_path / WORLDS_FILE).write_text(json.dumps({ALL: [numbers_of(1)]}))
    assert read_worlds(tmp_path) == {ALL: [numbers_of(1)]}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"all": 3}', '{"all": [[]]}', '{"all": [{"rewards": [1]}]}',
             '{"all": [{"observations": ["a"], "rewards": [], "ends": []}]}'],
)  # fmt: skip
def test_a_damaged_file_of_worlds_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / WORLDS_FILE).write_text(text)
    with pytest.raises(DamagedData, match=f"{WORLDS_FILE} cannot be read"):
        read_worlds(tmp_path)
