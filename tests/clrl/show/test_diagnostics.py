"""Plots of what methods report: everything that is there, and nothing that is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clrl.errors import DamagedData
from clrl.results.groups import Group, join
from clrl.results.reading import read_run
from clrl.results.record import Record
from clrl.show.diagnostics import diagnostics, read_reports
from clrl.show.plots import plot
from tests.clrl.synthetic import random_success, write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")
STEPS = range(500, 12_001, 500)


def write(
    root: Path, reports: dict[str, Any], method: str = "ewc", seeds: tuple[int, ...] = (0, 1)
) -> Path:
    """A run with quantities as functions of step and seed; None is not reported."""
    run = write_run(
        root, random_success(len(seeds), 4, 3), TASKS, seeds=seeds, method={"name": method}
    )
    record = Record(run / "train.jsonl")
    record.append([{"step": 0, "task": 0, "event": "task_start", "value": TASKS[0]}])
    for step in STEPS:
        for seed in seeds:
            values = {name: of(step, seed) for name, of in reports.items()}
            given = {name: value for name, value in values.items() if value is not None}
            record.append([{"step": step, "task": 0, "seed": seed, "actor/loss": 1.0, **given}])
    record.close()
    return run


def groups(*runs: Path) -> list[Group]:
    return join(read_run(run) for run in runs)


def panels(*runs: Path) -> dict[str, Axes]:
    figure = diagnostics(groups(*runs))
    assert figure is not None
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}


def drawn(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The curves without the task changes."""
    lines = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    return {str(ln.get_label()): (np.asarray(ln.get_xdata()), np.asarray(ln.get_ydata()))
            for ln in lines}  # fmt: skip


def test_every_quantity_has_a_panel_and_gradients_and_quantiles_share_one(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run",
        {
            "method/penalty": lambda step, seed: float(step + seed),
            "gradient/rl": lambda step, seed: 2.0,
            "gradient/penalty": lambda step, seed: 1.0 if step > 4_000 else None,
            "method/importance/q50": lambda step, seed: 1e-5,
            "method/importance/q99": lambda step, seed: 1.0,
            "popart/scale": lambda step, seed: 3.0,
            "method/never_heard_of": lambda step, seed: -1.0,
        },
    )
    found = panels(run)
    assert list(found) == [
        f"ewc: {name}"
        for name in ("gradient norm", "importance", "never heard of", "penalty", "popart scale")
    ]
    gradients = drawn(found["ewc: gradient norm"])
    assert list(gradients) == ["rl", "penalty"] and gradients["penalty"][0][0] == 4_500
    assert list(drawn(found["ewc: importance"])) == ["q50", "q99"]
    assert found["ewc: importance"].get_yscale() == "log"
    steps, means = next(iter(drawn(found["ewc: penalty"]).values()))
    np.testing.assert_allclose(steps, list(STEPS))
    np.testing.assert_allclose(means, np.array(STEPS) + 0.5)  # seeds 0 and 1
    changes = [ln for ln in found["ewc: penalty"].get_lines() if ln.get_linestyle() == ":"]
    assert [np.asarray(line.get_xdata())[0] for line in changes] == [4_000, 8_000]
    corners = np.asarray(found["ewc: penalty"].collections[0].get_paths()[0].vertices)[:, 1]
    assert corners.min() == STEPS[0] and corners.max() == STEPS[-1] + 1


@pytest.mark.filterwarnings("error")
def test_zeros_have_a_place_on_a_logarithmic_axis(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run",
        {
            "method/penalty": lambda step, seed: 1e-4 * step if step > 4_000 else 0.0,
            "method/zero": lambda step, seed: 0.0,
            "method/tiny": lambda step, seed: 10.0 ** -(step // 500),
        },
    )
    found = panels(run)
    assert found["ewc: penalty"].get_yscale() == "linear"
    assert found["ewc: zero"].get_yscale() == "linear"
    assert found["ewc: tiny"].get_yscale() == "log"
    run = write(tmp_path / "wide", {"method/wide": lambda step, seed: float(step - 500) ** 3})
    axes = panels(run)["ewc: wide"]
    assert axes.get_yscale() == "symlog" and axes.get_ylim()[0] == 0
    assert 0 in axes.get_yticks() and len(axes.get_yticks()) <= 5


def test_runs_of_one_configuration_are_joined_at_the_steps_that_all_have(tmp_path: Path) -> None:
    for name, seeds, offset in (("a", (0,), 0), ("b", (1, 2), 500)):
        write(tmp_path / name, {
            "method/penalty": lambda step, seed: float(seed),
            "method/only_a": lambda step, seed: 5.0 if seed == 0 else None,
        }, seeds=seeds)  # fmt: skip
        if offset:
            lines = (tmp_path / name / "train.jsonl").read_text().splitlines(keepends=True)
            (tmp_path / name / "train.jsonl").write_text("".join(lines[:11]))
    found = panels(tmp_path / "a", tmp_path / "b")
    steps, means = next(iter(drawn(found["ewc: penalty"]).values()))
    np.testing.assert_allclose(steps, list(STEPS)[:5])
    np.testing.assert_allclose(means, 1.0)
    np.testing.assert_allclose(next(iter(drawn(found["ewc: only a"]).values()))[1], 5.0)


def test_a_run_without_a_log_leaves_the_others_alone(tmp_path: Path) -> None:
    write(tmp_path / "a", {"gradient/rl": lambda step, seed: 2.0}, seeds=(0,))
    write(tmp_path / "b", {"gradient/rl": lambda step, seed: 4.0}, seeds=(1,))
    (tmp_path / "b" / "train.jsonl").unlink()
    ((steps, values),) = drawn(
        panels(tmp_path / "a", tmp_path / "b")["ewc: gradient norm"]
    ).values()
    np.testing.assert_allclose(steps, list(STEPS))
    np.testing.assert_allclose(values, 2.0)


def test_many_lines_are_thinned_to_means(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", random_success(1, 4, 3), TASKS)
    record = Record(run / "train.jsonl")
    record.append([{"step": s, "seed": 0, "gradient/rl": float(s)} for s in range(1, 1001)])
    record.close()
    ((steps, values),) = drawn(panels(run)["finetuning: gradient norm"]).values()
    np.testing.assert_allclose(steps, np.arange(1, 1001).reshape(200, 5).mean(axis=1))
    np.testing.assert_allclose(values, steps)


def test_the_file_is_written_only_if_something_was_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: path.touch())
    run = write(tmp_path / "runs" / "a", {"gradient/rl": lambda step, seed: 1.0})
    assert plot([run], tmp_path / "plots")[-1].name == "diagnostics.png"
    silent = write(tmp_path / "runs" / "b", {}, method="l2")
    assert diagnostics(groups(silent)) is None
    assert list(panels(run, silent)) == ["ewc: gradient norm"]


def test_a_line_of_another_run_is_refused(tmp_path: Path) -> None:
    run = write(tmp_path / "run", {})
    text = (run / "train.jsonl").read_text()
    (run / "train.jsonl").write_text(text.replace('"seed": 1', '"seed": 7'))
    with pytest.raises(DamagedData, match="train.jsonl does not fit the run"):
        read_reports(read_run(run))
