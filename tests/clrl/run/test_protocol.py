"""What a run refuses, how it ends, what it leaves behind: exit codes, policies, the process."""

from __future__ import annotations

import dataclasses
import os
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.settings import SACSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.placement import PlacementConfig
from clrl.config.run import RunConfig, run_type
from clrl.envs.schedule import Schedule
from clrl.errors import ConfigError
from clrl.run import protocol
from clrl.run.builder import load_policy, load_trained
from clrl.run.directory import RunFile, owned
from clrl.run.loop import Loop
from clrl.run.protocol import run, train
from clrl.run.trainable import AgentOnWorlds
from tests.clrl.rundirs import files, lines
from tests.clrl.scripted import Stopping

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tiny_run.py")))

META_WORLD = run_type(MetaWorldSequence, SACSettings)(
    MetaWorldSequence(("hammer-v3", "window-close-v3"), steps_per_task=60, horizon=25),
    SACSettings(hidden_sizes=(8, 8), batch_size=8, exploration_steps=20, learning_starts=20,
                train_freq=10, gradient_steps=1, buffer_size=100),
    evaluation=Evaluation(2, stochastic_episodes=1, deterministic_episodes=1),
    seeds=(0, 3),
)  # fmt: skip


def test_a_complete_run_is_left_as_it_is(tmp_path: Path) -> None:
    first = train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    before = files(tmp_path)
    again = train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    assert files(tmp_path) == before
    assert np.array_equal(first.success, again.success)


def test_another_configuration_is_refused_naming_what_differs(tmp_path: Path) -> None:
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    before = files(tmp_path)
    other = dataclasses.replace(tiny.EVALUATION, stochastic_episodes=7)
    with pytest.raises(ConfigError, match="evaluation.stochastic_episodes: 2 -> 7"):
        train(tiny.make_agent(), tmp_path, other)
    with pytest.raises(ConfigError, match=r"seeds: \[0\] -> \[0, 1\]"):
        train(tiny.make_agent(n_seeds=2), tmp_path, tiny.EVALUATION)
    assert files(tmp_path) == before


def test_a_directory_with_parts_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION)


def test_agents_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has trained 5 steps"):
        train(tiny.make_agent().learn(5), tmp_path)
    with pytest.raises(ValueError, match="needed is SeedVecEnv"):
        train(ContinualSAC(tiny.make_sequence(), hidden_sizes=(4,)), tmp_path)
    with pytest.raises(ValueError, match="evals_per_task is 50"):
        train(tiny.make_agent(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_continuation_with_other_versions_goes_on_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(60))
    run_file = RunFile(tmp_path)
    run_file.update(versions={**run_file.values["versions"], "torch": "2.0.0"})
    with pytest.warns(UserWarning, match="not bit for bit: torch 2.0.0 -> "):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    assert RunFile(tmp_path).values["resumed_inexact"] is True


def test_ten_lines_train_on_a_users_own_environments_and_make_a_table(tmp_path: Path) -> None:
    from clrl.envs.sequence import TaskSequence
    from clrl.envs.vector import SeedVecEnv
    from clrl.results.tables import table

    goals = [-1.0, 1.0]
    makers = [partial(tiny.Drift, goal) for goal in goals]
    env = SeedVecEnv([lambda: TaskSequence(makers, 60, ["left", "right"])] * 2, seeds=[0, 1])
    agent = ContinualSAC(env, METHODS["finetuning"](), seeds=[0, 1], hidden_sizes=(8, 8),
                         exploration_steps=10, learning_starts=10)  # fmt: skip
    train(agent, tmp_path / "mine", Evaluation(evals_per_task=6, stochastic_episodes=2))
    config = yaml.safe_load((tmp_path / "mine" / "config.yaml").read_text())
    assert config["sequence"]["tasks"] == ["left", "right"]
    assert (config["learner"]["name"], config["method"]["name"]) == ("sac", "finetuning")
    assert "finetuning" in table([tmp_path / "mine"]).markdown()


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
        monkeypatch.setattr(protocol.compute, "best_matmul", lambda *sizes, best=best: best)
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


class Heard(protocol.Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_run_says_first_where_it_computes(tmp_path: Path) -> None:
    mirror = Heard()
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=mirror)
    model = RunFile(tmp_path).values["processor"]
    chosen = tiny.make_agent().native
    assert mirror.said[0] == (
        f"device cpu ({model}), 1 thread, matrix product default, "
        f"update {chosen.path} ({chosen.reason})"
    )
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=(again := Heard()))
    assert again.said == []  # it was complete


