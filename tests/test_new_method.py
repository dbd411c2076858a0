"""A new method is one file, one line and one test: README's example in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("agents", "clrl", "docs", "envs", "scripts", "tests", "README.md", "pyproject.toml")
IMPORT = "from clrl.agents.methods.si import SI\n"
LINE = '    "si": SI,\n'
TEST = """\
from pathlib import Path

from clrl.agents.classifier import Classifier
from clrl.agents.methods import METHODS, retreat
from clrl.envs.streams import ToyStream


def test_it_goes_back_all_the_way() -> None:
    learner = Classifier(ToyStream(), METHODS["retreat"](share=1.0))
    learner.train_task(0, 20)
    kept = learner.method.state["core.layers.0.weight"].clone()
    learner.train_task(1, 20)
    assert learner.method.state["core.layers.0.weight"].equal(kept)


def test_what_is_tested_is_the_copy() -> None:
    assert Path(str(retreat.__file__)).resolve().parents[2] == Path(__file__).resolve().parents[3]
"""
CHECKS = (
    "tests/agents/methods/test_retreat.py", "tests/agents/methods/test_methods.py",
    "tests/agents/methods/test_base.py", "tests/agents/test_state.py",
    "tests/agents/test_storage.py", "tests/agents/settings/test_learners.py",
    "tests/agents/settings/test_fields.py", "tests/clrl/machine/test_resources.py",
    "tests/clrl/config/test_presets.py", "tests/clrl/commands/test_list.py",
    "tests/clrl/commands/test_train.py", "tests/test_scripts.py",
)  # fmt: skip
OF_ALL_METHODS = "test_lists_show or test_help_of_train or small_preset_runs or published_one"
"""Tests of all methods at once, beside those with a case for each."""


def add_the_example(root: Path) -> None:
    """Write README's method into a copy as README says."""
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    (example,) = [text for text in blocks if "class Retreat" in text]
    (root / "agents/methods/retreat.py").write_text(f'"""Retreat."""\n\n{example}')
    (root / "tests/agents/methods/test_retreat.py").write_text(TEST)
    registry = root / "agents/methods/__init__.py"
    text = registry.read_text()
    assert IMPORT in text and LINE in text
    text = text.replace(IMPORT, f"from clrl.agents.methods.retreat import Retreat\n{IMPORT}")
    registry.write_text(text.replace(LINE, f'{LINE}    "retreat": Retreat,\n'))


def test_the_example_of_the_readme_passes_the_common_checks(tmp_path: Path) -> None:
    root = tmp_path / "copy"
    root.mkdir()
    without = shutil.ignore_patterns("__pycache__", "*.png", ".*")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=without)
        else:
            shutil.copy(ROOT / name, root / name)
    add_the_example(root)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-x", "-p", "no:cacheprovider",
         "-k", f"retreat or {OF_ALL_METHODS}", *CHECKS],
        cwd=root, capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": str(root), "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "test_what_is_tested_is_the_copy PASSED" in done.stdout
    assert "test_what_a_method_keeps_is_counted[retreat] PASSED" in done.stdout
    assert "test_a_row_is_one_valid_command_for_every_method[retreat] PASSED" in done.stdout
