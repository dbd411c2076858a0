"""The state of any of NumPy's generators goes through JSON."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from clrl.envs.contract.generators import generator_state, set_generator_state

KINDS = [
    np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64,
]  # fmt: skip


def world(generator: Any) -> gym.Env:
    env: gym.Env = gym.Env()
    env.np_random = generator
    return env


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of_new", KINDS)
def test_a_new_world_goes_on_from_the_state(kind: Any, of_new: Any) -> None:
    old, new = world(np.random.Generator(kind(3))), world(np.random.Generator(of_new(4)))
    old.np_random.integers(5, size=7, dtype=np.int32)  # half of a word is left over
    set_generator_state(new, json.loads(json.dumps(generator_state(old))))
    assert new.np_random.normal(size=9).tolist() == old.np_random.normal(size=9).tolist()
    assert new.np_random.integers(2**31) == old.np_random.integers(2**31)


def test_a_generator_of_the_same_kind_stays_the_same_object() -> None:
    env = world(np.random.default_rng(1))
    before = env.np_random
    set_generator_state(env, generator_state(world(np.random.default_rng(2))))
    assert env.np_random is before


class Own(np.random.PCG64):
    """A bit generator that is not NumPy's."""


@pytest.mark.parametrize(
    "generator",
    [np.random.RandomState(0), "none", np.random.Generator(Own(1))],  # noqa: NPY002
)
def test_another_generator_is_refused(generator: Any) -> None:
    with pytest.raises(ValueError, match="np_random is .*whose state cannot be stored and set"):
        generator_state(world(generator))
