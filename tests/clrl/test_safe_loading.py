"""Reading a checkpoint never runs code that somebody put into it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import clrl
from clrl.errors import DamagedData
from clrl.run.checkpoint import STATE, TENSORS, pack, read_state, read_tensors, write_directory


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.sentinel),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", [STATE, TENSORS])
@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_crafted_pickle_is_refused_and_does_not_run(tmp_path: Path, name: str, how: str) -> None:
    sentinel = tmp_path / "sentinel"
    crafted = tmp_path / "crafted"
    if how == "pickle":
        crafted.write_bytes(pickle.dumps(Bomb(sentinel)))
    else:
        torch.save({"weights": Bomb(sentinel)}, crafted)
    files = {STATE: b"{}", TENSORS: pack({"weights": torch.ones(2)}), name: crafted.read_bytes()}
    target = tmp_path / "step-000000001"
    write_directory(target, files.items())  # with a manifest that fits
    with pytest.raises(DamagedData, match=name):
        read_state(target)
        read_tensors(target)
    assert not sentinel.exists()
    if how == "pickle":  # the bomb works where it is let
        pickle.loads(crafted.read_bytes())
        assert sentinel.exists()


def test_a_file_that_is_no_dict_of_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list")
    content = (tmp_path / "list").read_bytes()
    write_directory(tmp_path / "step", {TENSORS: content, STATE: b"{}"}.items())
    with pytest.raises(DamagedData, match="not a file of tensors"):
        read_tensors(tmp_path / "step")
    write_directory(tmp_path / "step", {TENSORS: content, STATE: b"[]"}.items())
    with pytest.raises(DamagedData, match="not an object"):
        read_state(tmp_path / "step")


def sources() -> Iterator[Path]:
    root = Path(clrl.__file__).parent
    for folder in (root, root.parent / "envs", root.parent / "agents", root.parent / "scripts"):
        yield from folder.rglob("*.py")


def test_nothing_in_the_package_unpickles() -> None:
    forbidden = ("pickle.load", "import pickle", "cloudpickle", "allow_pickle=True", "yaml.load(")
    files = set(sources())
    assert len(files) > 20
    for path in files:
        text = path.read_text()
        for word in forbidden:
            assert word not in text, f"{path}: {word}"
        for call in text.split("torch.load(")[1:]:
            assert "weights_only=True" in call.split("\n\n")[0], path
