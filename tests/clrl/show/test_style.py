"""What all figures share: numbers in cells, the range of colours, fewer points."""

from pathlib import Path

import numpy as np
import pytest

from clrl.config.scores import SCORES
from clrl.results.groups import join
from clrl.results.reading import read_run
from clrl.show.style import cell_text, colours_of, source, thin
from tests.clrl.synthetic import random_success, write_run


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.04, "0"), (3.14159, "3.1"), (-9.94, "-9.9"), (9.96, "10"),
        (-42.4, "-42"), (999.4, "999"), (-999.6, "-1.0k"), (1234.5, "1.2k"), (-12_345, "-12k"),
        (3_456_000.0, "3.5M"), (-999_800.0, "-1.0M"),
    ],
)  # fmt: skip
def test_a_return_in_a_cell_has_at_most_five_characters(value: float, text: str) -> None:
    assert cell_text(SCORES["return"], value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, ".00"), (0.634, ".63"), (0.996, "1")])
def test_a_rate_in_a_cell_has_two_digits(value: float, text: str) -> None:
    for score in ("success", "accuracy"):
        assert cell_text(SCORES[score], value) == text


def test_colours_of_rates_go_from_0_to_1_and_of_returns_as_far_as_they_are() -> None:
    parts = [np.array([[0.5, np.nan]]), np.array([[0.25]])]
    nothing = [np.full((1, 2), np.nan)]
    for score, values, expected in (
        ("success", parts, (0, 1)),
        ("return", parts, (0.25, 0.5)),
        ("return", nothing, (0, 1)),
    ):
        colours = colours_of(SCORES[score], values)
        assert (colours["vmin"], colours["vmax"]) == expected


def test_a_caption_says_what_was_measured() -> None:
    assert [source(score) for score in SCORES.values()] == [
        "Success of the stochastic evaluation episodes",
        "Return of the stochastic evaluation episodes",
        "Accuracy of predictions on the test examples",
    ]


def test_thinned_points_stay_in_their_blocks_of_any_length(tmp_path: Path) -> None:
    success = random_success(1, 150, 2)
    lengths = {"steps_per_task": [150, 15_000]}
    (group,) = join([read_run(write_run(tmp_path / "run", success, ["a", "b"], sequence=lengths))])

    steps, points = thin(group)

    assert len(steps) == 150 and steps[74] == 149.5 and steps[75] == 150 + 150
    np.testing.assert_allclose(points[0, 75], success[0, 150:152].mean(axis=0))
