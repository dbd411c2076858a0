"""Published numbers: as published, found from an installed package, and beside ours."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clrl.agents.methods import METHODS
from clrl.results.published import METRICS, read_published
from clrl.results.tables import table
from tests.clrl.results.test_metrics import SUCCESS
from tests.clrl.synthetic import random_success, write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")

# The authors' own later run of the same table, awarelab/continual_world,
# examples/results/report_2021_12_15__20_06_56/results.csv: performance, forgetting, transfer.
RERUN = {
    "agem": (0.0701, 0.7137, 0.1507),
    "ewc": (0.6034, 0.0211, -0.1847),
    "finetuning": (0.0545, 0.7342, 0.2018),
    "l2": (0.4334, 0.0171, -0.7295),
    "mas": (0.5113, 0.0028, -0.5202),
    "packnet": (0.8032, -0.0026, 0.1797),
    "perfect-memory": (0.1214, 0.0748, -1.3375),
    "vcl": (0.4773, 0.0078, -0.4778),
    "multitask": (0.506,),
    "multitask-popart": (0.6489,),
}


def cells(text: str) -> dict[str, list[str]]:
    """The rows of the table of published numbers, by method."""
    lines = text.split("### Beside the published numbers")[1].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_every_number_is_that_of_the_authors_own_rerun_within_its_spread() -> None:
    rows = {row.method: row for row in read_published()}
    assert set(rows) == {*RERUN, "clonex", "RT"} and set(rows) - {"RT"} <= set(METHODS)
    for method, numbers in RERUN.items():
        for metric, number in zip(METRICS, numbers, strict=False):
            assert getattr(rows[method], metric).value == pytest.approx(number, abs=0.035)


def test_every_value_lies_in_its_interval() -> None:
    for row in read_published():
        for estimate in (getattr(row, metric) for metric in METRICS):
            if estimate.interval is not None:
                assert estimate.interval[0] <= estimate.value <= estimate.interval[1]


def test_our_rows_stand_beside_the_published_ones(tmp_path: Path) -> None:
    for name in ("ewc", "reset"):
        write_run(tmp_path / name, SUCCESS, TASKS, method={"name": name})
    text = table([tmp_path], window=5).markdown(published=True)
    rows = cells(text)
    assert list(rows) == [row.method for row in read_published()] + ["reset"]
    assert rows["ewc"][:4] == ["2", "0.63 [0.59, 0.67]", "0.60 [0.56, 0.64]", "0.02 [-0.05, 0.09]"]
    assert rows["packnet"][:3] == ["–", "–", "0.80 [0.79, 0.82]"]
    assert rows["reset"][:3] == ["2", "0.63 [0.59, 0.67]", "–"]
    assert rows["clonex"] == ["–", "–", "0.87 [–]", "–", "–", "–", "0.54 [–]"]
    assert "Meta-World v1, ours of v3" in text and "not a target" in text
    assert "published" not in table([tmp_path]).markdown()


def test_rows_of_several_sequences_are_told_apart(tmp_path: Path) -> None:
    ewc = {"name": "ewc"}
    write_run(tmp_path / "a", SUCCESS, TASKS, method=ewc, sequence={"name": "one"})
    write_run(tmp_path / "b", random_success(2, 6, 2), TASKS[:2], method=ewc)
    write_run(tmp_path / "c", random_success(2, 6, 1), ["window-close-v3"])  # no sequence
    rows = cells(table([tmp_path]).markdown(published=True))
    ours = [name for name in rows if name.startswith("ewc")]
    assert ours == ["ewc, one (3 x 6,000 steps)", "ewc, made-up (2 x 6,000 steps)"]
    assert [rows[name][0] for name in ours] == ["2", "2"] and rows["finetuning"][0] == "–"


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ([{}], ["ewc"]),
        ([{"learner": {"name": "ppo"}}], ["ewc (learner.name=ppo)"]),
        ([{"learner": {"name": "ppo"}, "method": {"name": "cbp"}}, {}],
         ["ewc (learner.name=sac)", "cbp (learner.name=ppo)"]),
        ([{"learner": {"name": "ppo"}}, {}], ["ewc (learner.name=ppo)", "ewc (learner.name=sac)"]),
        ([{"sequence": {"reveals": "boundaries"}}], ["ewc (reveals=boundaries)"]),
        ([{"sequence": {"reveals": "nothing"}, "learner": {"name": "ppo"}}],
         ["ewc (learner.name=ppo, reveals=nothing)"]),
        ([{"method": {"name": "ewc", "coef": k}, "learner": {"name": "ppo"}} for k in (1, 2)],
         ["ewc (coef=1, learner.name=ppo)", "ewc (coef=2, learner.name=ppo)"]),
    ],
)  # fmt: skip
def test_a_row_says_in_what_it_is_not_as_published(
    tmp_path: Path, changes: list[dict[str, Any]], labels: list[str]
) -> None:
    for k, change in enumerate(changes):
        settings = {"method": {"name": "ewc"}, **change}
        write_run(tmp_path / str(k), SUCCESS, TASKS, **settings)
    rows = cells(table([tmp_path]).markdown(published=True))
    assert [name for name in rows if rows[name][0] == "2"] == labels


def test_what_cannot_stand_beside_them_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", SUCCESS, TASKS)
    write_run(tmp_path / "b", SUCCESS, TASKS, sequence={"family": "custom", "name": "mine"})
    write_run(tmp_path / "c", SUCCESS, TASKS, sequence={"score": "accuracy", "family": "toy"})
    write_run(tmp_path / "d", random_success(1, 6, 1), TASKS[:1], method={"name": "ewc"})

    text = table([tmp_path]).markdown(published=True).split("### Beside")[1]

    size = "(3 x 6,000 steps)"
    assert f"mine {size}: worlds of the family custom" in text
    assert f"made-up {size}: measured by accuracy" in text
    assert "made-up (1 x 6,000 steps): a single task" in text
    assert "window of 1 evaluation (6 per task)" in text and "average 5 of 50" in text
    assert cells(table([tmp_path]).markdown(published=True))["ewc"][0] == "–"


def test_an_installed_package_has_them(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    out = str(tmp_path)
    words = ["-q", "egg_info", "--egg-base", out, "build_py", "--build-lib", out]
    command = [sys.executable, "-c", "from setuptools import setup; setup()", *words]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=60)
    installed = tmp_path / "clrl" / "reference" / "cw20.yaml"
    assert installed.read_bytes() == (root / "clrl" / "reference" / "cw20.yaml").read_bytes()
