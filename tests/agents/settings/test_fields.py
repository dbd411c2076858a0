"""Checks of fields: from Python as from the command line, by annotation and range."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import torch
import yaml

from clrl.agents.classifier.settings import ClassifierSettings
from clrl.agents.methods import METHODS
from clrl.agents.methods.ewc import EWC
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.fields import check_fields, number, plain_values, whole_number
from clrl.agents.settings.learners import SETTINGS
from tests.agents import tiny


@dataclass(frozen=True)
class Example:
    count: int = number(1, above=0)
    share: float = number(0.5, least=0, most=1)
    decay: float = number(0.9, least=0, below=1)
    clip: float | None = number(None, above=0)
    any_finite: float = 0.0
    sizes: tuple[int, ...] = number((4, 4), above=0)
    limits: tuple[float, float] = (0.0, 1.0)
    steps: int | tuple[int, ...] = number(10, above=0)
    word: Literal["mean", "sum_of_all"] = "mean"
    flag: bool = False
    text: str = ""
    other: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "example")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("count", 0, "0; it must be above 0"),
        ("count", 2.0, "2.0; it must be a whole number"),
        ("count", "3", "'3'; it must be a whole number"),
        ("count", True, "True; it must be a whole number"),
        ("count", None, "None; it must be a whole number"),
        ("count", np.int64(-1), "-1; it must be above 0"),
        ("share", 2, "2; it must be in 0..1"),
        ("share", "0.5", "'0.5'; it must be a number"),
        ("share", False, "False; it must be a number"),
        ("decay", 1, "1; it must be at least 0 and below 1"),
        ("clip", 0.0, "0.0; it must be above 0"),
        ("clip", "none", "'none'; it must be a number"),
        ("any_finite", float("nan"), "nan; it must be finite"),
        ("any_finite", np.float32("inf"), "inf; it must be finite"),
        ("any_finite", 10**400, "0; it must be finite"),
        ("sizes", (), "empty; give at least one number"),
        ("sizes", [4, 0], r"\(4, 0\); it must be above 0"),
        ("sizes", 64, "64; it must be a list"),
        ("sizes", "64", "'64'; it must be a list"),
        ("sizes", (4, 1.5), "1.5; it must be a whole number"),
        ("limits", (0.0,), r"\(0.0,\); it must have 2 values"),
        ("steps", (10, 0), r"\(10, 0\); it must be above 0"),
        ("steps", "many", "'many'; it must be a whole number or a list"),
        ("word", "Mean", "'Mean'; it must be mean or sum_of_all; did you mean mean?"),
        ("word", "sum-of-all", "did you mean sum_of_all?"),
        ("word", 3, "3; it must be mean or sum_of_all$"),
        ("flag", 1, "1; it must be true or false"),
        ("text", 1, "1; it must be a word"),
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_what_is_allowed(
    name: str, value: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^example.{name} is .*{sentence}") as refusal:
        Example(**{name: value})
    assert "\n" not in str(refusal.value)


def test_values_of_numpy_and_lists_become_plain_ones() -> None:
    given: Any = {
        "count": np.int64(3), "share": np.float64(0.25), "decay": np.array(0.5), "clip": 1,
        "sizes": [np.int32(8), 8], "limits": np.array([0.0, 2.0]), "steps": [1, 2],
        "word": np.str_("mean"), "flag": np.bool_(True),
    }  # fmt: skip
    made = Example(**given)
    assert made == Example(
        3, 0.25, 0.5, 1, sizes=(8, 8), limits=(0.0, 2.0), steps=(1, 2), flag=True
    )
    values = [made.count, made.share, made.decay, *made.sizes, made.flag, *made.limits]
    assert [type(value) for value in values] == [int, float, float, int, int, bool, float, float]
    assert type(made.word) is str and type(made.sizes) is tuple


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (SACSettings, "train_freq", 0),
        (SACSettings, "gamma", 2),
        (SACSettings, "adam_beta2", 1),
        (SACSettings, "replay", "FIFO"),
        (SACSettings, "exploration", "best-return"),
        (SACSettings, "hidden_sizes", ()),
        (PPOSettings, "adam_beta1", 1.0),
        (PPOSettings, "normalize_advantage", "Minibatch"),
        (PPOSettings, "n_steps", "3"),
        (ClassifierSettings, "replay", "Task"),
        (ClassifierSettings, "batch_size", True),
        (EWC, "anchors", "per-task"),
        (EWC, "fisher_mean", "presquash"),
        (EWC, "coef", -1),
        (METHODS["packnet"], "retrain_steps", -1),
        (METHODS["agem"], "memory_per_task", 0),
        (METHODS["si"], "xi", 0.0),
        (METHODS["online-ewc"], "gamma", 1.5),
        (METHODS["vcl"], "initial_log_variance", float("nan")),
    ],
)
def test_settings_and_methods_are_checked_when_they_are_made(
    kind: Any, name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=rf"\b{name} is .*; (it must be|give) "):
        kind(**{name: value})


@pytest.mark.parametrize("make", [tiny.sac, tiny.ppo])
def test_an_agent_refuses_them_too(make: Any) -> None:
    with pytest.raises(ValueError, match="gamma is 1.5; it must be in 0..1"):
        make(gamma=1.5)
    with pytest.raises(ValueError, match="parity is 'Original'; it must be clean or original; did"):
        make(parity="Original")


@pytest.mark.parametrize("kind", [*SETTINGS.values(), *METHODS.values()])
def test_the_defaults_are_allowed(kind: Any) -> None:
    kind()


def test_a_field_of_a_class_inside_a_function_is_checked_where_its_annotation_is_known() -> None:
    @dataclass
    class Local(EWC):
        mine: "Nowhere" = 3  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ValueError, match="method.coef is -1.0"):
        Local(coef=-1.0)
    assert Local(mine="x").mine == "x"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(2.5), 2.5),
        (np.array([1, 2]), [1, 2]),
        (np.array(3), 3),
        (torch.tensor(4), 4),
        (torch.ones(2), [1.0, 1.0]),
        ((np.int8(1), (np.bool_(True), [np.str_("a")])), [1, [True, ["a"]]]),
        ({np.str_("a"): np.float32(0.5), "b": {"c": np.arange(2)}}, {"a": 0.5, "b": {"c": [0, 1]}}),
        ("word", "word"),
        (None, None),
    ],
)
def test_nested_values_become_plain_ones(value: Any, plain: Any) -> None:
    found = plain_values(value)
    assert found == plain and yaml.safe_load(yaml.safe_dump(found)) == plain
    assert json.loads(json.dumps(found)) == plain


@pytest.mark.parametrize(
    "value", [3, 3.0, np.int64(3), np.float32(3), np.array(3), torch.tensor(3)]
)
def test_a_number_of_steps_may_have_any_type(value: Any) -> None:
    found = whole_number(value, "steps")
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", [2.5, -1, True, "3", None, float("nan"), np.array([3, 4]), [3]])
def test_what_is_no_number_of_steps_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="steps is .*; it must be a whole number of at least 0"):
        whole_number(value, "steps")