def test_run_json_tells_of_the_start_and_of_continuations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/home/me/study.py", "--out", "runs/a", "--fast"])
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(30))
    first = RunFile(tmp_path).values
    assert first["command"] == ["study.py", "--fast"] and first["started"].endswith("+00:00")
    assert first["processor"] and first["gpu"] is None and "continued" not in first
    assert first["commit"] is None or set(first["commit"]) == {"hash", "dirty"}
    monkeypatch.setattr("sys.argv", ["again.py"])
    monkeypatch.setattr(
        "clrl.machine.origin.commit", lambda root: {"hash": "f" * 40, "dirty": True}
    )
    monkeypatch.setattr("clrl.run.directory.processor_model", lambda: "another one")
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    last = RunFile(tmp_path).values
    for key in ("started", "command", "commit"):
        assert last[key] == first[key]
    (later,) = last["continued"]
    assert later["command"] == ["again.py"] and later["commit"]["dirty"]
    assert last["state"] == "complete" and last["resumed_inexact"] is False


def test_the_command_of_a_run_stands_in_run_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "build", lambda config: AgentOnWorlds(tiny.make_agent()))
    words = ["clrl", "train", "ewc", "--out", str(tmp_path), "--seeds", "0"]
    assert run(META_WORLD, tmp_path, protocol.Silent(), words) == errors.OK
    assert RunFile(tmp_path).values["command"] == ["clrl", "train", "ewc", "--seeds", "0"]


def test_a_python_run_with_another_product_goes_on_inexactly(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(30))
    assert RunFile(tmp_path).values["matmul"] == "default"
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.warns(UserWarning, match="not bit for bit: matmul default -> onednn"):
            train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert RunFile(tmp_path).values["resumed_inexact"] is True


@pytest.mark.parametrize("matmul", ["auto", "onednn", "default"])
@pytest.mark.parametrize("before", [{}, {"matmul": "onednn"}])
def test_on_a_gpu_the_product_is_always_torchs_own(
    tmp_path: Path, matmul: str, before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clrl.run.directory.gpu_model", lambda device: "H100")
    run_file = RunFile(tmp_path)
    run_file.values |= before
    settings = SimpleNamespace(batch_size=512, hidden_sizes=(512,))
    learner = SimpleNamespace(name="sac", device="cuda:0", settings=settings)
    facts = protocol._facts(run_file, None, matmul, learner)
    assert facts["matmul"] == "default" and torch.get_float32_matmul_precision() == "highest"
    assert protocol._where(facts).startswith("device cuda:0 (H100), ")


@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_gpu_that_is_not_there_ends_a_run_before_it_starts(
    tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    placed = dataclasses.replace(META_WORLD, placement=PlacementConfig(device))
    assert run(placed, tmp_path / "new", protocol.Silent()) == errors.CONFIG
    assert f"device is {device}, but torch" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_policy_trained_on_a_gpu_is_loaded_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("device: cpu", "device: cuda"))
    assert "device: cuda" in config.read_text()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    env = tiny.make_agent().get_env()
    assert load_policy(tmp_path, env=env).device.type == "cpu"


@pytest.mark.parametrize(
    ("n_tasks", "last"), [(3, "02"), (100, "99"), (101, "100"), (1_001, "1000")]
)
def test_snapshots_sort_as_tasks_do(n_tasks: int, last: str, tmp_path: Path) -> None:
    names = [f"t{task}" for task in range(n_tasks)]
    written: list[str] = []
    self = SimpleNamespace(
        schedule=Schedule(names, 1), directory=tmp_path,
        trained=SimpleNamespace(policy_state=dict), check=lambda tensors, step: None,
        name=names.__getitem__,
    )  # fmt: skip
    for task in sorted({0, 1, 2, 10 % n_tasks, n_tasks - 1}):
        Loop.save_policy(self, task, 5)  # type: ignore[arg-type]
        written.append(max(p.name for p in (tmp_path / "tasks").iterdir()))
        assert written[-1].endswith(f"-t{task}")
    assert written[-1] == f"{last}-t{n_tasks - 1}"


@dataclasses.dataclass
class Noted(Finetuning):
    """A method whose fields hold anything."""

    note: Any = None


NOTES = [np.arange(3), (np.int64(1), (np.float32(2), [np.bool_(True)])), {"a": np.ones(2)}]


@pytest.mark.parametrize("note", [*NOTES, np.float64(3), torch.tensor(2.0)], ids=str)
def test_a_method_may_hold_numpys_values_and_the_run_goes_on(note: Any, tmp_path: Path) -> None:
    def agent() -> ContinualSAC:
        made = tiny.make_agent()
        return ContinualSAC(made.get_env(), Noted(note), made.settings)

    with pytest.raises(KeyboardInterrupt):
        train(agent(), tmp_path / "run", tiny.EVALUATION, mirror=Stopping(30))
    train(agent(), tmp_path / "run", tiny.EVALUATION)
    last = agent()
    last.save(tmp_path / "agent.zip")
    assert ContinualSAC.load(tmp_path / "agent.zip").seeds == (0,)


@pytest.mark.parametrize("learner", [ContinualSAC, Finetuning(), None, "sac"])
def test_what_is_no_learner_is_refused(learner: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="learner is .*; needed is an object of Learner"):
        train(learner, tmp_path)
    with pytest.raises(TypeError, match="evaluation is .*; needed is an object of Evaluation"):
        train(tiny.make_agent(), tmp_path, learner or Evaluation)  # type: ignore[arg-type]
