"""Rows and references: every complete run is one or the other, or is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.results.apart import set_apart
from clrl.results.reading import read_run
from clrl.results.tables import Table, table
from clrl.show.plots import plot
from tests.clrl.results.test_metrics import SUCCESS
from tests.clrl.results.test_tables import TASKS, write_references
from tests.clrl.synthetic import random_success, write_run

UNLIKE: list[dict[str, Any]] = [
    {"learner": {"name": "ppo"}},
    {"learner": {"hidden_sizes": [256]}},
    {"learner": {"learning_rate": 3e-4}},  # may differ, but the others are closer
    {"parity": "original"},
    {"evaluation": {"stochastic_episodes": 5}},
    {"sequence": {"horizon": 500}},
    {"sequence": {"family": "custom"}},
    {"sequence": {"score": "return"}},
    {"sequence": {"steps_per_task": 12_000}},
]


def write_other(directory: Path, change: dict[str, Any], seeds: Any = (5, 6)) -> Path:
    changes = {name: value for name, value in change.items() if name != "parity"}
    run = write_run(directory, random_success(len(seeds), 6, 1), ["reach-v3"], seeds, **changes)
    if "parity" in change:
        text = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(text.replace("parity: clean", "parity: original"))
    return run


def rows_of(result: Table) -> set[str]:
    """Directories of all rows."""
    return {
        directory
        for section in result.sections
        for row in section.rows
        for directory in row.group.directories
    }


def used(result: Table) -> set[str]:
    return {str(run.directory) for section in result.sections for run in section.references}


@pytest.mark.parametrize("change", UNLIKE, ids=str)
@pytest.mark.parametrize("complete", [True, False])
def test_a_single_task_run_that_is_no_reference_is_a_row(
    tmp_path: Path, change: dict[str, Any], complete: bool
) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references", TASKS if complete else TASKS[:2])
    write_run(tmp_path / "ewc", SUCCESS, TASKS, method={"name": "ewc"})
    other = write_other(tmp_path / "other", change)

    result = table([tmp_path])

    if not complete and change in UNLIKE[2:4]:  # nothing is closer
        assert str(other) in used(result) - rows_of(result)
        return
    assert str(other) in rows_of(result) - used(result)
    assert rows_of(result) == {str(tmp_path / name) for name in ("run", "ewc", "other")}
    tables = [section.markdown() for section in result.sections]
    assert sum("reach-v3" in text or "made-up: 1 task" in text for text in tables) >= 2
    assert (result.problems == []) == complete


def test_references_that_are_used_are_no_rows(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references")

    result = table([tmp_path])

    assert rows_of(result) == {str(tmp_path / "run")}
    assert used(result) == {str(tmp_path / "references" / name) for name in TASKS}


def test_tasks_in_turn_have_no_transfer_so_their_single_task_runs_are_rows(tmp_path: Path) -> None:
    write_run(tmp_path / "multi", SUCCESS, TASKS, sequence={"interleaved": True})
    write_references(tmp_path / "references")

    result = table([tmp_path])

    assert len(result.sections) == 4 and len(rows_of(result)) == 4 and result.problems == []


def test_references_of_a_run_that_is_left_out_are_rows(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS, state="interrupted")
    write_references(tmp_path / "references")

    result = table([tmp_path])

    assert rows_of(result) == {str(tmp_path / "references" / name) for name in TASKS}
    (problem,) = result.problems
    assert "run is interrupted" in problem and "left out of the table" in problem


def test_only_references_lack_nothing(tmp_path: Path) -> None:
    write_references(tmp_path)
    result = table([tmp_path])
    assert len(rows_of(result)) == 3 and result.problems == []


def test_a_run_given_as_a_reference_and_used_by_none_is_named_and_lacks_nothing(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    given = tmp_path / "given"
    write_references(given)
    write_run(given / "far", random_success(1, 6, 1), ["drawer-open-v3"])
    write_run(given / "ewc", SUCCESS, TASKS, method={"name": "ewc"})
    for k, change in enumerate(UNLIKE):
        write_other(given / f"other-{k}", change, seeds=(20 + k,))

    result = table([tmp_path / "run"], [given])

    assert result.problems == [] and rows_of(result) == {str(tmp_path / "run")}
    text = result.markdown()
    assert f"Not used as references (no row has their task): {given / 'far'}." in text
    assert f"(no runs of finetuning on a single task): {given / 'ewc'}." in text
    assert f"(learner.name 'ppo', not 'sac'): {given / 'other-0'}." in text
    closer = f"{given / 'other-2'}, {given / 'other-3'}"
    assert f"(others are closer in their settings): {closer}." in text
    named = " ".join(result.notes)
    assert all(str(given / f"other-{k}") in named for k in range(len(UNLIKE)))
    assert all(note in result.json() for note in ("no row has their task", "'ppo', not 'sac'"))


def test_a_directory_given_twice_is_read_once(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references")
    alone, both = table([tmp_path]), table([tmp_path], [tmp_path / "references", tmp_path])
    assert alone.markdown() == both.markdown() and both.notes == []
    single = table([tmp_path / "references"], [tmp_path / "references"])
    assert {row.forward_transfer.value for s in single.sections for row in s.rows} != {0.0}


def test_a_closer_reference_given_beside_makes_the_other_one_a_row(tmp_path: Path) -> None:
    runs, given = tmp_path / "runs", tmp_path / "given"
    write_run(runs / "run", SUCCESS, TASKS)
    write_references(runs / "references", learner={"batch_size": 512})
    assert len(rows_of(table([runs]))) == 1
    write_references(given, TASKS[:1])

    result = table([runs], [given])

    assert rows_of(result) == {str(runs / "run"), str(runs / "references" / "hammer-v3")}
    assert str(given / "hammer-v3") in used(result)


def test_plots_draw_what_the_table_has_as_rows(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs / "run", SUCCESS, TASKS)
    write_references(runs / "references")
    assert len(plot([runs], tmp_path / "a")) == 3
    write_other(runs / "ppo", UNLIKE[0])
    assert len(plot([runs], tmp_path / "b")) == 6


def test_an_unfinished_run_keeps_its_references_apart_in_plots(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", SUCCESS, TASKS, state="running"))
    curves = np.zeros((1, 6, 1))
    reference = read_run(write_run(tmp_path / "reach", curves, ["reach-v3"]))
    assert set_apart([run, reference]) == ([run], [reference])
    assert set_apart([reference]) == ([reference], [])
