import pytest

from clrl.envs.tasks import CW10
from clrl.errors import ConfigError
from clrl.names import format_seeds, parse_seeds, parse_tasks, sequence_name


def test_sequences_are_names_or_lists_of_tasks() -> None:
    assert parse_tasks("CW10") == CW10
    assert parse_tasks("CW20") == CW10 + CW10
    assert parse_tasks("push-v3, hammer-v3") == ("push-v3", "hammer-v3")
    assert sequence_name(CW10 * 2) == "CW20"
    assert sequence_name(("push-v3", "hammer-v3")) == "push-v3,hammer-v3"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("CW30", "unknown task 'CW30'; did you mean 'CW"),
        ("push-v3,windw-close-v3", "unknown task 'windw-close-v3'; did you mean 'window-close-v3'"),
        ("push-v3,CW10", "unknown task 'CW10'; `clrl list tasks` shows all"),
        ("", "unknown task ''"),
    ],
)
def test_an_unknown_task_is_refused_with_the_closest_one(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_tasks(text)


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
