"""Methods from outside: registered, of an installed package, by the name of a file; and saved."""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from clrl.agents import methods
from clrl.agents.methods import METHODS, Method, method_class, method_name, register_method
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.registry import Methods
from clrl.agents.sac import ContinualSAC
from clrl.agents.settings.fields import number
from tests.agents.tiny import sac


@dataclass
class Mine(Method):
    """A user's own method."""

    share: float = number(0.1, least=0, most=1)
    """Share of something."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    monkeypatch.setattr(methods, "METHODS", Methods(dict(METHODS)))


def set_points(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let an installed package offer methods."""
    points = [EntryPoint(name.replace("_", "-"), value, "clrl.methods")
              for name, value in values.items()]  # fmt: skip
    monkeypatch.setattr("clrl.agents.methods.registry.entry_points", lambda group: points)


def test_a_registered_method_is_found_like_a_built_in_one() -> None:
    assert register_method("mine", Mine)(Mine) is Mine
    assert "mine" in methods.METHODS and methods.METHODS["mine"] is Mine
    assert list(methods.METHODS) == [*METHODS, "mine"] and len(methods.METHODS) == len(METHODS) + 1
    assert dict(methods.METHODS.items())["mine"] is Mine
    assert method_class("mine") is Mine and method_name(Mine) == "mine"
    assert method_name(EWC) == "ewc"


def test_it_is_a_decorator_too() -> None:
    @register_method("twice")
    class Twice(Method):
        """Registered."""

    assert method_class("twice") is Twice


def test_a_cell_that_runs_again_registers_its_class_anew() -> None:
    def cell() -> Any:
        class Again(Method):
            """Made anew."""

        register_method("again", Again)
        return Again

    assert cell() is not cell()
    assert method_class("again") is not None


@pytest.mark.parametrize(
    ("name", "cls", "sentence"),
    [
        ("ewc", Mine, "the method 'ewc' is clrl.agents.methods.ewc:EWC already; choose another"),
        ("my-ewc", EWC, "clrl.agents.methods.ewc:EWC has the name 'ewc' already"),
        ("mine", Mine(), r"'mine' is Mine\(.*\); needed is a class that is a clrl.agents.methods"),
        ("mine", dict, "'mine' is <class 'dict'>; needed is a class that is"),
        ("My Method", Mine, "the name of a method is 'My Method'; allowed are small letters"),
        ("a.b:C", Mine, "allowed are small letters and digits, with hyphens"),
        (3, Mine, "the name of a method is 3; allowed are"),
    ],
)
def test_what_cannot_be_registered_is_refused(name: Any, cls: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        register_method(name, cls)
    assert list(methods.METHODS) == list(METHODS)


def test_a_method_of_an_installed_package_is_loaded_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_points(monkeypatch, theirs=f"{__name__}:Mine")
    methods.METHODS["ewc"]
    assert "theirs" not in methods.METHODS._known
    assert method_class("theirs") is Mine and method_name(Mine) == "theirs"
    assert caplog.records == []


def test_a_broken_entry_point_is_named_in_one_line_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_points(monkeypatch, broken="nowhere.file:X", ewc=f"{__name__}:Mine", no_method="json:dumps",
               theirs=f"{__name__}:Mine")  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert list(methods.METHODS) == [*METHODS, "theirs"]
        assert "broken" not in methods.METHODS
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split()[3] for text in texts] == ["broken", "ewc", "no-method"]
    assert "broken = 'nowhere.file:X' of clrl.methods cannot be used: ModuleNotFound" in texts[0]
    assert not any("\n" in text for text in texts)


