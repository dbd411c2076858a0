"""Exit codes that scripts rely on, and errors of other folders made ours."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from clrl import errors
from clrl.agents.settings.fields import number
from clrl.errors import ConfigError, checked, said_as_config_error, say


def test_exit_codes_are_what_scripts_were_told() -> None:
    codes = {name: value for name, value in vars(errors).items() if isinstance(value, int)}
    assert codes == {
        "OK": 0,
        "INCOMPLETE": 1,
        "DAMAGED": 65,
        "FAULT": 70,
        "BUSY": 73,
        "INTERRUPTED": 75,
        "CONFIG": 78,
    }


def test_why_a_command_ends_is_one_line_of_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert say("no such file", errors.DAMAGED) == 65
    assert capsys.readouterr() == ("", "clrl: no such file\n")


def test_only_value_errors_become_errors_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="^steps is 0$") as raised, said_as_config_error():
        raise ValueError("steps is 0")
    assert type(raised.value.__cause__) is ValueError
    with pytest.raises(KeyError), said_as_config_error():
        raise KeyError("steps")


def test_a_field_out_of_its_range_is_an_error_of_the_configuration() -> None:
    @dataclass
    class Section:
        """One number."""

        share: float = number(0.5, least=0, most=1)

    checked(Section(), "part")
    with pytest.raises(ConfigError, match="part.share is 2.0; it must be in 0..1"):
        checked(Section(2.0), "part")
