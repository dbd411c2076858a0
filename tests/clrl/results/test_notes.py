"""Titles of tables, and what is said below them."""

from typing import Any

import pytest

from clrl.results.notes import title
from tests.clrl.synthetic import config


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "made-up: 2 tasks of 4,000 steps, horizon 200"),
        ({"steps_per_task": [500, 40_000]}, "made-up: 2 tasks of 500 to 40,000 steps, horizon 200"),
        ({"family": "custom", "name": "custom"}, "custom: 2 tasks of 4,000 steps, horizon 200"),
        (
            {"family": "gymnasium", "score": "return", "score_range": [-5, 5]},
            "made-up: 2 tasks of 4,000 steps, family gymnasium, score return, "
            "score_range [-5, 5], horizon 200",
        ),
        (
            {"reveals": "nothing", "worlds": [{"id": "a"}]},
            "made-up: 2 tasks of 4,000 steps, horizon 200",
        ),
    ],
)
def test_a_title_says_what_is_not_usual(changes: dict[str, Any], expected: str) -> None:
    sequence = {**config(("a", "b"), 4, [0])["sequence"], **changes}
    del sequence["randomization"], sequence["fixes"]
    assert title(sequence) == expected
