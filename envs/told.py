"""What a sequence says of itself, to an agent and to tables."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

Reveals = Literal["task", "boundaries", "nothing"]
"""What an agent is told: the task at every step and every change, the changes only, nothing."""
ScoreName = Literal["success", "return", "accuracy"]
"""What a world is measured by; accuracy is for streams of examples."""

Worlds = Literal["same", "per_seed"]
"""Whether all seeds have the same worlds, or each its own."""
MAX_EPISODE_STEPS = 1_000
"""Where episodes are cut that would not end, by default: Gymnasium's MuJoCo tasks end there."""


def check_told(
    reveals: Any,
    score: Any,
    score_range: Any,
    name: Any = "",
    worlds: Any = "same",
    max_episode_steps: Any = MAX_EPISODE_STEPS,
) -> None:
    """Check the keywords of `TaskSequence`.

    Raises:
        ValueError: one is not allowed, naming it, its value and what is.
    """
    for field, value, allowed in (
        ("reveals", reveals, get_args(Reveals)),
        ("score", score, ("success", "return")),
        ("worlds", worlds, get_args(Worlds)),
    ):
        if value not in allowed:
            words = ", ".join(map(repr, allowed))
            raise ValueError(f"{field} must be one of {words}, got {value!r}")
    if score_range is not None:
        low, high = score_range
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"score_range must be (low, high), got {score_range}")
    if not isinstance(name, str):
        raise ValueError(f"name must be a text, got {name!r}")
    whole = isinstance(max_episode_steps, (int, np.integer)) and max_episode_steps is not True
    if not whole or max_episode_steps < 1:
        raise ValueError(
            f"max_episode_steps must be a whole number from 1 on, got {max_episode_steps!r}"
        )
