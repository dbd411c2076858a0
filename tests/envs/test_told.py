"""What a sequence may say of itself."""

from typing import Any

import gymnasium as gym
import pytest

from clrl.envs.sequence import TaskSequence
from clrl.envs.told import check_told


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            ("all", "return", None),
            "reveals must be one of 'task', 'boundaries', 'nothing', got 'all'",
        ),
        (("task", "points", None), "score must be one of 'success', 'return', got 'points'"),
        (("task", "accuracy", None), "got 'accuracy'"),
        (("task", "return", (1.0, 1.0)), r"score_range must be .low, high., got .1.0, 1.0."),
        (("task", "return", (0.0, float("inf"))), "score_range must be"),
        (("task", "return", (float("nan"), 1.0)), "score_range must be"),
        (("task", "return", None, 7), "name must be a text, got 7"),
        (("task", "return", None, "", "own"), "worlds must be one of 'same', 'per_seed', got"),
        (("task", "return", None, "", "same", 0), "max_episode_steps must be a whole number from"),
        (("task", "return", None, "", "same", 2.5), "max_episode_steps must be a whole number"),
        (("task", "return", None, "", "same", True), "max_episode_steps must be a whole number"),
    ],
)
def test_words_and_ranges_are_checked(told: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_told(*told)


def test_a_sequence_checks_what_it_says() -> None:
    def make() -> gym.Env:
        return gym.make("Pendulum-v1")

    told: dict[str, Any] = {"reveals": "boundaries", "score": "success", "score_range": (-1.0, 2.0)}
    sequence = TaskSequence([make], 5, **told)
    assert {name: getattr(sequence, name) for name in told} == told
    with pytest.raises(ValueError, match="reveals must be one of"):
        TaskSequence([make], 5, reveals="tasks")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one number or one per task .1., got 3"):
        TaskSequence([make], [1, 2, 3])
