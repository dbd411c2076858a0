"""What Weights & Biases gets of a run, and that nothing waits for it."""

import io
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clrl.config.placement import LoggingConfig
from clrl.config.run import RunConfig
from clrl.show.logger import RunLogger
from clrl.show.wandb_mirror import WandbMirror
from tests.clrl.show.test_logger import CONFIG, metrics, scored, start


def _with(wandb: Any) -> RunConfig:
    return replace(CONFIG, logging=LoggingConfig(wandb=wandb))


def _mirror(config: RunConfig, directory: Path) -> tuple[WandbMirror, list[str]]:
    warnings: list[str] = []
    return WandbMirror(config, directory, warnings.append), warnings


class FakeRun:
    """What wandb's run does, without wandb."""

    def __init__(self, wait: threading.Event | None = None, fails: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self.wait, self.fails, self.finished = wait, fails, False

    def open(self) -> None:
        if self.wait is not None:
            self.wait.wait()

    def log(self, row: dict[str, Any]) -> None:
        if self.fails:
            raise RuntimeError("the server\nsaid 500")
        self.rows.append(row)

    def finish(self) -> None:
        self.finished = True


def _fake(monkeypatch: pytest.MonkeyPatch, run: FakeRun) -> None:
    def open_(self: WandbMirror) -> None:
        run.open()
        self._run = run

    monkeypatch.setattr(WandbMirror, "_open", open_)


def test_wandb_gets_every_number_under_task_and_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FakeRun()
    _fake(monkeypatch, run)
    mirror, warnings = _mirror(_with("offline"), tmp_path)
    mirror.start()
    row = {"step": 5, "task": 0, "seed": 3, "return_mean": 1.5, "success_mean": None}
    reports = {"gradient/rl": 0.5, "method/importance/q99": 2.0, "popart/scale": 3.0}
    mirror.train([row | reports])
    mirror.metrics(metrics(1500, {1: [0.5]})[:1])
    mirror.close()
    assert run.rows == [
        {"step": 5, "task": 0, "train/return_mean/seed3": 1.5}
        | {f"train/{name}/seed3": value for name, value in reports.items()},
        {"step": 1500, "stochastic/success/01-reach-v3/seed0": 0.5},
    ]
    assert run.finished and warnings == []


def test_wandb_gets_accuracy_and_numbers_of_events_and_nothing_that_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FakeRun()
    _fake(monkeypatch, run)
    mirror, warnings = _mirror(_with("offline"), tmp_path)
    mirror.start()
    mirror.train([{"step": 5, "task": None, "event": "friction", "value": 0.296}])
    mirror.train([start(5, 1, "reach-v3")])
    mirror.metrics(scored(10, 1, accuracy=0.5)[1:])
    mirror.close()
    assert run.rows == [
        {"step": 5, "train/friction": 0.296},
        {"step": 5, "task": 1},
        {"step": 10, "deterministic/accuracy/01-x/seed0": 0.5},
    ]
    assert warnings == []


def test_a_failing_wandb_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake(monkeypatch, FakeRun(fails=True))
    mirror, warnings = _mirror(_with("online"), tmp_path)
    mirror.start()
    for step in range(100):
        mirror.train([{"step": step, "task": 0, "seed": 0}])
    mirror.close()
    assert warnings == ["going on without wandb: the server said 500"]


def test_a_hanging_wandb_holds_up_neither_training_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, waits, join = threading.Event(), list[Any](), threading.Thread.join

    def watched(self: threading.Thread, timeout: float | None = None) -> None:
        waits.append(timeout)
        join(self, timeout)

    monkeypatch.setattr("clrl.show.wandb_mirror.CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(threading.Thread, "join", watched)
    run = FakeRun(wait=release)
    _fake(monkeypatch, run)
    mirror, warnings = _mirror(_with("online"), tmp_path)
    mirror.start()
    mirror.train([{"step": 1, "task": 0, "seed": 0}])
    assert waits == []
    mirror.close()
    assert waits == [0.2] and run.rows == []  # we are here although wandb hangs
    assert warnings == ["wandb is not done; what it has is lost, the record is whole"]
    release.set()


@pytest.mark.parametrize("case", ["no key", "no server"])
@pytest.mark.slow
def test_online_without_key_or_server_goes_on(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("clrl.show.wandb_mirror.CONNECT_SECONDS", 3.0)
    monkeypatch.setattr("clrl.show.wandb_mirror.CLOSE_SECONDS", 30.0)
    if case == "no server":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    mirror, warnings = _mirror(_with("online"), tmp_path)
    mirror.start()
    mirror.close()
    assert len(warnings) == 1
    expected = "there is no API key" if case == "no key" else "127.0.0.1:9"
    assert warnings[0].startswith("going on without wandb: ") and expected in warnings[0]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_offline_wandb_writes_into_the_run_directory(tmp_path: Path) -> None:
    stream = io.StringIO()
    logger = RunLogger(_with("offline"), tmp_path, stream)
    logger.train([start(0, 0, "push-v3")])
    logger.metrics(metrics(1500, {0: [0.5]}))
    logger.close()
    name, records = b"stochastic/success/00-push-v3/seed0", list[Path]()
    while not any(name in record.read_bytes() for record in records):
        time.sleep(0.1)  # wandb's own process writes the file
        records = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(records) == 1
    assert "wandb" not in stream.getvalue()
