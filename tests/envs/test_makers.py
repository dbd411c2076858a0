"""Makers are one if they call equal functions with equal arguments."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from clrl.envs.makers import world_key


def make(gravity: Any, size: int = 1) -> Any:
    return gravity * size


def closure(gravity: float) -> Callable[[], float]:
    return lambda: gravity


def default(gravity: float) -> Callable[[], float]:
    def fall(g: float = gravity) -> float:
        return g

    return fall


def recursive(gravity: float) -> Callable[[int], float]:
    def fall(n: int = 0) -> float:
        return gravity if n == 0 else fall(n - 1)

    return fall


def same(one: Any, other: Any) -> bool:
    return world_key(one) == world_key(other)


def test_partials_are_compared_by_function_and_arguments() -> None:
    assert same(partial(make, 1.0, size=2), partial(make, 1.0, size=2))
    assert same(partial(make, size=2, gravity=1.0), partial(make, gravity=1.0, size=2))
    assert same(partial(partial(make, 1.0), size=2), partial(make, 1.0, size=2))
    assert not same(partial(make, 1.0), partial(make, 2.0))
    assert not same(partial(make, 1.0), partial(make, 1.0, size=1))
    assert not same(partial(make, 1.0), partial(max, 1.0))


def test_functions_made_again_are_one_if_they_hold_the_same() -> None:
    for kind in (closure, default, recursive):
        assert same(kind(1.0), kind(1.0)), kind
        assert not same(kind(1.0), kind(2.0)), kind
    assert not same(closure(1.0), default(1.0))


def test_arguments_are_told_apart_by_type_and_content() -> None:
    assert same(partial(make, [1, {"a": (2,)}]), partial(make, [1, {"a": (2,)}]))
    assert same(partial(make, np.ones(2)), partial(make, np.ones(2)))
    for one, other in [(1, True), (1, 1.0), (0.0, -0.0), ("1", 1), ([1], (1,)), (None, 0),
                       (np.ones(2), np.zeros(2)), (np.ones(2), np.ones((1, 2))),
                       ({"a": 1}, {"a": 2})]:  # fmt: skip
        assert not same(partial(make, one), partial(make, other)), (one, other)


def test_objects_of_unknown_kinds_are_equal_to_themselves_only() -> None:
    one, other = object(), object()
    assert same(partial(make, one), partial(make, one))
    assert not same(partial(make, one), partial(make, other))


def test_what_a_function_or_an_argument_holds_besides_counts() -> None:
    def build(g: float) -> Any:
        def fall() -> float:
            return float(vars(fall)["g"])

        vars(fall)["g"] = g
        return fall

    class Settings(dict[str, float]):
        g = 0.0

    class Number(float):
        g = 0.0

    assert same(build(1.0), build(1.0)) and not same(build(1.0), build(30.0))
    for kind in (Settings, Number):
        assert not same(partial(make, kind()), partial(make, kind()))
