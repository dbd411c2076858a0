"""Tables: what is joined, what is matched, what is left out and said."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clrl.errors import ConfigError, DamagedData
from clrl.results.metrics import auc, forgetting, performance
from clrl.results.notes import NO_SUCCESS
from clrl.results.statistics import fresh_sampler, mean_interval
from clrl.results.tables import Table, table
from clrl.results.told import NOTE
from tests.clrl.results.test_metrics import REFERENCES, SUCCESS
from tests.clrl.synthetic import USES_NOTHING, economical, random_success, write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")
METHODS = {
    "finetuning": SimpleNamespace(uses_task_boundaries=False, uses_task_id=False),
    "ewc": SimpleNamespace(uses_task_boundaries=True, uses_task_id=False),
}


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clrl.agents.methods.METHODS", METHODS)


def write_references(root: Path, tasks: tuple[str, ...] = TASKS, **changes: Any) -> None:
    """Two runs per task whose six equal rates are the worked example's areas."""
    for task, name in enumerate(TASKS):
        if name in tasks:
            curves = np.repeat(REFERENCES[:, task, None, None], 6, axis=1)
            write_run(root / name, curves, [name], **changes)


def row(result: Table, index: int = 0) -> dict[str, Any]:
    """A row of the first table's JSON."""
    found = json.loads(result.json())["tables"][0]["rows"][index]
    assert isinstance(found, dict)
    return found


def test_worked_example_comes_out_of_run_directories(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(
            tmp_path / f"ewc-{seed}",
            SUCCESS[[seed]],
            TASKS,
            seeds=[seed],
            method={"name": "ewc", "coef": 1e4},
        )
    write_references(tmp_path / "references")

    result = table([tmp_path], window=5)

    assert "| ewc | 2 | 0.63 [0.59, 0.67] | 0.02 [-0.05, 0.09] | 0.17 [0.10, 0.23] | -0.03 | " in (
        result.markdown()
    )
    numbers = row(result)
    assert numbers["performance"]["interval"] == pytest.approx([0.586667, 0.673333], abs=5e-7)
    assert numbers["forgetting"]["interval"] == pytest.approx([-0.046667, 0.086667], abs=5e-7)
    assert numbers["forward_transfer"]["value"] == pytest.approx(0.1701926385, abs=5e-11)
    assert numbers["forward_transfer"]["interval"] == pytest.approx(
        [0.0954106280, 0.2327380952], abs=5e-11
    )
    assert numbers["forward_transfer"]["per_task"] == pytest.approx(
        [0.0441177, 0.3684211, 0.0980392], abs=6e-8
    )
    assert numbers["forward_transfer"]["unnormalized"] == pytest.approx(0.1)
    assert numbers["performance"]["last_evaluation"] == pytest.approx(0.65)
    assert numbers["forgetting"]["last_evaluation"] == pytest.approx(0.30)
    assert numbers["forgetting"]["without_last_task"] == pytest.approx(0.03)
    assert result.problems == []


def test_rows_stand_in_the_order_of_the_methods_with_what_these_use(tmp_path: Path) -> None:
    for name in ("ewc", "finetuning", "from-the-future"):
        write_run(tmp_path / name, SUCCESS, TASKS, method={"name": name}, learner=USES_NOTHING)

    text = table([tmp_path]).markdown()

    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [[line[0], *line[-2:]] for line in lines] == [
        ["| finetuning", "no", "no |"],
        ["| ewc", "yes", "no |"],
        ["| from-the-future", "?", "? |"],
    ]
    assert text.count(NOTE) == 1


def test_tables_without_all_cells_equal_those_with_all(tmp_path: Path) -> None:
    write_run(tmp_path / "all" / "run", SUCCESS, TASKS)
    write_run(tmp_path / "few" / "run", economical(SUCCESS), TASKS)
    write_references(tmp_path / "references")

    every, few = (
        row(table([tmp_path / name], [tmp_path / "references"])) for name in ("all", "few")
    )

    for key in ("performance", "forgetting", "backward_transfer", "auc", "forward_transfer"):
        assert every[key] == few[key]


def test_seeds_of_several_directories_are_joined_in_order(tmp_path: Path) -> None:
    success = random_success(5, 5, 3)
    write_run(tmp_path / "a", success[3:], TASKS, seeds=(3, 4), placement={"device": "cuda"})
    write_run(tmp_path / "b", success[[1, 0, 2]], TASKS, seeds=(1, 0, 2))

    numbers = row(table([tmp_path]))

    assert (numbers["n"], numbers["seeds"]) == (5, [0, 1, 2, 3, 4])
    assert numbers["performance"]["per_seed"] == performance(success).tolist()
    assert tuple(numbers["performance"]["interval"]) == mean_interval(
        performance(success), fresh_sampler()
    )
    assert numbers["forgetting"]["per_task"] == forgetting(success).mean(axis=0).tolist()
    assert numbers["auc"] == auc(success).tolist()


def nulls(run: Path, key: str, step: int | None = None, task: int | None = None) -> None:
    """Make a number null, of one step or task or of all."""
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for line in rows:
        if step in (None, line["step"]) and task in (None, line["task"]):
            line[key] = None
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))


