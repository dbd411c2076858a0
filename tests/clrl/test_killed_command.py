"""The whole command, killed and stopped at any time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.run.directory import RunFile
from tests.clrl.rundirs import files

COMMAND = """
import sys
from clrl.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(method: str, directory: Path) -> subprocess.Popen[bytes]:
    """Starts `clrl train` on two small tasks."""
    words = f"train {method} --sequence hammer-v3,push-v3 --steps-per-task 300 --horizon 50"
    words += " --preset small --seeds 0,1 --evals-per-task 3 --sac.exploration-steps 50"
    words += " --sac.learning-starts 50 --sac.hidden-sizes 16 16 --stochastic-episodes 2"
    words += " --sac.train-freq 10 --sac.gradient-steps 2"
    if method == "packnet":
        words += " --retrain-steps 50"
    program = [sys.executable, "-c", COMMAND, *words.split(), "--out", str(directory)]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", METHODS)
def test_the_command_killed_and_stopped_at_any_time_ends_with_the_same_bytes(
    tmp_path: Path, method: str
) -> None:
    assert start(method, tmp_path / "whole").wait() == errors.OK
    seconds = sum(RunFile(tmp_path / "whole").values["wall_seconds"].values())
    rng = random.Random(method)
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        before = os.times()
        process = start(method, tmp_path / "killed")
        while not owner(tmp_path / "killed") == process.pid:  # it is still importing
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 0.4 * seconds))
        used = psutil.Process(process.pid).cpu_times()
        process.send_signal(number)
        code = process.wait()
        after = os.times()
        work = after.children_user + after.children_system - (used.user + used.system)
        assert work - (before.children_user + before.children_system) < 5
        assert code in (-number if number == signal.SIGKILL else errors.INTERRUPTED, errors.OK)
    assert start(method, tmp_path / "killed").wait() == errors.OK
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")


def owner(directory: Path) -> int | None:
    """The pid of the process that owned a run last."""
    path = directory / ".owner"
    return int(json.loads(path.read_text())["pid"]) if path.exists() else None


def kept(directory: Path) -> dict[str, str]:
    """Digests of all that must not depend on interruptions."""
    newest = max((directory / "checkpoints").glob("step-*"))
    return {
        str(file.relative_to(directory)): digest
        for file, digest in files(directory).items()
        if file.suffix == ".jsonl" or file.is_relative_to(directory / "tasks")
        or file.is_relative_to(newest)
    }  # fmt: skip
