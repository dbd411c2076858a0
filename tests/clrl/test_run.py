"""`run`: a configuration on Meta-World, its exit codes, its policies."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.sac.settings import SACSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.placement import PlacementConfig
from clrl.config.run import RunConfig, run_type
from clrl.errors import ConfigError
from clrl.run import protocol
from clrl.run.builder import load_policy, load_trained
from clrl.run.directory import RunFile, owned
from clrl.run.protocol import run
from clrl.run.trainable import AgentOnWorlds
from tests.clrl.rundirs import files, lines

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_run.py"))))

META_WORLD = run_type(MetaWorldSequence, SACSettings)(
    MetaWorldSequence(("hammer-v3", "window-close-v3"), steps_per_task=60, horizon=25),
    SACSettings(hidden_sizes=(8, 8), batch_size=8, exploration_steps=20, learning_starts=20,
                train_freq=10, gradient_steps=1, buffer_size=100),
    evaluation=Evaluation(2, stochastic_episodes=1, deterministic_episodes=1),
    seeds=(0, 3),
)  # fmt: skip


class Stopping(protocol.Silent):
    """Ends the run, as a signal would, with the evaluation of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, rows: Any) -> None:
        if rows[0]["step"] == self.step:
            raise KeyboardInterrupt


def test_a_run_of_meta_world_ends_with_its_policies_and_is_found_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    assert run(META_WORLD, directory, protocol.Silent()) == errors.OK
    assert RunConfig.load(directory / "config.yaml") == META_WORLD
    assert [p.name for p in sorted((directory / "tasks").iterdir())] == [
        "00-hammer-v3",
        "01-window-close-v3",
    ]
    assert RunFile(directory).values["matmul"] in ("default", "onednn")
    before = files(directory)
    monkeypatch.setattr(protocol, "build", None)  # nothing is built for a complete run
    assert run(META_WORLD, directory, protocol.Silent()) == errors.OK
    assert files(directory) == before
    check_policies(directory)


def check_policies(directory: Path) -> None:
    """The last policy, loaded, repeats the last evaluation; the first task's is another one."""
    trained = load_trained(directory)
    last = trained.learner
    assert last.seeds == (0, 3)
    rows = trained.evaluate([0, 1], 120, META_WORLD.evaluation)
    trained.close()
    recorded = lines(directory / "metrics.jsonl")[-len(rows) :]
    assert [{"seq": r["seq"], **row} for r, row in zip(recorded, rows, strict=True)] == recorded
    first = load_policy(directory, task=0)
    assert not torch.equal(first.flats["actor"].flat, last.flats["actor"].flat)
    with pytest.raises(ConfigError, match="task 7 is finished"):
        load_policy(directory, task=7)


def test_an_exit_code_says_why_a_run_did_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = [tiny.make_agent() for _ in range(2)]
    monkeypatch.setattr(protocol, "build", lambda config: AgentOnWorlds(agents.pop()))
    silent = protocol.Silent()
    assert run(META_WORLD, tmp_path, Stopping(30)) == errors.INTERRUPTED
    assert RunFile(tmp_path).values["state"] == "interrupted"
    with owned(tmp_path):
        assert run(META_WORLD, tmp_path, silent) == errors.BUSY
    other = dataclasses.replace(META_WORLD, seeds=(0, 4))
    assert run(other, tmp_path, silent) == errors.CONFIG
    elsewhere = dataclasses.replace(META_WORLD, placement=PlacementConfig(matmul="default"))
    nan = torch.full((1,), float("nan"), requires_grad=True)
    agents[-1].losses = lambda batch: {"critic": nan}
    assert run(elsewhere, tmp_path / "nan", silent) == errors.FAULT
    for path in (tmp_path / "checkpoints").glob("*/tensors.pt"):
        path.write_bytes(b"")
    before = files(tmp_path)
    assert run(META_WORLD, tmp_path, silent) == errors.DAMAGED
    assert files(tmp_path) == before
    said = capsys.readouterr().err
    for words in ("the same command goes on", f"process {os.getpid()}", "seeds: [0, 3] -> [0, 4]",
                  "critic loss of seed 0", "every checkpoint is damaged"):  # fmt: skip
        assert words in said


def test_the_matrix_product_of_a_runs_start_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    monkeypatch.setattr(protocol, "build", lambda config: AgentOnWorlds(tiny.make_agent()))
    monkeypatch.setattr(protocol.compute, "use_matmul", used.append)
    for best, end in (("onednn", errors.INTERRUPTED), ("default", errors.OK)):
        monkeypatch.setattr(protocol.compute, "best_matmul", lambda batch, width, best=best: best)
        mirror = Stopping(30) if end == errors.INTERRUPTED else protocol.Silent()
        assert run(META_WORLD, tmp_path, mirror) == end
    assert used == ["onednn", "onednn"]
    assert RunFile(tmp_path).values["matmul"] == "onednn"


def test_a_run_leaves_the_process_computing_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    placed = dataclasses.replace(META_WORLD, placement=PlacementConfig("cpu", 2, "onednn"))
    assert run(placed, tmp_path, Stopping(30)) == errors.INTERRUPTED
    assert RunFile(tmp_path).values["threads"] == 2
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


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
