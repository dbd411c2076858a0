"""Tables of returns and accuracies: raw units, and shares of what references learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.results.metrics import auc, forward_transfer
from clrl.results.tables import Table, table
from tests.clrl.results.test_metrics import REFERENCES, SUCCESS
from tests.clrl.synthetic import write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")
LOW, HIGH = np.array([-300.0, 0.0, 50.0]), np.array([-100.0, 4000.0, 51.0])


def returns(rates: np.ndarray, tasks: slice = slice(None)) -> np.ndarray:
    """The worked example's rates as returns: 0 is the task's LOW, 1 its HIGH."""
    return LOW[tasks] + rates * (HIGH - LOW)[tasks]


def write(root: Path, name: str = "run", **sequence: Any) -> Path:
    told = {"score": "return", "family": "gymnasium", **sequence}
    return write_run(root / name, returns(SUCCESS), TASKS, sequence=told)


def reference_rates(task: int) -> np.ndarray:
    """Six rates that rise from 0 to 1 for each seed, with the worked example's areas as means."""
    first, last = np.zeros((2, 1)), np.ones((2, 5))
    rates = np.concatenate([first, last], axis=1)
    rates[:, 1:] += (REFERENCES[:, [task]] * 6 - 5) / 5
    return rates[:, :, None]


def write_references(root: Path, **sequence: Any) -> None:
    told = {"score": "return", "family": "gymnasium", **sequence}
    for task, name in enumerate(TASKS):
        values = returns(reference_rates(task), slice(task, task + 1))
        write_run(root / "references" / name, values, [name], sequence=told)


def row(result: Table) -> dict[str, Any]:
    found = json.loads(result.json())["tables"][0]["rows"][0]
    assert isinstance(found, dict)
    return found


def test_performance_forgetting_and_backward_transfer_are_in_units_of_the_return(
    tmp_path: Path,
) -> None:
    write(tmp_path)

    result = table([tmp_path], window=5)

    ends = returns(np.array([[0.28, 0.72, 0.76], [0.50, 0.86, 0.66]]))
    numbers = row(result)
    assert numbers["score"] == "return"
    assert numbers["performance"]["per_task"] == pytest.approx(ends.mean(axis=0))
    lost = np.array([[0.32, -0.06, 0], [0, -0.14, 0]]) * (HIGH - LOW)
    assert numbers["forgetting"]["value"] == pytest.approx(lost.mean())
    assert numbers["backward_transfer"]["value"] == pytest.approx(-lost[:, :2].mean())
    head = "| method | n | performance (return) | forgetting (return) | normalised performance | "
    text = result.markdown()
    assert head + "forward transfer | BWT (return) |" in text
    assert f"| finetuning | 2 | {ends.mean():.0f} [" in text and ", score return" in text
    assert "| – | – | 184 | " in text
    (problem,) = result.problems
    assert problem == (
        "Forward transfer and normalised performance need reference runs that are not there: "
        "hammer-v3, push-v3, reach-v3."
    )


def test_a_given_range_normalises_without_references(tmp_path: Path) -> None:
    write(tmp_path, score_range=[-100, 300])

    result = table([tmp_path], window=5)

    ends = returns(np.array([[0.28, 0.72, 0.76], [0.50, 0.86, 0.66]]))
    share = row(result)["normalised_performance"]
    assert share["per_seed"] == pytest.approx(((ends + 100) / 400).mean(axis=1))
    assert share["value"] == pytest.approx(((ends + 100) / 400).mean())
    assert share["ranges"] == [[-100, 300]] * 3
    text = result.markdown()
    assert "take a return of -100 as 0 and of 300 as 1." in text
    assert "Forward transfer needs reference runs that are not there" in text


def test_references_give_each_task_its_range(tmp_path: Path) -> None:
    write(tmp_path)
    write_references(tmp_path)

    result = table([tmp_path], window=5)

    low = LOW
    high = np.array([
        returns(reference_rates(t), slice(t, t + 1))[:, 1:].mean() for t in range(3)
    ])  # fmt: skip
    numbers = row(result)
    np.testing.assert_allclose(
        numbers["normalised_performance"]["ranges"], np.stack([low, high], axis=1)
    )
    ends = returns(np.array([[0.28, 0.72, 0.76], [0.50, 0.86, 0.66]]))
    share = (ends - low) / (high - low)
    assert numbers["normalised_performance"]["value"] == pytest.approx(share.mean())
    own = (auc(returns(SUCCESS)) - low) / (high - low)
    base = (returns(REFERENCES) - low) / (high - low)
    expected = forward_transfer(own, base)
    transfer = numbers["forward_transfer"]
    assert transfer["value"] == pytest.approx(expected.mean)
    assert transfer["per_task"] == pytest.approx(expected.per_task)
    raw = auc(returns(SUCCESS)).mean(axis=0) - returns(REFERENCES).mean(axis=0)
    assert transfer["unnormalized"] == pytest.approx(raw.mean())
    assert transfer["interval"][0] < transfer["value"] < transfer["interval"][1]
    assert result.problems == []
    assert "take as 0 the mean return of a task's references at their first" in result.markdown()


