"""What every task of a sequence gets: float32, a one-hot, a record of its episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.wrappers import TimeLimit

from clrl.envs.contract.answers import BrokenWorld
from clrl.envs.sequence import TaskSequence
from tests.envs.walk import Walk, action, walks


def test_an_episode_reports_any_step_and_last_step_success() -> None:
    env = walks(1, 100, length=4)
    for actions, any_step, last_step in (
        ([-1, 1, -1, -0.5], True, 0.0),
        ([-1, -1, -1, 1], True, 1.0),
        ([-1, -1, -1, -1], False, 0.0),
    ):
        env.reset()
        infos = [env.step(action(value))[4] for value in actions]
        assert [info["success"] for info in infos] == [float(value > 0) for value in actions]
        assert all("is_success" not in info for info in infos[:-1])
        assert infos[-1]["is_success"] is any_step
        assert infos[-1]["success_last"] == last_step
        assert infos[-1]["episode"] == {"r": sum(actions), "l": 4}


def test_one_task_alone_looks_as_in_the_sequence() -> None:
    env = walks(3, 7)
    env.reset(seed=0)
    before = env.state()
    alone = env.make_task(2)
    assert alone.observation_space == env.observation_space
    observation, info = alone.reset(seed=3)
    assert observation.dtype == np.float32 and observation[2:].tolist() == [0, 0, 1]
    assert info["task"] == 2
    for _ in range(5):
        _, _, _, truncated, info = alone.step(action())
    assert truncated and info["is_success"] and info["episode"]["l"] == 5
    assert env.state() == before
    with pytest.raises(ValueError, match="task must be from 0 to 2, got 3"):
        env.make_task(3)


def test_spaces_that_are_not_boxes_are_refused() -> None:
    env = Walk()
    env.action_space = Discrete(2)
    with pytest.raises(
        ValueError, match="action_space is Discrete.2.; supported are Boxes of one axis"
    ):
        TaskSequence([lambda: env], 3)


def test_a_world_that_reports_no_success_has_none() -> None:
    class Silent(Walk):
        def step(self, action: np.ndarray) -> Any:
            return (*super().step(action)[:4], {})

    env = TaskSequence([Silent], 5)
    env.reset(seed=0)
    for _ in range(5):
        info = env.step(action())[4]
    assert info["episode"] == {"r": 2.5, "l": 5}
    assert not {"success", "is_success", "success_last"} & info.keys()


class Strange(Walk):
    """Returns what it is told to in place of a part of its answers."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(length=10**9)
        self.parts = parts

    def step(self, action: np.ndarray) -> Any:
        names = ("observation", "reward", "terminated", "truncated", "info")
        answer = dict(zip(names, super().step(action), strict=True))
        return tuple((answer | self.parts)[name] for name in names)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"observation": np.zeros(1)}, "the observation has the shape .1,.; its space says .2,."),
        ({"observation": 0.0}, "the observation has the shape"),
        ({"observation": np.zeros((1, 2))}, "the observation has the shape"),
        ({"reward": None}, "the reward is None; it must be one number"),
        ({"reward": np.zeros(2)}, "the reward is an array of the shape"),
        ({"truncated": None}, "truncated is None; it must be true or false"),
        ({"info": None}, "step returns the info None; it must be a dict"),
        ({"info": {"success": float("nan")}}, "info.'success'. is nan; it must be from 0 to 1"),
    ],
)
def test_an_answer_that_means_nothing_names_task_and_field(parts: Any, field: str) -> None:
    env = TaskSequence([Walk, lambda: Strange(**parts)], [1, 9], ["plain", "odd"])
    env.reset(seed=0)
    env.step(action())
    env.reset()
    with pytest.raises(BrokenWorld, match=f"task 1 .odd.: {field}"):
        env.step(action())


