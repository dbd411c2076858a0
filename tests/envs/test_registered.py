"""Environments of Gymnasium's registry as texts."""

from typing import Any

import gymnasium as gym
import pytest

from clrl.envs.interleaved import InterleavedTasks
from clrl.envs.registered import format_world, parse_world, registered_worlds, world_maker


@pytest.mark.parametrize(
    ("text", "name", "keywords"),
    [
        ("Pendulum-v1", "Pendulum-v1", {}),
        ("Pendulum-v1?g=10", "Pendulum-v1", {"g": 10}),
        ("a/B-v0?x=1e-3&y=word&z=true", "a/B-v0", {"x": 1e-3, "y": "word", "z": True}),
        ("B-v0?x=None&y=%2210%22&z=a%26b", "B-v0", {"x": None, "y": "10", "z": "a&b"}),
        ("B-v0?x=[1%2C2]", "B-v0", {"x": [1, 2]}),
    ],
)
def test_a_text_is_an_id_and_keywords(text: str, name: str, keywords: dict[str, Any]) -> None:
    assert parse_world(text) == (name, keywords)
    written = format_world(name, keywords)
    assert written is not None and parse_world(written) == (name, keywords)
    assert "," not in written


@pytest.mark.parametrize("value", [object(), float("nan"), (1, 2)])
def test_values_that_no_text_gives_back_have_none(value: Any) -> None:
    assert format_world("B-v0", {"x": value}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Pendulm-v1", "unknown world 'Pendulm-v1'.*did you mean 'Pendulum-v1'"),
        ("Pendulum-v1?g", "'g' must be KEYWORD=VALUE"),
        ("Pendulum-v1?g=1&g=2", "'g=2' must be KEYWORD=VALUE, each keyword once"),
        ("Pendulum-v1?grav=1", "cannot be made: .*unexpected keyword argument 'grav'"),
        ("no_such_module:Pendulum-v1", "unknown world"),
    ],
)
def test_what_cannot_be_made_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        world_maker(text)


def test_a_sequence_is_made_of_texts() -> None:
    worlds = ["Pendulum-v1?g=10", "Pendulum-v1?g=2"]
    sequence = registered_worlds(worlds, [3, 5], reveals="boundaries")
    assert sequence.task_names == tuple(worlds) and sequence.schedule.lengths == (3, 5)
    assert sequence.reveals == "boundaries" and sequence.score == "return"
    assert [m().unwrapped.g for m in sequence.makers] == [10, 2]  # type: ignore[attr-defined]
    assert isinstance(registered_worlds(worlds, 3, interleaved=True), InterleavedTasks)
    assert isinstance(sequence.makers[0](), gym.Env)
