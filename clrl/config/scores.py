"""What a world is measured by, and where the record has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODES = ("stochastic", "deterministic")
"""How an evaluated policy acts: it draws from its distribution, or takes the mean."""

NUMBERS = ("success", "success_last", "return", "accuracy")
"""What a line of `metrics.jsonl` says of its episodes, null where that is not known."""


def window(evals_per_task: int) -> int:
    """Return how many evaluations are averaged at the end of a block and of a run: a tenth.

    As published these are 5 of 50, the last 100,000 steps.

    >>> window(50), window(6)
    (5, 1)
    """
    return max(1, evals_per_task // 10)


@dataclass(frozen=True)
class Score:
    """One of the things that a world can be measured by.

    Attributes:
        name: the word in `sequence.score`.
        mode: lines of `metrics.jsonl` with this mode are read.
        key: the number of such a line.
        bounds: where nothing and where everything is learned; None if that depends on the world.
        source: what the number is taken of, for captions.
    """

    name: str
    mode: str
    key: str
    bounds: tuple[float, float] | None
    source: str

    def of(self, metric: str) -> str:
        """Return a metric's name with the score it is measured in, unless that is success."""
        return metric if self.name == "success" else f"{metric} ({self.name})"


SCORES = {
    score.name: score
    for score in (
        Score("success", MODES[0], "success", (0.0, 1.0), "the stochastic evaluation episodes"),
        Score("return", MODES[0], "return", None, "the stochastic evaluation episodes"),
        Score("accuracy", MODES[1], "accuracy", (0.0, 1.0), "predictions on the test examples"),
    )
}
"""By name."""


def score_of(config: Mapping[str, Any]) -> Score:
    """Return the score of a configuration of today's schema."""
    return SCORES[config["sequence"]["score"]]
