import pytest

from clrl.config.names import (
    format_lengths,
    format_range,
    format_seeds,
    parse_lengths,
    parse_range,
    parse_seeds,
    sequence_name,
)
from clrl.envs.metaworld.tasks import CW10
from clrl.errors import ConfigError


def test_a_sequence_is_called_by_its_name_or_its_tasks() -> None:
    assert sequence_name(CW10 * 2) == "CW20"
    assert sequence_name(("push-v3", "hammer-v3")) == "push-v3,hammer-v3"


@pytest.mark.parametrize(
    ("text", "lengths"), [("1000", 1000), ("1_000,500", (1000, 500)), ("7,7", (7, 7))]
)
def test_lengths_are_one_number_or_several(text: str, lengths: object) -> None:
    assert parse_lengths(text) == lengths == parse_lengths(format_lengths(parse_lengths(text)))
    with pytest.raises(ConfigError, match="is not a whole number .or several, like 1000,500"):
        parse_lengths(text + "x")


def test_a_range_is_two_numbers() -> None:
    for limits in ((-1200.0, 0.5), None):
        assert parse_range(format_range(limits)) == limits
    for text in ("1", "1,2,3", "a,b"):
        with pytest.raises(ConfigError, match="is not LOW,HIGH"):
            parse_range(text)


def test_seeds_are_ranges_and_lists() -> None:
    assert parse_seeds("0..4") == (0, 1, 2, 3, 4)
    assert parse_seeds("0,3,7") == (0, 3, 7)
    assert parse_seeds("2") == (2,)
    assert parse_seeds("1..2,7") == (1, 2, 7)
    for text in ("0..4", "0,3,7", "2"):
        assert format_seeds(parse_seeds(text)) == text


@pytest.mark.parametrize("text", ["", "a", "-1", "4..0", "0...4", "1.5", "0..99999999"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        parse_seeds(text)
