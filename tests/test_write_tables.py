"""The script that writes measured numbers into the tables of README and docs."""

from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
TEXT = """| ewc | 0.1 [0, 1] | 0.2 | 0.3 | `row.sh ewc` |
| ewc-like | 0.1 | 0.2 | 0.3 | `row.sh` |"""


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.syspath_prepend(SCRIPTS)
    import write_tables

    found: Callable[..., str] = write_tables.filled
    return found


def test_cells_of_one_row_are_replaced_and_the_others_stay(filled: Callable[..., str]) -> None:
    found = filled(TEXT, "| ewc |", ["0.7 [0.6, 0.8]", "–"], 1)
    assert found == TEXT.replace("| 0.1 [0, 1] | 0.2 |", "| 0.7 [0.6, 0.8] | – |")


def test_a_row_that_no_table_has_is_an_error(filled: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match="no row of a table starts with '| mas |'"):
        filled(TEXT, "| mas |", ["0.7"], 1)
