"""The generators that all of a process shares: NumPy's, Python's and torch's global ones."""

# ruff: noqa: NPY002 - what is legacy is what this is about

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from clrl.envs.contract.generators import plain_state


def shared_states() -> dict[str, Any]:
    """Return the state of each, by its name; equal if nothing was drawn."""
    states: dict[str, Any] = {
        "NumPy's global generator": plain_state(np.random.get_state(legacy=False))
    }
    for name, get, _ in _modules():
        state = get()
        states[f"{name} global generator"] = (
            state if name == "Python's" else state.numpy().tobytes()
        )
    return states


def drawn_since(before: dict[str, Any]) -> str | None:
    """Say what a world did that drew since `shared_states` was asked, None if nothing was drawn."""
    now = shared_states()
    drawn = [name for name in now if name in before and now[name] != before[name]]
    if not drawn:
        return None
    return (
        f"draws from {' and '.join(drawn)}, which others draw from, too, and no checkpoint holds; "
        "it must draw from self.np_random, which reset(seed=...) seeds"
    )


@contextmanager
def shared_generators_kept() -> Iterator[None]:
    """Leave all of them as they were."""
    numpys, others = np.random.get_state(), [(set_to, get()) for _, get, set_to in _modules()]
    try:
        yield
    finally:
        np.random.set_state(numpys)
        for set_to, state in others:
            set_to(state)


def _modules() -> list[tuple[str, Any, Any]]:
    """Return the generators of modules that anybody has imported: nobody else can draw."""
    python, torch = sys.modules.get("random"), sys.modules.get("torch")
    found = [("Python's", python.getstate, python.setstate)] if python is not None else []
    return found + ([("torch's", torch.get_rng_state, torch.set_rng_state)] if torch else [])
