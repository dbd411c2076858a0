"""What `import clrl` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import clrl
from clrl.agents.methods import METHODS


def test_the_names_of_readme_are_there() -> None:
    from clrl import EWC, ContinualPPO, ContinualSAC, TaskSequence, table, train

    assert ContinualSAC.name == "sac" and ContinualPPO.name == "ppo"
    assert METHODS["ewc"] is EWC
    assert callable(table) and callable(train) and isinstance(TaskSequence, type)


@pytest.mark.parametrize("name", [n for n in dir(clrl) if not n.startswith("_")])
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(clrl, name) is not None


@pytest.mark.parametrize("kind", METHODS.values(), ids=list(METHODS))
def test_every_method_is_a_public_name(kind: type) -> None:
    assert getattr(clrl, kind.__name__) is kind


def test_other_names_are_refused() -> None:
    for name in ("ewc", "EVC", "torch", "Any2"):
        with pytest.raises(AttributeError, match=f"module 'clrl' has no attribute '{name}'"):
            getattr(clrl, name)


def test_importing_clrl_is_light() -> None:
    heavy = "[m for m in ('torch', 'metaworld', 'stable_baselines3', 'wandb') if m in sys.modules]"
    code = f"import sys, clrl; print({heavy}, clrl.__version__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"[] {version('clrl')}"


@pytest.mark.parametrize("command", [["-m", "clrl"], ["-m", "clrl.cli"]])
def test_the_version_is_printed(command: list[str]) -> None:
    words = [sys.executable, *command, "--version"]
    out = subprocess.run(words, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"clrl {version('clrl')}"
