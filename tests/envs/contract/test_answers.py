"""What a world returns counts if it is clear what it means, and is refused by a sentence if not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clrl.envs.contract.answers import (
    BrokenWorld,
    read_observation,
    read_reset,
    read_step,
    read_success,
)

OBSERVATION = np.zeros(2)


def step(reward: Any = 0.0, over: Any = False, cut: Any = False, info: Any = None) -> Any:
    return OBSERVATION, reward, over, cut, {} if info is None else info


@pytest.mark.parametrize(
    "reward",
    [2, 2.0, np.float32(2), np.float64(2), np.array(2.0), np.array([2.0]), np.array([[2]]),
     torch.tensor(2.0), torch.tensor([2.0]), [2.0], np.float16(2)],
)  # fmt: skip
def test_a_reward_of_one_number_counts_whatever_its_shape(reward: Any) -> None:
    got = read_step(step(reward), "w")[1]
    assert type(got) is float and got == 2.0


@pytest.mark.parametrize(
    "reward",
    [None, "2", [1.0, 2.0], np.zeros(2), np.zeros(0), {}, 1j, object(), torch.zeros(3),
     torch.ones(1, requires_grad=True)],
)  # fmt: skip
def test_anything_else_is_no_reward(reward: Any) -> None:
    with pytest.raises(BrokenWorld, match="w: the reward is .*; it must be one number"):
        read_step(step(reward), "w")


@pytest.mark.parametrize("flag", [True, np.True_, 1, np.array([True]), np.array(1), 1.0])
def test_flags_of_any_kind_count(flag: Any) -> None:
    assert read_step(step(over=flag), "w")[2] is True
    assert read_step(step(cut=flag), "w")[3] is True


@pytest.mark.parametrize("flag", [None, "yes", 2, np.array([1, 0]), 0.5])
def test_anything_else_is_no_flag(flag: Any) -> None:
    with pytest.raises(BrokenWorld, match="w: truncated is .*; it must be true or false"):
        read_step(step(cut=flag), "w")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ((OBSERVATION, 0.0, False, {}), "step returns a tuple of 4; .*truncated, info"),
        ([*step()], "step returns"),
        (OBSERVATION, "step returns an array of the shape"),
        (step(info=[]), "step returns the info .*it must be a dict"),
    ],
)
def test_another_form_of_a_step_is_refused(result: Any, message: str) -> None:
    with pytest.raises(BrokenWorld, match=message):
        read_step(result, "w")


@pytest.mark.parametrize("result", [OBSERVATION, (OBSERVATION,), step(), None, (OBSERVATION, None)])
def test_another_form_of_a_reset_is_refused(result: Any) -> None:
    with pytest.raises(BrokenWorld, match="w: reset returns"):
        read_reset(result, "w")


@pytest.mark.parametrize(
    ("info", "success"),
    [
        ({}, None), ({"success": None}, None), ({"success": True}, 1.0), ({"is_success": 0}, 0.0),
        ({"success": np.array([1.0])}, 1.0), ({"is_success": np.True_}, 1.0),
        ({"success": 0.0, "is_success": 1.0}, 0.0), ({"success": None, "is_success": 1}, 1.0),
    ],
)  # fmt: skip
def test_success_stands_under_either_name(info: dict[str, Any], success: float | None) -> None:
    assert read_success(info, "w") == success


@pytest.mark.parametrize("value", [float("nan"), -1, 1.5, float("inf"), "yes", [0, 1]])
def test_a_success_that_is_none_is_refused(value: Any) -> None:
    for key in ("success", "is_success"):
        with pytest.raises(BrokenWorld, match=f"w: info\\['{key}'\\] is .*; it must be"):
            read_success({key: value}, "w")


def test_observations_have_the_shape_and_type_of_their_space() -> None:
    assert read_observation([1, 2], (2,), "w").tolist() == [1, 2]
    assert read_observation(torch.ones(2), (2,), "w").tolist() == [1, 1]
    for wrong in (1.0, np.zeros(1), np.zeros((1, 2)), np.zeros(3), np.zeros(0), [[1, 2]]):
        with pytest.raises(BrokenWorld, match="has the shape .*; its space says .2,."):
            read_observation(wrong, (2,), "w")
    for strange in (None, "ab", np.array(["a", "b"]), np.zeros(2, complex), np.zeros(2, object)):
        with pytest.raises(BrokenWorld, match="it must hold real numbers"):
            read_observation(strange, (2,), "w")