def test_without_any_success_the_return_is_measured_and_this_is_said(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "run", SUCCESS, TASKS)]
    runs += [write_run(tmp_path / t, SUCCESS[:, :6, [k]], [t]) for k, t in enumerate(TASKS)]
    for run in runs:
        nulls(run, "success")
        nulls(run, "success_last")

    result = table([tmp_path])

    text = result.markdown(published=True)
    assert "steps, score return, fixes" in text.splitlines()[0]
    assert "| performance (return) | forgetting (return) | normalised" in text
    assert f"* {NO_SUCCESS}" in text and "0.00 [0.00" not in text.split("### Beside")[0]
    numbers = row(result)
    assert numbers["score"] == "return"
    assert numbers["performance"]["value"] == pytest.approx(1000 * performance(SUCCESS).mean())
    assert numbers["forward_transfer"]["value"] is not None and result.problems == []
    assert json.loads(result.json())["tables"][0]["sequence"]["score"] == "return"


@pytest.mark.parametrize(("task", "named"), [(None, "task 2 (reach-v3)"), (1, "task 1 (push-v3)")])
def test_a_success_that_is_missing_at_the_end_is_named(
    tmp_path: Path, task: int | None, named: str
) -> None:
    run = write_run(tmp_path / "run", SUCCESS, TASKS)
    nulls(run, "success", 18_000, task)
    result = table([tmp_path])
    (problem,) = result.problems
    assert f"no success of {named} at step 18,000 for seed 0: left out of the table." in problem
    assert result.sections[0].rows == []


def test_a_world_without_success_among_others_is_named(tmp_path: Path) -> None:
    nulls(write_run(tmp_path / "run", SUCCESS, TASKS), "success", task=1)
    (problem,) = table([tmp_path]).problems
    assert "has no success of task 1 (push-v3) at step 7,000 for seed 0: left out" in problem


@pytest.mark.parametrize("parity", ["clean", "original"])
@pytest.mark.parametrize(
    ("n", "given", "window", "said"),
    [
        (6, None, 1, "the last evaluation of the run"),
        (6, 1, 1, "the last evaluation of the run"),
        (6, 5, 5, "the mean of the last 5 evaluations of the run"),
        (3, 5, 5, "the mean of the last 5 evaluations of the run"),
        (50, None, 5, "the mean of the last 5 evaluations of the run"),
    ],
)
def test_a_table_has_one_window_and_says_it(
    tmp_path: Path, parity: str, n: int, given: int | None, window: int, said: str
) -> None:
    success = random_success(3, n, 3)
    run = write_run(tmp_path / "run", success, TASKS)
    write_run(tmp_path / "ewc", success, TASKS, method={"name": "ewc"})
    config = (run / "config.yaml").read_text().replace("parity: clean", f"parity: {parity}")
    (run / "config.yaml").write_text(config)

    result = table([tmp_path], window=given)

    (section,) = result.sections
    s = "s" * (window > 1)
    assert section.heading.endswith(f", window of {window} evaluation{s} ({n} per task)")
    assert section.heading in result.markdown() and said in result.markdown()
    assert json.loads(result.json())["tables"][0]["window"] == window
    for index in (0, 1):
        numbers = row(result, index)
        lost = forgetting(success, window)
        assert numbers["performance"]["per_seed"] == performance(success, window).tolist()
        assert numbers["forgetting"]["per_seed"] == lost.mean(axis=1).tolist()
        assert numbers["backward_transfer"]["per_seed"] == (-lost[:, :2].mean(axis=1)).tolist()
        assert numbers["performance"]["last_evaluation"] == performance(success, 1).mean()