def test_forward_transfer_is_the_worked_examples_on_its_range(tmp_path: Path) -> None:
    """Returns between LOW and HIGH of a task are the rates, if 0..1 is given in its units."""
    told = {"score": "return", "score_range": [-300, -100]}
    scores = -300 + SUCCESS * 200
    write_run(tmp_path / "run", scores, TASKS, sequence=told)
    for task, name in enumerate(TASKS):
        curves = -300 + np.repeat(REFERENCES[:, task, None, None], 6, axis=1) * 200
        write_run(tmp_path / name, curves, [name], sequence=told)

    numbers = row(table([tmp_path], window=5))

    assert numbers["normalised_performance"]["value"] == pytest.approx(0.63)
    assert numbers["forward_transfer"]["value"] == pytest.approx(0.1701926385, abs=5e-11)
    assert numbers["forward_transfer"]["interval"] == pytest.approx(
        [0.0954106280, 0.2327380952], abs=5e-11
    )


def test_a_reference_that_does_not_get_better_leaves_its_task_out_and_is_named(
    tmp_path: Path,
) -> None:
    write(tmp_path)
    write_references(tmp_path)
    flat = tmp_path / "references" / "push-v3" / "metrics.jsonl"
    rows = [json.loads(line) for line in flat.read_text().splitlines()]
    flat.write_text("".join(json.dumps({**row, "return": 7.0}) + "\n" for row in rows))

    result = table([tmp_path], window=5)

    numbers = row(result)
    assert numbers["normalised_performance"]["per_task"][1] is None
    assert numbers["forward_transfer"]["per_task"][1] is None
    per_task = numbers["normalised_performance"]["per_task"]
    assert numbers["normalised_performance"]["value"] == pytest.approx(
        (per_task[0] + per_task[2]) / 2
    )
    assert numbers["forward_transfer"]["unnormalized"] is not None
    assert "left out of both: the references of push-v3 (task 1)." in result.markdown()
    assert result.problems == []


def test_without_any_range_there_is_a_dash(tmp_path: Path) -> None:
    write(tmp_path)
    write_references(tmp_path)
    for record in (tmp_path / "references").rglob("metrics.jsonl"):
        rows = [json.loads(line) for line in record.read_text().splitlines()]
        record.write_text("".join(json.dumps({**row, "return": 7.0}) + "\n" for row in rows))

    result = table([tmp_path], window=5)

    assert "] | – | – | 184 | " in result.markdown()
    assert row(result)["forward_transfer"]["value"] is None


def test_interleaved_returns_are_normalised_by_references_too(tmp_path: Path) -> None:
    write(tmp_path, interleaved=True)
    (problem,) = table([tmp_path], window=5).problems
    assert problem.startswith("Normalised performance needs reference runs that are not there")
    write_references(tmp_path)

    result = table([tmp_path], window=5)

    numbers = row(result)
    assert numbers["forward_transfer"]["value"] is None
    assert numbers["normalised_performance"]["value"] is not None
    assert result.problems == []


def test_a_missing_return_is_named(tmp_path: Path) -> None:
    run = write(tmp_path)
    text = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in text]
    rows = [{**row, "return": None} if row["step"] == 18_000 else row for row in rows]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    (problem,) = table([tmp_path], window=5).problems

    assert "no return of task 2 (reach-v3) at step 18,000 for seed 0" in problem


def test_accuracy_is_a_rate_with_its_name(tmp_path: Path) -> None:
    told = {"score": "accuracy", "family": "toy"}
    write_run(tmp_path / "run", SUCCESS, TASKS, sequence=told)
    for task, name in enumerate(TASKS):
        curves = np.repeat(REFERENCES[:, task, None, None], 6, axis=1)
        write_run(tmp_path / name, curves, [name], sequence=told)

    text = table([tmp_path], window=5).markdown()

    assert "| performance (accuracy) | forgetting (accuracy) | forward transfer | BWT (acc" in text
    numbers = "| 2 | 0.63 [0.59, 0.67] | 0.02 [-0.05, 0.09] | 0.17 [0.10, 0.23] | -0.03 |"
    assert numbers in text and "normalised" not in text


def test_scores_never_mix(tmp_path: Path) -> None:
    write(tmp_path, "returns", family="metaworld")
    write_run(tmp_path / "success", SUCCESS, TASKS)

    result = table([tmp_path], window=5)

    assert [len(section.rows) for section in result.sections] == [1, 1]
    beside = result.markdown(published=True).split("### Beside")[1]
    assert "| finetuning | 2 | 0.63" in beside and "| finetuning | 2 | 5" not in beside
