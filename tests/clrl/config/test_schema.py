"""Configurations of the first version are read as those of today."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from clrl import errors
from clrl.cli import main
from clrl.config.schema import upgraded
from clrl.results.groups import identity, join
from clrl.results.reading import read_run
from clrl.results.tables import table
from clrl.show.plots import plot
from tests.clrl import first_schema
from tests.clrl.synthetic import USES_NOTHING, random_success, write_run

TASKS = ("hammer-v3", "push-v3")
NUMBERS = "0.44 [0.38, 0.50] | 0.06 [-0.12, 0.25] | – | -0.12 |"
"""As the first version printed them, which averaged both evaluations of a task."""


@pytest.mark.parametrize(
    ("kind", "method", "cells"),
    [
        ("metaworld", "finetuning", NUMBERS),
        ("custom", "ewc", NUMBERS),
        ("interleaved", "multitask", "0.44 [0.38, 0.50] | – | – | – |"),
    ],
)
def test_a_first_run_gives_the_numbers_it_gave(
    tmp_path: Path, kind: str, method: str, cells: str
) -> None:
    first_schema.write(tmp_path / "run", kind, method)

    assert f"| {method} | 2 | {cells}" in table([tmp_path], window=2).markdown()
    assert len(plot([tmp_path], tmp_path / "plots")) == 3


@pytest.mark.parametrize(("kind", "family"), [("metaworld", "metaworld"), ("custom", "custom")])
def test_what_the_first_schema_did_not_say_is_added(tmp_path: Path, kind: str, family: str) -> None:
    config = read_run(first_schema.write(tmp_path / "run", kind)).config

    added = {"family": family, "reveals": "task", "score": "success", "score_range": None}
    assert {key: config["sequence"][key] for key in added} == added
    assert upgraded(config) == config


def todays(old: dict[str, Any], **sequence: Any) -> dict[str, Any]:
    """A first configuration as today's version writes it."""
    new = {key: value for key, value in old["sequence"].items() if key != "reward"}
    added = {"family": "metaworld", "reveals": "task", "score": "success", "score_range": None}
    return {**old, "sequence": {**new, **added, **sequence}}


@pytest.mark.parametrize("written", [{}, {"reward": "v2"}])
def test_first_and_todays_runs_join(tmp_path: Path, written: dict[str, str]) -> None:
    old = first_schema.write(tmp_path / "old", "metaworld")
    new = first_schema.write(tmp_path / "new", "metaworld")
    values = todays(yaml.safe_load((old / "config.yaml").read_text()), **written)
    (new / "config.yaml").write_text(yaml.safe_dump({**values, "seeds": [2, 3]}))
    record = (new / "metrics.jsonl").read_text()
    for seed in (1, 0):
        record = record.replace(f'"seed": {seed},', f'"seed": {seed + 2},')
    (new / "metrics.jsonl").write_text(record)

    (group,) = join(map(read_run, (old, new)))

    assert group.seeds == (0, 1, 2, 3)
    np.testing.assert_array_equal(group.scores[:2], group.scores[2:])


@pytest.mark.parametrize(
    "other",
    [{"reveals": "boundaries"}, {"score": "return"}, {"score_range": [0, 1]}, {"family": "custom"}],
)
def test_runs_that_differ_in_what_is_new_do_not_join(other: dict[str, Any]) -> None:
    text = first_schema.CONFIG.format(
        name="a", order="", world=first_schema.METAWORLD, method="ewc"
    )
    old = yaml.safe_load(text)
    assert identity(upgraded(old)) == identity(todays(old))
    assert identity(upgraded(old)) != identity(todays(old, **other))


def test_a_family_of_ones_own_may_have_a_setting_named_reward() -> None:
    sequence = {"family": "gymnasium", "tasks": ["a"], "steps_per_task": 1}
    one, other = (upgraded({"sequence": {**sequence, "reward": r}}) for r in ("v1", "v2"))
    assert identity(one) != identity(other)


def test_nothing_that_a_configuration_names_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method, a world function and a module beside the run: none is looked for or run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    for coef in (1, 2):
        write_run(
            tmp_path / "runs" / str(coef), random_success(1, 2, 2), TASKS,
            method={"name": "trap:Method", "coef": coef}, learner=USES_NOTHING,
            sequence={"family": "function", "function": "trap:worlds", "score": "return"},
        )  # fmt: skip

    assert main(["plot", "runs"]) == errors.OK
    assert main(["table", "runs"]) == errors.OK

    assert "trap" not in sys.modules
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| trap")]
    assert [line.split(" | ")[0] for line in lines] == [
        "| trap:Method (coef=1)",
        "| trap:Method (coef=2)",
    ]
    assert all("?" in line for line in lines)


def test_reading_imports_no_torch() -> None:
    code = "import clrl.results.reading, clrl.config.schema, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
