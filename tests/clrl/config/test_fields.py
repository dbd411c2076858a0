"""Plain values into dataclasses and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
import yaml

from clrl.config.fields import from_plain, plain
from clrl.config.presets import base_config
from clrl.config.run import RunConfig
from clrl.errors import ConfigError


@dataclass(frozen=True)
class Part:
    """Part of a whole."""

    rate: float = 0.5
    kind: Literal["on", "off"] = "on"
    limits: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Whole:
    """A part, and a number that must be given."""

    count: int
    part: Part = Part()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("count is 13; it must be lucky")


WHOLE = Whole(3, Part(0.25, "off", (1.0, 2.0)), ("a", "b"))
VALUES = {
    "count": 3,
    "part": {"rate": 0.25, "kind": "off", "limits": [1.0, 2.0]},
    "names": ["a", "b"],
}


def test_a_dataclass_is_nested_plain_values_and_comes_back() -> None:
    assert yaml.safe_load(yaml.safe_dump(plain(WHOLE))) == VALUES
    assert from_plain(Whole, VALUES) == WHOLE
    assert from_plain(Whole, {"count": 3}) == Whole(3)


def test_a_number_has_the_type_of_its_field() -> None:
    part = from_plain(Part, {"rate": 1, "limits": [1, 2]})
    assert [type(value) for value in (part.rate, *(part.limits or ()))] == [float] * 3
    assert type(plain(Part(rate=1))["rate"]) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (3, "^run is 3; it must be a mapping"),
        ({}, "run.count is missing"),
        ({"count": 3, "part": 4}, "run.part is 4; it must be a mapping"),
        ({"count": 3, "prat": {}}, "unknown key 'run.prat'; did you mean 'run.part'"),
        ({"count": 3, "part": {"rat": 1}}, "unknown key 'run.part.rat'; did you mean 'run.part.r"),
        ({"count": 3.5}, "run.count is 3.5; it must be a whole number"),
        ({"count": 3, "part": {"rate": "much"}}, "run.part.rate is 'much'"),
        ({"count": 3, "part": {"kind": "of"}}, "run.part.kind is 'of'"),
        ({"count": 3, "names": ["a", 1]}, "run.names is 1"),
        ({"count": 13}, "count is 13; it must be lucky"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_dotted_key(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_plain(Whole, values, "run")


def test_a_field_of_a_base_class_takes_the_type_that_is_given() -> None:
    @dataclass(frozen=True)
    class Holder:
        """Holds anything."""

        held: Any

    assert from_plain(Holder, {"held": {"rate": 2}}, types={"held": Part}).held == Part(2.0)


TASKS = "push-v3,window-close-v3"


SMALL = base_config(TASKS, "packnet", "small")


def test_yaml_s_own_traps_are_read_as_meant() -> None:
    text = SMALL.to_yaml().replace("1.0e-07", "1e-7").replace("'off'", "off")
    assert "1e-7" in text and "wandb: off" in text
    assert RunConfig.from_dict(yaml.safe_load(text)) == SMALL
