"""The examples in the package's docstrings."""

import doctest
import importlib
import inspect
import os
import pkgutil

import pytest

import clrl
import clrl.agents
import clrl.envs
from tests.test_structure import FOLDERS, files

PACKAGES = (clrl, clrl.envs, clrl.agents)


def modules() -> list[str]:
    """Return the names of all modules of the package, wherever its folders lie."""
    found = {package.__name__ for package in PACKAGES}
    for package in PACKAGES:
        walked = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        found |= {module.name for module in walked}
    return sorted(found - {"clrl.__main__"})  # which is the command


@pytest.mark.parametrize("name", modules())
def test_a_module_can_be_imported_and_its_examples_hold(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0
    assert (result.attempted > 0) == (">>> " in inspect.getsource(module))


def test_every_file_is_looked_at_once() -> None:
    there = [path for folder in FOLDERS for path in files(folder) if path.name != "__main__.py"]
    looked_at = [importlib.import_module(name).__file__ or "" for name in modules()]
    assert sorted(map(os.path.realpath, looked_at)) == sorted(map(os.path.realpath, there))
