"""A row of a table: its numbers, and what is undefined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.config.scores import SCORES
from clrl.results.groups import join
from clrl.results.metrics import auc
from clrl.results.reading import read_run
from clrl.results.references import References
from clrl.results.rows import columns, measure
from clrl.results.tables import table
from tests.clrl.results.test_metrics import SUCCESS
from tests.clrl.results.test_tables import TASKS, row, write_references
from tests.clrl.synthetic import random_success, write_run


def test_one_seed_has_a_value_and_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS[:1], TASKS)

    result = table([tmp_path], window=5)

    assert "| finetuning | 1 | 0.59 [–] | 0.09 [–] | – | -0.13 |" in result.markdown()
    assert "One seed has no interval" in result.markdown()
    assert row(result)["performance"]["interval"] is None


def test_a_solved_reference_is_left_out_and_counted(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references", TASKS[:2])
    write_run(tmp_path / "solved", np.ones((2, 6, 1)), ["reach-v3"])

    result = table([tmp_path])

    transfer = row(result)["forward_transfer"]
    assert transfer["per_task"][2] is None
    assert transfer["value"] == pytest.approx((0.04411765 + 0.36842105) / 2, abs=1e-7)
    assert "always succeeds: reach-v3 (task 2) (1 of 3 tasks)." in result.markdown()


def test_a_sequence_told_twice_has_forward_transfer_of_both_halves(tmp_path: Path) -> None:
    tasks = ("push-v3", "reach-v3") * 2
    success = random_success(3, 5, 4)
    reference = random_success(2, 5, 1)
    write_run(tmp_path / "run", success, tasks)
    for name in tasks[:2]:
        write_run(tmp_path / name, reference, [name])

    result = table([tmp_path])

    own, base = auc(success).mean(axis=0), auc(reference).mean()
    ratios = (own - base) / (1 - base)
    transfer = row(result)["forward_transfer"]
    assert transfer["first_half"]["value"] == pytest.approx(ratios[:2].mean())
    assert transfer["second_half"]["value"] == pytest.approx(ratios[2:].mean())
    assert "| FT 1st half | FT 2nd half |" in result.markdown()


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_a_row_has_a_cell_for_every_column(tmp_path: Path, score: str, halves: bool) -> None:
    run = read_run(write_run(tmp_path / "run", SUCCESS, TASKS, sequence={"score": score}))
    (group,) = join([run])
    measured = measure(group, "mine", References(TASKS, {}, (0, 1, 2), (), ()))
    cells = dict(zip(columns(group.score, halves), measured.cells(halves), strict=True))
    assert (cells["method"], cells["n"], cells["forward transfer"]) == ("mine", "2", "–")
    assert cells[group.score.of("performance")] == measured.performance.text(score == "return")
    assert ("normalised performance" in cells) == (score == "return")
    assert ("FT 2nd half" in cells) == halves


def test_a_range_makes_a_share_of_what_was_measured(tmp_path: Path) -> None:
    told: dict[str, Any] = {"score": "return", "score_range": [-1.0, 3.0]}
    (group,) = join([read_run(write_run(tmp_path / "run", SUCCESS, TASKS, sequence=told))])
    measured = measure(group, "mine", References(TASKS, {}, (0, 1, 2), (), ()), window=5)
    assert measured.share.value == pytest.approx((0.63 + 1) / 4)
    assert measured.forward_transfer.value != measured.forward_transfer.value  # undefined
    assert measured.flat == () and measured.ranges.tolist() == [[-1.0, 3.0]] * 3
