"""What a world says it is: its registration, its keywords, its class, its wrappers."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction, TimeLimit, TransformReward

from clrl.envs.contract.identity import (
    Identity,
    differing_identity,
    identity_of,
    time_limit,
    wrappers,
)
from tests.envs.walk import Walk

MADE = ["PassiveEnvChecker", "OrderEnforcing(disable_render_order_enforcing=False)"]


class Twice(gym.Wrapper):
    """Does nothing."""


def test_a_registered_world_is_its_id_and_its_keywords() -> None:
    found = identity_of(gym.make("Pendulum-v1", g=np.float64(2.5), render_mode="rgb_array"))
    assert found == {
        "spec": "Pendulum-v1",
        "keywords": {"g": 2.5},
        "class": "gymnasium.envs.classic_control.pendulum:PendulumEnv",
        "wrappers": [*MADE, "TimeLimit(max_episode_steps=200)"],
    }


def test_an_object_is_its_class_and_its_wrappers() -> None:
    found = identity_of(Twice(RescaleAction(TimeLimit(Walk(), 7), np.float32(-1), np.float32(1))))
    assert (found["spec"], found["keywords"]) == (None, {})
    assert found["class"] == "tests.envs.walk:Walk"
    assert found["wrappers"] == [
        "TimeLimit(max_episode_steps=7)",
        "RescaleAction(max_action=1.0, min_action=-1.0)",
        f"{__name__}:Twice",
    ]


def double(reward: Any) -> Any:
    return 2 * reward


def test_values_that_yaml_has_no_word_for_go_by_their_names() -> None:
    (found,) = identity_of(TransformReward(Walk(), double))["wrappers"]
    assert found == f"TransformReward(func={__name__}:double)"


def world(**values: object) -> Identity:
    return {"spec": None, "keywords": {}, "class": "a:A", "wrappers": [], **values}


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (world(), None),
        (world(spec="B-v0"), "task 1 has the spec None instead of 'B-v0'"),
        (world(keywords={"g": 1}), "task 1 has the keywords {} instead of {'g': 1}"),
        (world(wrappers=["Twice"]), "task 1 has the wrappers .. instead of"),
    ],
)
def test_a_difference_is_named(other: Identity, text: str | None) -> None:
    found = differing_identity([world(), world()], [world(), other])
    assert found is None if text is None else found is not None
    if text is not None and found is not None:
        assert found.startswith(text.replace("..", "[]"))
    assert differing_identity([world()], []) == "1 worlds instead of 0"


def test_a_time_limit_is_that_of_the_wrapper_or_the_spec() -> None:
    assert time_limit(Walk()) is None
    assert time_limit(Twice(TimeLimit(Walk(), 7))) == 7
    assert time_limit(TimeLimit(TimeLimit(Walk(), 7), 9)) == 7
    assert time_limit(gym.make("Pendulum-v1")) == 200
    assert time_limit(gym.make("Pendulum-v1", max_episode_steps=-1)) is None
    assert [type(w).__name__ for w in wrappers(Twice(TimeLimit(Walk(), 7)))] == [
        "Twice",
        "TimeLimit",
    ]