def test_a_file_names_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "from clrl.agents.methods import Method\nclass Outer:\n    class Theirs(Method):\n"
        "        pass\nnothing = 3\n"
    )
    (tmp_path / "some_file_of_theirs.py").write_text(text)
    (tmp_path / "broken_file_of_theirs.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    cls = method_class("some_file_of_theirs:Outer.Theirs")
    assert method_name(cls) == "some_file_of_theirs:Outer.Theirs"
    assert method_class("clrl.agents.methods.l2:L2") is L2 and method_name(L2) == "l2"
    for name, sentence in {
        "ecw": "unknown method 'ecw'; did you mean 'ewc'?",
        "nowhere.file:X": "'nowhere.file:X': there is no module 'nowhere'",
        "some_file_of_theirs:Theirs": "some_file_of_theirs has no 'Theirs'",
        "some_file_of_theirs:": "some_file_of_theirs has no ''",
        "some_file_of_theirs:nothing": "is 3; needed is a class that is a clrl.agents.methods.M",
        "broken_file_of_theirs:X": r"cannot be imported \(ModuleNotFoundError: .*nowhere_at_all",
        ":X": "its module cannot be imported",
    }.items():
        with pytest.raises(ValueError, match=sentence) as refusal:
            method_class(name)
        assert "\n" not in str(refusal.value)


def saved(method: Method, folder: Path) -> Path:
    """Return the file of a trained agent."""
    agent = sac(method=method).learn(30)
    agent.save(folder / "agent.zip")
    return folder / "agent.zip"


def rename(path: Path, name: str) -> None:
    """Write another name of the method into a file."""
    payload = torch.load(path, weights_only=True)
    values = json.loads(payload["json"])
    values["agent"]["method"]["name"] = name
    torch.save(payload | {"json": json.dumps(values)}, path)


def test_an_agent_with_a_user_s_method_is_loaded(tmp_path: Path) -> None:
    path = saved(Mine(share=0.5), tmp_path)
    assert ContinualSAC.load(path, device="cpu").method == Mine(share=0.5)
    register_method("mine", Mine)
    assert ContinualSAC.load(path, device="cpu").method == Mine(share=0.5)
    path = saved(Mine(share=0.25), tmp_path)
    assert ContinualSAC.load(path, device="cpu").method == Mine(share=0.25)


@pytest.mark.parametrize("given", [Mine, Mine(share=1.0)])
def test_a_method_that_the_reader_has_is_used_with_the_stored_fields(
    given: Any, tmp_path: Path
) -> None:
    path = saved(Mine(share=0.5), tmp_path)
    rename(path, "of_another_program:Mine")
    assert ContinualSAC.load(path, device="cpu", method=given).method == Mine(share=0.5)
    with pytest.raises(ValueError, match=r"and L2 differ in the fields \['accumulate', 'coef', 's"):
        ContinualSAC.load(path, device="cpu", method=L2)
    rename(path, "ewc")
    with pytest.raises(ValueError, match="the stored method is 'ewc', and Mine is another one"):
        ContinualSAC.load(path, device="cpu", method=given)


def test_loading_never_imports_what_only_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(Mine(), tmp_path)
    (tmp_path / "trap_of_theirs.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    rename(path, "trap_of_theirs:Mine")
    with pytest.raises(ValueError, match="import trap_of_theirs first, or give method=Mine"):
        ContinualSAC.load(path, device="cpu")
    assert "trap_of_theirs" not in sys.modules
    rename(path, "mien")
    with pytest.raises(ValueError, match="unknown method 'mien'"):
        ContinualSAC.load(path, device="cpu")


def test_a_file_of_an_earlier_version_names_the_class(tmp_path: Path) -> None:
    path = saved(EWC(), tmp_path)
    assert (
        json.loads(torch.load(path, weights_only=True)["json"])["agent"]["method"]["name"] == "ewc"
    )
    rename(path, "EWC")
    assert ContinualSAC.load(path, device="cpu").method == EWC()


def test_saving_refuses_a_method_that_nobody_could_load(tmp_path: Path) -> None:
    class LocalOne(Method):
        """Made inside a function."""

    sentence = r'cannot find the method .*LocalOne.*register_method\("local-one", LocalOne\)'
    with pytest.raises(ValueError, match=sentence):
        saved(LocalOne(), tmp_path)
    assert list(tmp_path.iterdir()) == []
    register_method("local-one", LocalOne)
    path = saved(LocalOne(), tmp_path)
    assert type(ContinualSAC.load(path, device="cpu").method) is LocalOne


def test_saving_refuses_a_method_of_the_main_program(tmp_path: Path) -> None:
    program = (
        "from clrl.agents.methods import Method\nfrom clrl.agents.methods import saved_name\n"
        "class Mine(Method):\n    pass\n"
        "try:\n    saved_name(Mine)\nexcept ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("another program cannot find the method __main__:Mine")