def test_runs_of_other_numbers_of_evaluations_have_tables_of_their_own(tmp_path: Path) -> None:
    for n in (6, 20):
        write_run(tmp_path / str(n), random_success(1, n, 3), TASKS,
                  sequence={"steps_per_task": 60_000})  # fmt: skip
    assert [section.window for section in table([tmp_path]).sections] == [2, 1]
    assert [section.window for section in table([tmp_path], window=5).sections] == [5, 5]


@pytest.mark.parametrize("window", [0, -1, 19, 2.0, True, "5", 10**9])
def test_a_window_that_no_run_has_is_refused(tmp_path: Path, window: Any) -> None:
    run = write_run(tmp_path / "run", SUCCESS, TASKS)
    with pytest.raises(ConfigError, match=r"window is .*; it must be a whole number from 1 to 18"):
        table([run], window=window)


def test_a_run_of_fewer_evaluations_than_a_window_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_run(tmp_path / "short", random_success(1, 2, 3), TASKS)
    result = table([tmp_path], window=7)
    problem = next(text for text in result.problems if "short" in text)
    assert "short has only 6 evaluations for a window of 7: left out of the table." in problem


def test_what_an_economical_run_lacks_for_a_wider_window_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "run", economical(SUCCESS, window=1), TASKS)
    assert table([tmp_path]).sections[0].rows[0].performance.value == pytest.approx(0.65)
    problems = table([tmp_path], window=5).problems
    assert problems == [
        f"{tmp_path / 'run'} has no evaluation of task 0 (hammer-v3) at step 14,000 for seed 0, "
        "which a window of 5 needs: left out of the table."
    ]


def test_the_same_directory_twice_counts_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", SUCCESS, TASKS)
    assert row(table([run, tmp_path, run / ".." / "a"]))["n"] == 2


def test_what_a_sequence_reveals_makes_a_row_with_its_label_and_a_sentence(tmp_path: Path) -> None:
    for reveals in ("task", "boundaries", "nothing"):
        write_run(tmp_path / reveals, SUCCESS, TASKS, sequence={"reveals": reveals})

    result = table([tmp_path])

    (section,) = result.sections
    assert [row.label for row in section.rows] == [
        f"finetuning (reveals={reveals})" for reveals in ("boundaries", "nothing", "task")
    ]
    sentence = "finetuning (reveals=nothing): The sequence tells neither when its task changes"
    assert f"* {sentence} nor which one it is." in result.markdown()
    alone = table([tmp_path / "nothing"]).markdown()
    assert "| finetuning | 2 |" in alone and "* The sequence tells neither when" in alone


def test_seeds_that_only_other_rows_have_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", SUCCESS, TASKS)
    write_run(tmp_path / "b", SUCCESS[:1], TASKS, method={"name": "ewc"})

    assert "ewc lacks seeds that other rows have: 1." in table([tmp_path]).problems


def test_an_inexact_resume_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", SUCCESS, TASKS)
    (run / "run.json").write_text('{"state": "complete", "resumed_inexact": true}')

    assert f"* {run} was resumed inexactly." in table([tmp_path]).markdown()


def test_a_damaged_run_stops_the_table(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", SUCCESS, TASKS)
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text.replace('"seq": 3,', '"seq": ,'))

    with pytest.raises(DamagedData, match="line 4 is not JSON"):
        table([tmp_path])


def test_different_sequences_have_separate_tables(tmp_path: Path) -> None:
    write_run(tmp_path / "a", SUCCESS, TASKS)
    write_run(tmp_path / "b", SUCCESS, TASKS[::-1])
    write_run(tmp_path / "c", SUCCESS, TASKS, sequence={"horizon": 500})

    text = table([tmp_path]).markdown()

    assert text.count("### made-up: 3 tasks of 6,000 steps") == 3
    assert "horizon 500" in text


@pytest.mark.parametrize("state", ["running", "interrupted", "failed"])
def test_an_unfinished_run_is_left_out_and_named(tmp_path: Path, state: str) -> None:
    write_run(tmp_path / "a", SUCCESS[:1], TASKS)
    cut = SUCCESS[1:].copy()
    cut[:, 7:] = np.nan
    write_run(tmp_path / "b", cut, TASKS, seeds=[1], state=state)

    result = table([tmp_path])

    assert row(result)["n"] == 1
    problem = result.problems[0]
    assert f"b is {state}, evaluated up to step 7,000 of 18,000: left out" in problem
    assert problem in result.markdown()
