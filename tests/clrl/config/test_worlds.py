"""Names for functions that make worlds."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import gymnasium as gym
import pytest

from clrl.config import worlds
from clrl.config.sequences import sequence_named
from clrl.config.worlds import function_name, register_world, world_function, world_names
from clrl.envs.sequence import TaskSequence
from clrl.errors import ConfigError


def pendulum(seed: int) -> TaskSequence:
    return TaskSequence([lambda: gym.make("Pendulum-v1", g=seed)], 10)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worlds, "_registered", {})
    yield


def test_a_registered_name_is_a_sequence() -> None:
    register_world("swing", pendulum)
    register_world("swing", pendulum)  # a module that is imported twice
    assert world_function("swing") is pendulum and "swing" in world_names()
    assert sequence_named("swing").tasks == ("task-0",)
    with pytest.raises(ConfigError, match="did you mean 'swing'"):
        sequence_named("swng")


def test_a_name_has_one_function() -> None:
    register_world("swing", pendulum)
    with pytest.raises(ValueError, match="'swing' is registered already"):
        register_world("swing", lambda seed: pendulum(seed))
    for name in ("", "two words", "a:b", "push-v3,reach-v3"):
        with pytest.raises(ValueError, match="name must be a word"):
            register_world(name, pendulum)


def test_an_entry_point_is_loaded_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("swing", f"{__name__}:pendulum", "clrl.worlds")
    broken = importlib.metadata.EntryPoint("lost", "no_such_module:f", "clrl.worlds")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point, broken] * (group == point.group)
    )
    assert world_names() == ["lost", "swing"]
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("sys").modules[__name__])
    assert world_function("swing") is pendulum
    with pytest.raises(ConfigError, match="world 'lost': no_such_module cannot be imported"):
        world_function("lost")


def test_a_function_is_called_by_where_it_stands() -> None:
    assert function_name(pendulum) == f"{__name__}:pendulum"
    assert function_name(lambda seed: pendulum(seed)) is None
    register_world("swing", pendulum)
    assert function_name(pendulum) == "swing"
