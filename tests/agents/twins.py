"""Whether two objects are the same all the way down."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from torch import Tensor

from clrl.agents.sac.replay import ReplayBuffer

NOT_COMPARED = {
    "env": "environments are no part of a learner's state",
    "start_time": "the clock; set by every call of learn",
    "_num_timesteps_at_start": "set by every call of learn",
    "_total_timesteps": "set by every call of learn",
    "_current_progress_remaining": "Stable-Baselines3's, never read here",
    "ep_info_buffer": "Stable-Baselines3's log of the last episodes, with wall-clock times",
    "ep_success_buffer": "the same",
    "_stats_window_size": "how long that log is",
    "_logger": "where to log",
    "_engine": "compiled code's addresses of networks and gradients, and what it left in memory",
}
"""Attributes that may differ between an original and its restored twin, ever."""

MADE_ANEW = {
    "grad": "gradients: written by every update before they are read",
    "gradient_slots": "views of them",
    "_gradients": "views of them, or SI's copies of an update's own",
    "lr": "PPO sets it before every update, from the step",
    "acted": "PPO's knowledge of the action just stored",
    "acting_task": "found out at the start of a step",
    "_examples": "what cloning drew for an update",
    "_before": "SI: the weights before an update's step",
    "_pull": "the quadratic penalties' gradient within an update",
    "_cached": "derived from the method's state",
    "_report": "derived from the method's state",
    "_masks": "derived from the method's state",
    "_warned": "what was said already",
    "_places": "derived from the buffer's contents",
    "_seen": "the last observations' one-hots",
    "_shared": "their task",
}
"""Attributes that may differ right after restoring: derived, or of one update or step."""


def differing(first: Any, second: Any, skip: Collection[str], path: str = "") -> list[str]:
    """Return where two objects differ: numbers, arrays, tensors, generators, whatever holds them.

    Args:
        first: an object.
        second: another.
        skip: names of attributes that are not compared.
        path: of the two.
    """
    return _Walk(skip).differing(first, second, path)


class _Walk:
    def __init__(self, skip: Collection[str]):
        self.skip = set(skip)
        # Both objects stay alive: another one could get the number of one that is gone.
        self.seen: dict[tuple[int, int], tuple[Any, Any]] = {}

    def differing(self, a: Any, b: Any, path: str) -> list[str]:
        if (id(a), id(b)) in self.seen:
            return []
        if isinstance(a, (bool, int, float, str, bytes, type(None))):
            return [] if type(a) is type(b) and (a == b or a != a and b != b) else [path]
        self.seen[id(a), id(b)] = a, b
        if type(a) is not type(b):
            return [f"{path}: {type(a).__name__} and {type(b).__name__}"]
        if isinstance(a, Tensor):
            same = a.dtype == b.dtype and a.shape == b.shape and a.requires_grad == b.requires_grad
            return [] if same and _bits(a) == _bits(b) else [path]
        if isinstance(a, np.ndarray):
            same = a.dtype == b.dtype and a.shape == b.shape
            return [] if same and a.tobytes() == b.tobytes() else [path]
        if isinstance(a, np.random.Generator):
            return self.differing(a.bit_generator.state, b.bit_generator.state, path)
        if isinstance(a, Mapping):
            return self.named(dict(a), dict(b), path)
        if isinstance(a, AbstractSet):
            return [] if a == b else [path]
        if isinstance(a, Sequence) or type(a).__name__ == "deque":
            return self.named(dict(enumerate(a)), dict(enumerate(b)), path)
        if isinstance(a, ReplayBuffer):  # rows beyond those that are filled are never read
            return self.named(a.state(), b.state(), path) + self.named(
                {**vars(a), "_packed": 0, "_task": 0},
                {**vars(b), "_packed": 0, "_task": 0},
                path,
            )
        if hasattr(a, "__qualname__"):  # functions and classes
            return [] if a.__qualname__ == b.__qualname__ else [path]
        if hasattr(a, "__dict__"):
            return self.named(vars(a), vars(b), path)
        return [] if a == b else [path]

    def named(self, a: dict[Any, Any], b: dict[Any, Any], path: str) -> list[str]:
        found = [f"{path}.{key}" for key in a.keys() ^ b.keys() if key not in self.skip]
        for key in a:
            if key in b and key not in self.skip:
                found += self.differing(a[key], b[key], f"{path}.{key}")
        return found


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()
