"""The state of a world's generator as JSON, and back."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


def generator_state(env: gym.Env) -> dict[str, Any]:
    """Return the state of `np_random`, of any of NumPy's bit generators, ready for JSON.

    Raises:
        ValueError: it is no `numpy.random.Generator`.
    """
    state: dict[str, Any] = plain_state(_generator(env).bit_generator.state)
    return state


def set_generator_state(env: gym.Env, state: dict[str, Any]) -> None:
    """Let `np_random` go on from a state of `generator_state`, with a bit generator of its kind.

    Raises:
        ValueError: `np_random` is no `numpy.random.Generator`.
    """
    generator, name = _generator(env), state["bit_generator"]
    if type(generator.bit_generator).__name__ != name:
        generator = np.random.Generator(getattr(np.random, name)(0))
        env.unwrapped.np_random = generator
    generator.bit_generator.state = state


def _generator(env: gym.Env) -> np.random.Generator:
    generator: Any = env.unwrapped.np_random
    own = isinstance(generator, np.random.Generator)
    if not own or not hasattr(np.random, type(generator.bit_generator).__name__):
        raise ValueError(
            f"np_random is {generator!r}, whose state cannot be stored and set; it must be a "
            "numpy.random.Generator with one of NumPy's bit generators"
        )
    return generator


def plain_state(value: Any) -> Any:
    """Return the state of a bit generator in words that JSON has."""
    if isinstance(value, dict):
        return {key: plain_state(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
