"""Strange worlds through `train`, kill, continue and `table`: none ends in silence.

The table is `tests/clrl/worlds/`: a world, and what must come of it. Each test is one phase.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from clrl import errors
from clrl.results.tables import table
from tests.clrl.worlds import makers
from tests.clrl.worlds.changes import CHANGES
from tests.clrl.worlds.job import KILLED, kept, run, said, visible
from tests.clrl.worlds.point import Case, Refused, Stops, Trains, Undone
from tests.clrl.worlds.table import WORLDS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

KILLS = (27, 67)
"""Steps before which runs are killed: of each task one, in the middle of an episode that also
holds the last checkpoint, of step 20 or 60."""

BY_DEFAULT = [
    "actions of float64",
    "discrete actions",
    "an observation of two axes at step five",
    "never ends but is cut after fifteen steps",
    "four answers of a step",
    "mersenne twister",
    "numpys global generator",
    "rewards in arrays of one",
    "the name is success",
    "normalised observations",
    "objects that cannot be hashed",
    "one object again and again",
]
"""All others are slow."""

ALL = [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow)
       for name in WORLDS]  # fmt: skip


@pytest.fixture(scope="session")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, Path]]:
    """Runs that nobody killed, with their exit codes; each is made once."""
    folder = tmp_path_factory.mktemp("whole")

    class Runs(dict[str, tuple[int, Path]]):
        def __missing__(self, name: str) -> tuple[int, Path]:
            directory = folder / name.replace(" ", "-")
            self[name] = run(name, directory), directory
            return self[name]

    return Runs()


Whole = dict[str, tuple[int, Path]]


def test_the_table_has_more_than_sixty_worlds_and_a_dozen_are_tried_by_default() -> None:
    assert len(WORLDS) > 60 and set(BY_DEFAULT) <= set(WORLDS) and len(BY_DEFAULT) == 12


@pytest.mark.parametrize("name", ALL)
def test_a_world_trains_or_a_sentence_says_why_not(whole_runs: Whole, name: str) -> None:
    code, directory = whole_runs[name]
    case, text = WORLDS[name], said(directory) if directory.with_suffix(".said").exists() else ""
    if code == errors.OK:
        assert case.allows(Trains) or case.allows(Undone), "it trained"
        if case.allows(Trains):
            assert re.search(case.only(Trains).said, text)
        return
    assert code in (errors.CONFIG, errors.FAULT), f"it crashed: {text}"
    fitting = Stops if (directory / "config.yaml").exists() else Refused
    assert case.allows(fitting), text
    assert re.search(case.only(fitting).sentence, text), text
    if fitting is Refused:
        assert not directory.exists()
    else:
        assert run(name, directory) == code  # always the same, and in words
        assert re.search(case.only(fitting).sentence, said(directory))


@pytest.mark.parametrize("name", ALL)
def test_killed_and_continued_it_ends_with_the_same_bytes(
    whole_runs: Whole, tmp_path: Path, name: str
) -> None:
    code, whole = whole_runs[name]
    if code != errors.OK:
        return
    case, directory = WORLDS[name], tmp_path / "killed"
    total = json.loads((whole / "run.json").read_text())["step"]
    assert run(name, directory, kill_at=min(KILLS[0], total // 2)) == KILLED
    before = visible(directory)
    code = run(name, directory, kill_at=min(KILLS[1], total - 1))
    if case.allows(Undone) and code != KILLED:
        assert code in (errors.CONFIG, errors.DAMAGED)
        assert re.search(case.only(Undone).sentence, said(directory)), said(directory)
        assert {**visible(directory), "run.json": before["run.json"]} == before
        return
    assert code == KILLED, said(directory)
    assert run(name, directory) == errors.OK, said(directory)
    assert kept(directory) == kept(whole)
    assert case.allows(Trains), "it was continued, though not allowed"


BY_COMMAND = [
    pytest.param(name, marks=() if name == "a constructor that fails" else pytest.mark.slow)
    for name, case in WORLDS.items()
    if case.make in vars(makers).values() and case.evaluation == Case.evaluation
]


@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_command_refuses_the_same_worlds(tmp_path: Path, name: str) -> None:
    case, directory = WORLDS[name], tmp_path / "run"
    code = run(name, directory, by_command=True)
    if code == errors.OK:
        assert case.allows(Trains)
        return
    assert code == errors.CONFIG, said(directory)
    assert re.search(case.only(Refused).sentence, said(directory)), said(directory)
    assert not directory.exists()


@pytest.mark.parametrize("name", ALL)
def test_a_table_has_its_row(whole_runs: Whole, name: str) -> None:
    code, directory = whole_runs[name]
    case = WORLDS[name]
    if code != errors.OK or not case.allows(Trains):
        return
    expected: Trains = case.only(Trains)
    if not expected.known:
        (problem,) = [text for text in table([directory]).problems if str(directory) in text]
        assert f"no {expected.score} of task" in problem
        return
    (row,) = rows_of(directory)
    performance = row["performance"]["value"]
    assert (row["n"], row["score"]) == (len(case.seeds), expected.score)
    assert performance is not None
    if expected.performance is not None:
        assert performance == pytest.approx(expected.performance)


def rows_of(*directories: Path) -> list[dict[str, Any]]:
    """Rows of the tables of some runs."""
    tables = json.loads(table(directories).json())["tables"]
    return [row for section in tables for row in section["rows"]]


@pytest.fixture(scope="session")
def changed_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


CHANGED = [name if "pull that" in name else pytest.param(name, marks=pytest.mark.slow)
           for name in CHANGES]  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_a_run_goes_on_in_its_own_worlds_only(tmp_path: Path, name: str) -> None:
    directory, other = tmp_path / "run", f"{name}, other"
    assert run(f"{name}, one", directory, kill_at=27) == KILLED
    before = visible(directory)
    if CHANGES[name].same:
        assert run(other, directory) == errors.OK, said(directory)
        return
    assert run(other, directory) == errors.CONFIG
    assert said(directory) and visible(directory) == before
    assert run(f"{name}, one", directory) == errors.OK, said(directory)


@pytest.mark.parametrize("name", CHANGED)
def test_a_finished_run_is_not_given_for_that_of_other_worlds(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "run"
    assert run(f"{name}, one", directory) == errors.OK, said(directory)
    expected = errors.OK if CHANGES[name].same else errors.CONFIG
    assert run(f"{name}, other", directory) == expected, said(directory)


@pytest.mark.parametrize("name", CHANGED)
def test_a_row_is_of_one_world(tmp_path: Path, name: str) -> None:
    for seed, which in enumerate(("one", "other")):
        code = run(f"{name}, {which}", tmp_path / which, seeds=[seed])
        assert code == errors.OK, said(tmp_path / which)
    numbers = sorted(row["n"] for row in rows_of(tmp_path / "one", tmp_path / "other"))
    assert numbers == ([2] if CHANGES[name].same else [1, 1])


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_references_are_of_the_same_world(tmp_path: Path, same: bool) -> None:
    assert run("references, both", tmp_path / "both") == errors.OK
    for name in "ab":
        which = name if same else f"other {name}"
        assert run(f"references, {which}", tmp_path / which) == errors.OK
    rows = rows_of(tmp_path)
    (row,) = [row for row in rows if "both" in str(row["directories"])]
    found = row["forward_transfer"]["reference_directories"]
    assert sorted(found) == (["a", "b"] if same else [])
