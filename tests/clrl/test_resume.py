"""Killed, stopped and continued runs end with the bytes of an uninterrupted one."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clrl import errors
from clrl.agents.methods import METHODS
from tests.agents.compilers import needs_native

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
KILLED = -signal.SIGKILL


class Runner:
    """Starts tiny runs, each in a process of its own."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("tiny_run.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def start(self, directory: Path, **job: Any) -> int:
        """Starts a job and returns its pid."""
        return self._ask(json.dumps({"directory": str(directory), **job}))

    def end(self, pid: int) -> int:
        """Waits for a job's exit code."""
        return self._ask(str(pid))

    def run(self, directory: Path, **job: Any) -> int:
        """Runs a job and returns its exit code."""
        return self.end(self.start(directory, **job))

    def close(self) -> None:
        """Ends the process that starts jobs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


_uninterrupted: dict[tuple[str, int, str], tuple[dict[str, str], dict[str, int]]] = {}


def uninterrupted(
    runner: Runner, tmp_path: Path, method: str, n_seeds: int, update: str = "auto"
) -> tuple[dict[str, str], dict[str, int]]:
    """Digests and counts of the run that nobody disturbs; made once."""
    key = (method, n_seeds, update)
    if key not in _uninterrupted:
        directory = tmp_path / f"whole-{method}-{n_seeds}-{update}"
        assert runner.run(directory, method=method, n_seeds=n_seeds, update=update) == 0
        _uninterrupted[key] = (digests(directory), counts(directory))
    return _uninterrupted[key]


def counts(directory: Path) -> dict[str, int]:
    return json.loads(directory.with_suffix(".counts").read_text())


def wait_for(mark: Path) -> None:
    """Returns when a run has left its mark; pytest's timeout ends a test that waits in vain."""
    while not mark.exists():
        time.sleep(0.01)


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of all that must not depend on interruptions: record, checkpoint, policies."""
    state = json.loads((directory / "run.json").read_text())["state"]
    assert state == "complete"
    newest = max((directory / "checkpoints").glob("step-*"))
    files = [directory / "metrics.jsonl", directory / "train.jsonl", *newest.iterdir()]
    files += (directory / "tasks").glob("*/*")
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def kill_until_done(
    runner: Runner, directory: Path, kills: int, ticks: int, rng: random.Random, **job: Any
) -> None:
    """Kills a run up to `kills` times, each time before a random call, then lets it end."""
    for attempt in range(kills):
        code = runner.run(directory, kill_at=rng.randint(1, ticks), **job)
        if code == 0:  # it had gone so far that fewer calls were left
            assert attempt > 0
            return
        assert code == KILLED
        if (directory / "metrics.jsonl").exists():
            with open(directory / "metrics.jsonl", "ab") as file:
                file.write(b'{"seq": 7, "step')  # what a kill in the middle of a write leaves
    assert runner.run(directory, **job) == 0


@pytest.mark.parametrize(
    ("method", "n_seeds", "update"),
    [("finetuning", 1, "auto"), (list(METHODS)[-1], 2, "auto"), ("finetuning", 1, "torch")],
)
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(
    runner: Runner, tmp_path: Path, method: str, n_seeds: int, update: str
) -> None:
    expected, whole = uninterrupted(runner, tmp_path, method, n_seeds, update)
    job = {"method": method, "n_seeds": n_seeds, "update": update}
    directory = tmp_path / "killed"
    kills = 1 if update == "torch" else 3  # autograd takes a second to start
    kill_until_done(runner, directory, kills, whole["ticks"] // 2, random.Random(n_seeds), **job)
    assert digests(directory) == expected
    run = json.loads((directory / "run.json").read_text())
    assert update == "auto" or run["update"] == update
    assert not run["resumed_inexact"]


@needs_native
def test_the_two_paths_are_told_apart_by_these_digests(runner: Runner, tmp_path: Path) -> None:
    first, _ = uninterrupted(runner, tmp_path, "finetuning", 1, "native")
    second, _ = uninterrupted(runner, tmp_path, "finetuning", 1, "torch")
    assert first != second


def test_a_run_killed_while_it_saves_ends_with_the_same_bytes(
    runner: Runner, tmp_path: Path
) -> None:
    expected, _ = uninterrupted(runner, tmp_path, "finetuning", 1)
    directory = tmp_path / "killed"
    # Each attempt gets a little further: the calls are fsync, rename and replace only.
    rng = random.Random(0)
    for _ in range(4):
        assert runner.run(directory, kill_at=rng.randint(8, 60), only="saving") == KILLED
    assert runner.run(directory) == 0
    assert digests(directory) == expected
    assert not list(directory.rglob(".tmp-*"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("update", ["auto", "torch"])
@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_with_the_same_bytes_after_ten_kills(
    runner: Runner, tmp_path: Path, method: str, n_seeds: int, update: str
) -> None:
    expected, whole = uninterrupted(runner, tmp_path, method, n_seeds, update)
    job = {"method": method, "n_seeds": n_seeds, "update": update}
    rng = random.Random(f"{method}{n_seeds}")
    for attempt in range(4):
        directory = tmp_path / f"killed-{attempt}"
        ticks = whole["ticks"] // (attempt + 1)
        kill_until_done(runner, directory, 10, ticks, rng, **job)
        assert digests(directory) == expected


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_before_any_call_of_saving_is_survived(runner: Runner, tmp_path: Path) -> None:
    expected, _ = uninterrupted(runner, tmp_path, "finetuning", 1)
    for at in range(1, 200):
        directory = tmp_path / f"killed-{at}"
        code = runner.run(directory, kill_at=at, only="saving")
        if code == 0:
            break
        assert code == KILLED
        assert runner.run(directory) == 0
        assert digests(directory) == expected
    else:
        pytest.fail("more calls than expected")


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGTERM,
        pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR2, marks=pytest.mark.slow),
    ],
)
def test_a_signal_at_any_moment_stops_a_run_at_its_next_step_without_losing_one(
    runner: Runner, tmp_path: Path, number: int
) -> None:
    expected, whole = uninterrupted(runner, tmp_path, "finetuning", 1)
    directory = tmp_path / "stopped"
    tick = random.Random(number).randint(whole["ticks"] // 4, whole["ticks"] * 3 // 4)
    pid = runner.start(directory, hold_at=tick)
    wait_for(directory.with_suffix(".held"))
    os.kill(pid, number)  # once more at each of the next two ticks: impatient users press again
    assert runner.end(pid) == errors.INTERRUPTED
    assert counts(directory)["after_signal"] <= 1
    run = json.loads((directory / "run.json").read_text())
    newest = max((directory / "checkpoints").glob("step-*")).name
    steps = counts(directory)["steps"]
    assert (run["state"], newest) == ("interrupted", f"step-{steps:09d}")
    assert runner.run(directory) == 0
    assert steps + counts(directory)["steps"] == whole["steps"]
    assert digests(directory) == expected


def test_a_signal_stops_a_run_at_the_next_step_and_not_at_the_next_evaluation(
    runner: Runner, tmp_path: Path
) -> None:
    directory = tmp_path / "stopped"
    pid = runner.start(directory, hold_at=4, only="steps")  # the next evaluation is at step 30
    wait_for(directory.with_suffix(".held"))
    os.kill(pid, signal.SIGTERM)
    assert runner.end(pid) == errors.INTERRUPTED
    assert counts(directory)["steps"] == 4
    assert not (directory / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("where", ["on_task_end", "on_task_start", "step"])
def test_a_signal_ends_a_hook_or_an_evaluation_that_takes_a_minute(
    runner: Runner, tmp_path: Path, where: str
) -> None:
    expected, _ = uninterrupted(runner, tmp_path, "finetuning", 1)
    directory = tmp_path / "stopped"
    pid = runner.start(directory, slow=where)
    wait_for(directory.with_suffix(".slow"))
    os.kill(pid, signal.SIGTERM)
    assert runner.end(pid) == errors.INTERRUPTED
    assert not directory.with_suffix(".whole").exists()
    assert runner.run(directory) == 0
    assert digests(directory) == expected


@pytest.mark.parametrize("n", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_of_processes_started_at_once_exactly_one_runs(
    runner: Runner, tmp_path: Path, n: int
) -> None:
    expected, _ = uninterrupted(runner, tmp_path, "finetuning", 1)
    directory = tmp_path / "run"
    pids = [runner.start(directory, step_seconds=0.01) for _ in range(n)]
    codes = [runner.end(pid) for pid in pids]
    assert sorted(codes) == [errors.OK] + [errors.BUSY] * (n - 1)
    owner = pids[codes.index(errors.OK)]
    said = [file.read_text() for file in tmp_path.glob("run.busy-*")]
    assert len(said) == n - 1
    assert all(f"process {owner} on {socket.gethostname()}" in text for text in said)
    assert digests(directory) == expected


def test_the_lock_of_a_killed_process_is_free(runner: Runner, tmp_path: Path) -> None:
    assert runner.run(tmp_path / "run", kill_at=200) == KILLED
    assert (tmp_path / "run" / ".lock").exists()
    assert runner.run(tmp_path / "run") == 0
