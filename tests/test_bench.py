"""The scripts that measure speed: each runs and writes a record, and records become tables."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from clrl.commands.flags import look, parse
from clrl.commands.train import Train, defaults

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
TINY = ("--rounds", "1", "--updates", "2", "--hidden", "16", "16")


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Give agents little data, and leave torch as it was."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import benching

    monkeypatch.setattr(benching, "ROWS", 200)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield benching
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


class Bench:
    """Runs a script and reads its record."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.monkeypatch = folder / "record.json", monkeypatch

    def __call__(self, script: str, *words: str) -> dict[str, Any]:
        self.monkeypatch.setattr(sys, "argv", [script, *words, "--json", str(self.file)])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        found: dict[str, Any] = json.loads(self.file.read_text())
        assert found["script"] == script and found["machine"]["threads"] == "1"
        assert all(t > 0 for name, own in found["times"].items() if "rest" not in name for t in own)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def asked(record: dict[str, Any]) -> set[str]:
    """Return the contenders, with those that could not take the native path."""
    return {*record["times"], *record["torch_only"]}


@pytest.mark.parametrize(("learner", "seeds"), [("sac", (1, 2, 4)), ("ppo", (1,))])
def test_an_update_is_timed_on_both_paths_and_in_stock_sb3(
    learner: str, seeds: tuple[int, ...], bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    record = bench("bench_update.py", "--learner", learner, *TINY)
    names = {f"{p}, {s} seed{'s' * (s > 1)}" for p in ("torch", "native") for s in seeds}
    assert asked(record) == names | {"stock SB3, 1 seed"}
    assert all(len(times) == 1 for times in record["times"].values())
    shown = capsys.readouterr().out
    assert "stock SB3, 1 seed" in shown and "1.00x" in shown and torch.__version__ in shown


def test_no_rounds_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench("bench_update.py", "--rounds", "0")
    assert "--rounds: 0 is too few" in capsys.readouterr().err


def test_jax_takes_turns_in_a_process_of_its_own(bench: Bench, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho 1.2.3; while read n; do echo "0.00$n"; done\n')
    python.chmod(0o755)
    record = bench("bench_update.py", *TINY, "--jax", str(python))
    assert record["times"]["JAX 1.2.3, 1 seed"] == [1.0]  # 2 updates took 2 ms
    assert "jax" not in record["arguments"]
    with pytest.raises(SystemExit, match="--jax /bin/false cannot run jax_sac.py"):
        bench("bench_update.py", *TINY, "--jax", "/bin/false")


def test_methods_are_timed_beside_fine_tuning(bench: Bench) -> None:
    methods = ("ewc", "agem", "multitask-popart")
    record = bench("bench_methods.py", *TINY, "--methods", *methods)
    every = {f"{m}, {p}" for m in ("finetuning", *methods) for p in ("torch", "native")}
    assert set(record["times"]) == every and set(record["torch_only"]) <= every


def test_an_environment_is_timed_beside_physics(bench: Bench) -> None:
    record = bench("bench_env.py", "--tasks", "reach-v3", "--rounds", "1")
    times = {name: own[0] for name, own in record["times"].items()}
    assert list(times) == ["ours", "upstream", "mj_step", "mj_step + mj_forward"]
    assert times["mj_step"] < times["mj_step + mj_forward"] < times["ours"]


def test_the_parts_of_a_step_add_up(bench: Bench) -> None:
    words = ("--rounds", "1", "--sizes", "2 x 64", "--update", "native")
    times = {
        name.removeprefix("2 x 64, native: "): own[0]
        for name, own in bench("bench_step.py", *words)["times"].items()
    }
    parts = ("environment", "act", "store", "sample", "update", "rest")
    assert sum(times[part] for part in parts) == pytest.approx(times["whole"], rel=1e-2)
    floor = times["update"] + times["environment"]
    assert times["update + environment"] == pytest.approx(floor, rel=1e-2)
    assert times["rest"] < times["update"]


def test_whole_commands_take_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    run = subprocess.run

    def noted(words: list[str], **_: Any) -> None:
        calls.append(words[words.index("clrl") + 1 :])
        run([sys.executable, "-c", ""], check=True)

    monkeypatch.setattr(subprocess, "run", noted)
    record = bench("bench_train.py", "--rounds", "2", "--steps-per-task", "6000")
    assert list(record["times"]) == ["torch", "native"]
    first, *turns = calls
    assert first[-1] == "--dry-run"
    assert [words[words.index("--update") + 1] for words in turns] == ["torch", "native"] * 2
    for words in calls:
        config = parse(Train, "", words[2:], Train(defaults(look(words[1:])))).run
        assert config.sequence.tasks == ("hammer-v3", "push-v3")
        assert config.sequence.steps_per_task == 6_000 and len(config.seeds) == 1


def test_ratios_are_medians_of_rounds(few_rows: ModuleType, tmp_path: Path) -> None:
    times = {"a": [2.0, 9.0, 4.0], "b": [1.0, 3.0, 4.0]}
    record = few_rows.Record("x.py", {}, "ms", times)
    assert record.median("a") == 4.0 and record.ratio("a", "b") == 2.0
    record.finish(tmp_path / "x.json")
    assert few_rows.Record.read(tmp_path / "x.json") == record
    assert '"a": [ 2.0, 9.0, 4.0 ]' in (tmp_path / "x.json").read_text()


def test_the_pages_have_the_figures_of_the_records(few_rows: ModuleType) -> None:
    import bench_table

    files = {name: bench_table.RECORDS / f"{name}.json" for name in bench_table.COMMANDS}
    records = {name: few_rows.Record.read(path) for name, path in files.items()}
    for path, text in bench_table.PAGES.items():
        page = path.read_text(encoding="utf-8")
        assert bench_table.written(page, text(records)) == page
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    times, row = records["update-4x256"].times, "| SAC's update, 4 x 256, against stock SB3 |"
    ratio = records["update-4x256"].ratio("stock SB3, 1 seed", "torch, 1 seed")
    assert f"{row} {ratio:.2f} (" in page
    times["stock SB3, 1 seed"] = [2 * t for t in times["stock SB3, 1 seed"]]
    changed = bench_table.written(page, bench_table.tables(records))
    assert f"{row} {2 * ratio:.2f} (" in changed and changed.count("\n") == page.count("\n")


def test_every_record_has_its_command(few_rows: ModuleType) -> None:
    import bench_table

    for name, (_, script, *words) in zip(
        bench_table.COMMANDS, bench_table.commands("PYTHON"), strict=True
    ):
        assert Path(script).is_file()
        assert ("--jax" in words) == name.startswith("update")
        assert words[-2:] == ["--json", str(ROOT / "docs" / "speed" / f"{name}.json")]
