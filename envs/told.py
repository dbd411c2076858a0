"""What a sequence says of itself, to an agent and to tables."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

Reveals = Literal["task", "boundaries", "nothing"]
"""What an agent is told: the task at every step and every change, the changes only, nothing."""
ScoreName = Literal["success", "return", "accuracy"]
"""What a world is measured by; accuracy is for streams of examples."""


def check_told(reveals: Any, score: Any, score_range: Any) -> None:
    """Check the keywords of `TaskSequence`.

    Raises:
        ValueError: one is not allowed, naming it, its value and what is.
    """
    for field, value, allowed in (
        ("reveals", reveals, get_args(Reveals)),
        ("score", score, ("success", "return")),
    ):
        if value not in allowed:
            words = ", ".join(map(repr, allowed))
            raise ValueError(f"{field} must be one of {words}, got {value!r}")
    if score_range is not None:
        low, high = score_range
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"score_range must be (low, high), got {score_range}")