@pytest.mark.parametrize("key", ["success", "is_success"])
@pytest.mark.parametrize("one", [True, np.True_, 1, np.array([1.0]), np.float32(1)])
def test_success_counts_under_both_names_and_in_every_form(key: str, one: Any) -> None:
    env = TaskSequence([lambda: Strange(info={key: one}, reward=np.array([2.0]))], 3)
    env.reset(seed=0)
    infos = [env.step(action())[4] for _ in range(3)]
    assert [info["success"] for info in infos] == [1.0] * 3
    assert infos[-1]["is_success"] is True and infos[-1]["episode"] == {"r": 6.0, "l": 3}


def test_a_world_that_changes_its_action_changes_nobody_s() -> None:
    class Greedy(Walk):
        def step(self, action: np.ndarray) -> Any:
            action *= 0.0
            return super().step(action)

    env = TaskSequence([Greedy], 9)
    env.reset(seed=0)
    mine = action(0.5)
    env.step(mine)
    assert mine.tolist() == [0.5] and env.state()["actions"] == [[0.5]]
    alone = env.make_task(0)
    alone.reset(seed=0)
    alone.step(mine)
    assert mine.tolist() == [0.5]


def test_an_episode_without_a_limit_is_cut_and_others_are_not() -> None:
    def lengths(maker: Any) -> list[int]:
        env = TaskSequence([maker], 12, max_episode_steps=5)
        env.reset(seed=0)
        found = []
        for _ in range(12):
            _, _, terminated, truncated, info = env.step(action())
            if terminated or truncated:
                found.append(info["episode"]["l"])
                env.reset()
        return found

    endless = 10**9
    assert lengths(lambda: Walk(endless)) == [5, 5, 2]
    assert lengths(lambda: Walk(3)) == [3, 3, 3, 3]
    assert lengths(lambda: TimeLimit(Walk(endless), 7)) == [7, 5]
    alone = TaskSequence([lambda: Walk(endless)], 12, max_episode_steps=5).make_task(0)
    alone.reset(seed=0)
    assert [alone.step(action())[3] for _ in range(5)] == [False] * 4 + [True]


def test_what_a_simulation_that_blew_up_pays_is_no_reward() -> None:
    env = TaskSequence([lambda: Strange(reward=float("nan"), info={"sim_warning": True})], 2)
    env.reset(seed=0)
    env.step(action())
    assert env.step(action())[4]["episode"] == {"r": 0.0, "l": 2}


@pytest.mark.parametrize(
    "space", [Discrete(2), Box(-1, 1, (2, 3)), Box(-1, 1, ()), Dict(a=Box(-1, 1, (2,)))]
)
def test_spaces_that_are_not_boxes_of_one_axis_say_what_is_supported(space: Any) -> None:
    for field in ("observation_space", "action_space"):
        env = Walk()
        setattr(env, field, space)
        with pytest.raises(ValueError, match=f"task 0 .task-0.: {field} is .*supported are Boxes"):
            TaskSequence([lambda env=env: env], 3)  # type: ignore[misc]


class EGLError(Exception):
    """As OpenGL's own: it has no words."""

    def __str__(self) -> str:
        raise TypeError("no words")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("an OpenGL platform library has not been loaded"),
        AttributeError("'NoneType' object has no attribute 'glGetError'"),
        EGLError(),
    ],
    ids=["library", "osmesa", "egl"],
)
def test_rendering_without_a_display_says_what_to_set(error: Exception) -> None:
    class Blind(Walk):
        def render(self) -> Any:
            raise error

    with pytest.raises(RuntimeError, match="task 0 .task-0. cannot be rendered.*MUJOCO_GL to egl"):
        TaskSequence([Blind], 3).render()


def test_other_failures_of_rendering_keep_their_words() -> None:
    class Torn(Walk):
        def render(self) -> Any:
            raise KeyError("canvas")

    with pytest.raises(KeyError, match="canvas"):
        TaskSequence([Torn], 3).render()
