"""The path of a run's updates: chosen before it starts, kept while it goes on."""

from __future__ import annotations

import dataclasses
import runpy
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clrl import errors
from clrl.agents.native.path import SlowUpdate
from clrl.agents.sac.settings import SACSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.placement import PlacementConfig
from clrl.config.run import RunConfig, run_type
from clrl.errors import ConfigError
from clrl.run import protocol
from clrl.run.directory import RunFile
from clrl.run.protocol import run, train
from clrl.run.trainable import AgentOnWorlds
from tests.agents.compilers import lacking, needs_native
from tests.clrl.scripted import Stopping

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_run.py"))))

META_WORLD = run_type(MetaWorldSequence, SACSettings)(
    MetaWorldSequence(("hammer-v3",), steps_per_task=60, horizon=25),
    SACSettings(hidden_sizes=(8, 8), batch_size=8, exploration_steps=20, learning_starts=20),
    evaluation=Evaluation(2, stochastic_episodes=1, deterministic_episodes=0),
)


class Heard(protocol.Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def begun_by(update: str, directory: Path) -> None:
    """Begin a run, and let it stop after its first checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(update=update), directory, tiny.EVALUATION, mirror=Stopping(60))
    assert RunFile(directory).values["update"] == update


def goes_on_by(path: str, exact: bool, directory: Path, update: str = "auto") -> str:
    """Let a run go on to its end, by a path, and return what its log says of that."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        mirror = Heard()
        train(tiny.make_agent(update=update), directory, tiny.EVALUATION, mirror=mirror)
    before = "torch" if path == "native" else "native"
    bits = [str(w.message) for w in said if "bit for bit" in str(w.message)]
    assert bits == [f"going on, but not bit for bit: update {before} -> {path}"] * (not exact)
    values = RunFile(directory).values
    assert (values["update"], values["resumed_inexact"]) == (path, not exact)
    (line,) = [text for text in mirror.said if "update" in text]
    assert line.endswith(f"update {path} ({values['update_reason']})")
    return str(values["update_reason"])


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable asks for a path."""
    monkeypatch.delenv("CLRL_UPDATE", raising=False)


@needs_native
@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize(
    ("begun", "update", "variable", "path"),
    [
        ("native", "auto", "", "native"),
        ("torch", "auto", "", "torch"),
        ("native", "torch", "", "torch"),
        ("torch", "native", "", "native"),
        pytest.param("torch", "torch", "", "torch", marks=pytest.mark.slow),
        pytest.param("native", "auto", "torch", "torch", marks=pytest.mark.slow),
        pytest.param("native", "native", "torch", "native", marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_with_the_update_it_began_with_or_says_that_it_does_not(
    begun: str, update: str, variable: str, path: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    begun_by(begun, tmp_path)
    monkeypatch.setenv("CLRL_UPDATE", variable)
    reason = goes_on_by(path, begun == path, tmp_path, update)
    if (begun, update) == ("torch", "auto"):
        assert reason == "what goes on began so"


@needs_native
@pytest.mark.usefixtures("unasked")
def test_a_native_run_goes_on_by_torch_where_nothing_compiles_and_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_by("native", tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("clrl.agents.native.path.library", lacking)
        with (
            pytest.warns(UserWarning, match="update native -> torch"),
            pytest.raises(KeyboardInterrupt),
        ):
            train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(120))
    values = RunFile(tmp_path).values
    assert values["update"] == "torch" and "install gcc or clang" in values["update_reason"]
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    values = RunFile(tmp_path).values
    assert (values["update"], values["resumed_inexact"]) == ("torch", True)


@needs_native
@pytest.mark.usefixtures("unasked")
def test_a_run_from_before_there_was_a_choice_goes_on_by_torch(tmp_path: Path) -> None:
    begun_by("torch", tmp_path)
    run_file = RunFile(tmp_path)
    del run_file.values["update"], run_file.values["update_reason"]
    run_file.update()
    goes_on_by("torch", True, tmp_path)


def stop(*args: Any) -> bool:
    raise KeyboardInterrupt


@needs_native
@pytest.mark.usefixtures("unasked")
def test_a_run_without_a_checkpoint_may_begin_anew_by_another_path(tmp_path: Path) -> None:
    agent = tiny.make_agent(update="torch")
    agent._step = stop
    with pytest.raises(KeyboardInterrupt):
        train(agent, tmp_path, tiny.EVALUATION)
    assert RunFile(tmp_path).values["update"] == "torch"
    goes_on_by("native", True, tmp_path)


def test_the_update_of_a_run_made_in_python_stands_in_its_configuration(tmp_path: Path) -> None:
    begun_by("torch", tmp_path)
    assert RunConfig.load(tmp_path / "config.yaml").placement.update == "torch"


@pytest.mark.usefixtures("unasked")
def test_native_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("clrl.agents.native.path.library", lacking)
    asked = dataclasses.replace(META_WORLD, placement=PlacementConfig(update="native"))
    for config, variable, who in ((asked, "", "update"), (META_WORLD, "native", "CLRL_UPDATE")):
        monkeypatch.setenv("CLRL_UPDATE", variable)
        assert run(config, tmp_path / "new", protocol.Silent()) == errors.CONFIG
        assert f"{who} is native, but there is no C compiler: " in capsys.readouterr().err
    monkeypatch.setenv("CLRL_UPDATE", "fast")
    assert run(META_WORLD, tmp_path / "new", protocol.Silent()) == errors.CONFIG
    assert "CLRL_UPDATE is 'fast'; it must be auto or" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unasked")
def test_a_complete_run_is_found_complete_whatever_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(protocol, "build", lambda config: AgentOnWorlds(tiny.make_agent()))
    assert run(META_WORLD, tmp_path, protocol.Silent()) == errors.OK
    monkeypatch.setattr("clrl.agents.native.path.library", lacking)
    asked = dataclasses.replace(META_WORLD, placement=PlacementConfig(update="native"))
    assert run(asked, tmp_path, protocol.Silent()) == errors.OK
    assert "was complete already" in capsys.readouterr().out


@pytest.mark.usefixtures("unasked")
def test_where_nothing_compiles_a_run_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clrl.agents.native.path.library", lacking)
    heard = Heard()
    heard.metrics = Stopping(30).metrics  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SlowUpdate)
        assert run(META_WORLD, tmp_path, heard) == errors.INTERRUPTED
    (line,) = [text for text in heard.said if "compiler" in text]
    assert line.endswith("update torch (there is no C compiler: install gcc or clang)")
    assert RunFile(tmp_path).values["update"] == "torch"


@needs_native
def test_a_row_of_the_table_that_cannot_be_native_is_named_before_any_starts() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "cw20" / "all.py"))
    with pytest.raises(ConfigError, match=r"^vcl: update is native, but a layer is"):
        script["main"](["--preset", "small", "--update", "native", "--dry-run"])
