"""The choice between compiled code and torch: by whom, why, and what keeps it."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.native import library, path
from clrl.agents.native.path import SlowUpdate, UpdatePath
from clrl.agents.networks.layers import exact_linear
from clrl.agents.sac import ContinualSAC
from tests.agents.compilers import lacking, needs_native
from tests.agents.tiny import fill, method, sac, total_differences, vec

pytestmark = pytest.mark.usefixtures("unasked")


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for by a variable."""
    monkeypatch.delenv(path.VARIABLE, raising=False)


class Kind:
    """An engine that computes nothing."""

    def __init__(self, learner: Any) -> None:
        self.same, self.can_read = True, True

    @staticmethod
    def refusal(learner: Any) -> str | None:
        return learner.refusal

    def unchanged(self) -> bool:
        return self.same

    def reads(self, batch: Any) -> bool:
        return self.can_read

    def gradients_of(self, *args: Any) -> dict[str, Tensor]:
        raise AssertionError("nothing is computed here")


def learner(refusal: str | None = None, device: str = "cpu") -> Any:
    return SimpleNamespace(name="plain", device=torch.device(device), refusal=refusal)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a library."""
    monkeypatch.setattr(path, "library", lambda: None)
    monkeypatch.setattr(path, "origin", lambda: "compiled for avx2")


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "library", lacking)


@pytest.mark.usefixtures("compiled")
def test_auto_is_native_wherever_it_is_right() -> None:
    for asked in ("auto", "native"):
        chosen = UpdatePath(asked, Kind, learner())
        assert (chosen.path, chosen.reason) == ("native", "compiled for avx2")
    chosen = UpdatePath("torch", Kind, learner())
    assert (chosen.path, chosen.reason) == ("torch", "it is asked for")


REFUSED = {
    "the learner plain has autograd only": (None, learner()),
    "the device is cuda:1": (Kind, learner("not ours", "cuda:1")),
    "a layer is a BayesianLinear": (Kind, learner("a layer is a BayesianLinear")),
}


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("reason", REFUSED)
def test_auto_falls_back_with_the_reason_and_native_is_refused(reason: str) -> None:
    kind, refused = REFUSED[reason]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing that a user could mend
        chosen = UpdatePath("auto", kind, refused)
    assert (chosen.path, chosen.reason) == ("torch", reason)
    match = f"^update is native, but {reason}; give update auto or torch$"
    with pytest.raises(ValueError, match=match):
        UpdatePath("native", kind, refused)


def test_what_only_lacks_a_compiler_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    without_compiler(monkeypatch)
    with pytest.warns(SlowUpdate, match="slower than .*: there is no C compiler: install gcc"):
        chosen = UpdatePath("auto", Kind, learner())
    assert chosen.path == "torch" and "install gcc or clang" in chosen.reason
    with pytest.raises(ValueError, match="update is native, but there is no C compiler: install"):
        UpdatePath("native", Kind, learner())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        UpdatePath("torch", Kind, learner())
        # A compiler would not help here, and is not named.
        assert UpdatePath("auto", Kind, learner("not ours")).reason == "not ours"
        assert UpdatePath("auto", Kind, learner(device="cuda")).reason == "the device is cuda"
        assert UpdatePath("auto", None, learner()).reason.endswith("has autograd only")


@pytest.mark.parametrize("machine", ["arm64", "aarch64", "x86_64"])
def test_another_processor_is_torchs_without_a_warning(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent = sac()
    said = "the processor (DEFAULT) is not x86-64 with AVX2 and FMA"
    assert (agent.native.path, agent.native.reason) == ("torch", said)
    assert agent.engine() is None


@pytest.mark.usefixtures("compiled")
def test_the_variable_says_what_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(path.VARIABLE, "torch")
    chosen = UpdatePath("auto", Kind, learner())
    assert (chosen.path, chosen.reason) == ("torch", "CLRL_UPDATE asks for it")
    assert UpdatePath("native", Kind, learner()).path == "native"
    for nothing in ("", "auto"):
        monkeypatch.setenv(path.VARIABLE, nothing)
        assert UpdatePath("auto", Kind, learner()).path == "native"
    monkeypatch.setenv(path.VARIABLE, "native")
    assert UpdatePath("torch", Kind, learner()).path == "torch"
    match = "CLRL_UPDATE is native, but not ours; give CLRL_UPDATE auto or torch"
    with pytest.raises(ValueError, match=match):
        UpdatePath("auto", Kind, learner("not ours"))
    monkeypatch.setenv(path.VARIABLE, "fast")
    with pytest.raises(ValueError, match="CLRL_UPDATE is 'fast'; it must be auto or native or"):
        UpdatePath("auto", Kind, learner())


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="update is 'fast'; it must be auto or native or torch"):
        sac(update="fast")


@pytest.mark.usefixtures("compiled")
def test_what_goes_on_keeps_its_path_unless_another_one_is_asked_for() -> None:
    chosen = UpdatePath("auto", Kind, learner())
    chosen.go_on("native", learner())
    assert chosen.reason == "compiled for avx2"
    chosen.go_on("torch", learner())
    assert (chosen.path, chosen.reason) == ("torch", "what goes on began so")
    chosen.go_on("native", learner())
    assert (chosen.path, chosen.reason) == ("native", "compiled for avx2")
    for asked in ("native", "torch"):
        chosen = UpdatePath(asked, Kind, learner())
        chosen.go_on("torch" if asked == "native" else "native", learner())
        assert chosen.path == asked


def test_what_began_native_goes_on_by_torch_where_nothing_compiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_compiler(monkeypatch)
    with pytest.warns(SlowUpdate):
        chosen = UpdatePath("auto", Kind, learner())
    chosen.go_on("native", learner())
    assert chosen.path == "torch" and chosen.reason.startswith("there is no C compiler")


@pytest.mark.usefixtures("compiled")
def test_what_the_engine_cannot_do_is_torchs_and_warned_of_once() -> None:
    ours = learner()
    chosen = UpdatePath("auto", Kind, ours)
    engine = chosen.engine(ours, "batch")
    assert isinstance(engine, Kind) and chosen.engine(ours) is engine
    with exact_linear():
        assert chosen.engine(ours) is None
    engine.can_read = False
    with pytest.warns(UserWarning, match="this update is computed by torch: a batch") as said:
        assert chosen.engine(ours, "batch") is chosen.engine(ours, "batch") is None
    assert len(said) == 1
    engine.same, ours.refusal = False, "`losses` of X is not the library's own"
    with pytest.warns(UserWarning, match="by torch: `losses` of X"):
        assert chosen.engine(ours) is None
    ours.refusal = None
    made_anew = chosen.engine(ours)
    assert isinstance(made_anew, Kind) and made_anew is not engine


@pytest.mark.usefixtures("compiled")
def test_a_copy_makes_an_engine_of_its_own() -> None:
    ours = learner()
    chosen = UpdatePath("auto", Kind, ours)
    engine = chosen.engine(ours)
    twin = copy.deepcopy(chosen)
    assert (twin.path, twin.asked, twin.reason) == (chosen.path, chosen.asked, chosen.reason)
    assert twin.engine(ours) is not engine and chosen.engine(ours) is engine


# Agents


@needs_native
def test_an_agent_takes_either_path_and_says_which() -> None:
    native, torchs = sac(update="native"), sac(update="torch")
    assert native.native.reason.startswith("compiled for ")
    fill(native)
    assert native.engine(native.sample(None, 0)) is not None and torchs.engine() is None
    assert sac(method=method("vcl")).native.path == "torch"
    with pytest.raises(ValueError, match="update is native, but a layer is a BayesianLinear"):
        sac(method=method("vcl"), update="native")
    limits: dict[str, Any] = {"hidden_sizes": (2048,), "batch_size": 2048}
    for name, value in limits.items():
        with pytest.raises(
            ValueError, match="update is native, but .*2048.*, more than 1024; give"
        ):
            sac(update="native", **{name: value})
        assert sac(**{name: value}).native.path == "torch"
    with pytest.raises(ValueError, match="has 9 hidden layers, more than 8"):
        sac(update="native", hidden_sizes=(16,) * 9)


def test_without_a_compiler_an_agent_learns_and_one_line_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_compiler(monkeypatch)
    with pytest.warns(SlowUpdate, match="install gcc or clang") as said:
        agent = sac().learn(40)
    assert agent.n_updates > 0 and len(said) == 1
    assert said[0].filename.endswith("tiny.py")  # where the agent was made
    asked = sac(update="torch").learn(40)
    assert total_differences(agent.state_dict(), asked.state_dict()) == []


@pytest.mark.parametrize("update", ["torch", pytest.param("native", marks=needs_native)])
def test_what_is_taken_saved_and_loaded_goes_on_as_it_began(update: Any, tmp_path: Path) -> None:
    agent = sac(seeds=(0, 1), update=update).learn(30)
    assert agent.take(1).native.path == update
    agent.save(tmp_path / "agent.zip")
    assert ContinualSAC.load(tmp_path / "agent.zip").native.path == update
    for other in ("torch", agent.native.path):
        asked = ContinualSAC.load(tmp_path / "agent.zip", update=other)
        assert asked.native.path == other


@needs_native
def test_what_was_taken_by_torch_for_a_reason_stays_there() -> None:
    agent = sac(seeds=(0, 1)).learn(30)
    agent.native.go_on("torch", agent)
    assert agent.take(0).native.path == "torch"


@needs_native
def test_an_agent_of_an_older_file_goes_on_by_torch(tmp_path: Path) -> None:
    sac(update="native").save(tmp_path / "agent.zip")
    payload = torch.load(tmp_path / "agent.zip", weights_only=True)
    payload["json"] = payload["json"].replace('"update": "native", ', "")
    assert '"update"' not in payload["json"]
    torch.save(payload, tmp_path / "agent.zip")
    assert ContinualSAC.load(tmp_path / "agent.zip").native.path == "torch"


def test_a_native_file_is_loaded_where_nothing_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = sac().learn(30)
    agent.save(tmp_path / "agent.zip")
    without_compiler(monkeypatch)
    with pytest.warns(SlowUpdate):
        loaded = ContinualSAC.load(tmp_path / "agent.zip")
    assert loaded.native.path == "torch"
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []


class Plain(ContinualSAC):
    """An agent without an engine."""

    engine_class = None  # type: ignore[assignment]


def test_a_learner_without_an_engine_says_so() -> None:
    agent = Plain(vec(), hidden_sizes=(16,), device="cpu")
    assert agent.native.reason == "the learner sac has autograd only" and agent.engine() is None
    with pytest.raises(ValueError, match="update is native, but the learner sac has autograd only"):
        Plain(vec(), hidden_sizes=(16,), device="cpu", update="native")


def test_the_library_is_asked_for_only_where_it_could_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never() -> None:
        raise AssertionError("compiled for nothing")

    for owner in (path, library):
        monkeypatch.setattr(owner, "library", never)
    assert sac(update="torch").native.path == "torch"
    monkeypatch.setenv(path.VARIABLE, "torch")
    assert sac().native.path == "torch"
