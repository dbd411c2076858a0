"""The products and functions that compiled code is made of, against NumPy in float64."""

import ctypes
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents.native import build

CODE = """
#include "products.h"
#define EXPORT __attribute__((visibility("default")))
EXPORT int lanes_of(void) { return LANES; }
EXPORT void product(int rows, int inner, int columns, const float *a, long a_row,
                    const float *matrix, long row, const float *bias, float *out, long out_row,
                    float *panels, float *spare, int activation, int way) {
    if (way == 2) {
        multiply_few(rows, inner, columns, a, a_row, matrix, bias, out, out_row, activation, 0.2f);
        return;
    }
    if (way == 1) pack_transposed(inner, columns, matrix, row, panels);
    else pack(inner, columns, matrix, row, panels);
    multiply(rows, inner, columns, a, a_row, panels, bias, out, out_row, spare, activation, 0.2f);
}
EXPORT void product_transposed(int rows, int left_columns, int columns, const float *left,
                               long left_row, const float *right, long right_row, float *out,
                               float *panels, float *spare) {
    multiply_transposed(rows, left_columns, columns, left, left_row, right, right_row, out, panels,
                        spare);
}
EXPORT float sum_of(const float *x, int n) { return sum(x, n); }
EXPORT float dot_of(const float *x, const float *y, int n) { return dot(x, y, n); }
#define EACH(name, function)                                                     \\
    EXPORT void name(int n, const float *x, float *y) {                          \\
        for (int j = 0; j < n; j += LANES) store(y + j, function(load(x + j)));  \\
    }
EACH(exp_each, exp_of)
EACH(log1p_each, log1p_of)
EACH(tanh_each, tanh_of)
EACH(softplus_each, softplus)
"""
CAN = torch.backends.cpu.get_cpu_capability()
KINDS = {"AVX512": ["avx512", "avx2"], "AVX2": ["avx2"]}.get(CAN, [])
pytestmark = pytest.mark.skipif(not KINDS, reason=f"compiled code does not run on {CAN}")


@pytest.fixture(scope="module")
def avx2(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compiled("avx2", tmp_path_factory.mktemp("avx2"))


@pytest.fixture(scope="module", params=KINDS)
def c(request: pytest.FixtureRequest, avx2: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    kind = request.param
    return avx2 if kind == "avx2" else compiled(kind, tmp_path_factory.mktemp(kind))


def compiled(kind: str, folder: Path) -> Any:
    (folder / "parts.c").write_text(CODE)
    try:
        compiler = build._compiler()
    except build.CannotCompile as error:
        pytest.skip(str(error))
    out = str(folder / "parts.so")
    places = ["-I", str(build.SOURCE), "-shared", "-fPIC", str(folder / "parts.c"), "-o", out]
    quickly = "-O1"  # no level changes a bit (test_bits.py)
    subprocess.run(
        [*compiler, *build.flags(kind), quickly, *places], check=True, capture_output=True
    )
    library = ctypes.CDLL(out)
    library.sum_of.restype = library.dot_of.restype = ctypes.c_float
    assert library.lanes_of() == {"avx512": 16, "avx2": 8}[kind]
    return library


def at(array: np.ndarray) -> ctypes.c_void_p:
    assert array.dtype == np.float32
    return ctypes.c_void_p(array.ctypes.data)


def long(number: int) -> ctypes.c_long:
    return ctypes.c_long(number)


def padded(n: int) -> int:
    return (n + 15) // 16 * 16


def framed(values: np.ndarray, spare: int = 3) -> np.ndarray:
    """Return a view with the values, with NaN after every row, so that reading on is seen."""
    whole = np.full((values.shape[0] + 1, values.shape[1] + spare), np.nan, np.float32)
    whole[:-1, : values.shape[1]] = values
    return whole[:-1, : values.shape[1]]


def row_of(view: np.ndarray) -> ctypes.c_long:
    return long(view.strides[0] // 4)


def whole_numbers(*shape: int) -> np.ndarray:
    """Return numbers of which every product and sum is exact."""
    rng = np.random.default_rng(sum(shape))
    return rng.integers(-9, 10, shape).astype(np.float32)


def multiplied(
    c: Any,
    a: np.ndarray,
    matrix: np.ndarray,
    bias: np.ndarray | None,
    way: int,
    activation: int = 0,
) -> np.ndarray:
    """Return a times a matrix by one of the ways: packed, packed from its transpose, unpacked."""
    (rows, inner), columns = a.shape, matrix.shape[1]
    stored = np.ascontiguousarray(matrix.T if way == 1 else matrix)
    stored = stored if way == 2 else framed(stored)  # the unpacked one has no gaps
    left = framed(a)
    out = np.full((rows, padded(columns) + 5), 77.0, np.float32)
    panels = np.full((columns + 64) * inner, np.nan, np.float32)
    spare = np.full(8 * inner, np.nan, np.float32)
    c.product(rows, inner, columns, at(left), row_of(left), at(stored), row_of(stored),
              None if bias is None else at(bias), at(out), row_of(out), at(panels), at(spare),
              activation, way)  # fmt: skip
    assert (out[:, padded(columns) :] == 77.0).all()  # nothing is written beyond the padding
    return out[:, : padded(columns)]


SHAPES = list(itertools.product((1, 2, 5, 6, 7, 8, 9, 13, 16, 17), (1, 2, 7, 8, 9, 19),
                                (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64, 65)))  # fmt: skip


@pytest.mark.parametrize("way", [0, 1, 2])
def test_products_of_whole_numbers_are_exact_for_all_small_shapes(c: Any, way: int) -> None:
    for rows, inner, columns in SHAPES:
        a, matrix = whole_numbers(rows, inner), whole_numbers(inner, columns)
        bias = whole_numbers(columns)
        out = multiplied(c, a, matrix, bias, way)
        expected = a.astype(np.float64) @ matrix.astype(np.float64) + bias
        assert (out[:, :columns] == expected).all(), (rows, inner, columns)
        assert (out[:, columns:] == 0.0).all(), (rows, inner, columns)


@pytest.mark.parametrize("way", [0, 1])
def test_a_product_may_have_no_bias(c: Any, way: int) -> None:
    a, matrix = whole_numbers(9, 7), whole_numbers(7, 33)
    assert (multiplied(c, a, matrix, None, way)[:, :33] == a @ matrix).all()


def test_transposed_products_of_whole_numbers_are_exact_for_all_small_shapes(c: Any) -> None:
    for rows, width, columns in SHAPES:
        left, right = framed(whole_numbers(rows, width)), framed(whole_numbers(rows, columns))
        out = np.full(width * columns + 5, 77.0, np.float32)
        panels = np.full((columns + 64) * rows, np.nan, np.float32)
        spare = np.full(8 * rows, np.nan, np.float32)
        c.product_transposed(rows, width, columns, at(left), row_of(left), at(right),
                             row_of(right), at(out), at(panels), at(spare))  # fmt: skip
        expected = left.T.astype(np.float64) @ right.astype(np.float64)
        assert (out[:-5] == expected.ravel()).all(), (rows, width, columns)
        assert (out[-5:] == 77.0).all()


ACTIVATIONS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda x: x,
    lambda x: np.where(x > 0, x, np.float32(0.2) * x),
    lambda x: np.maximum(x, 0),
    np.tanh,
]


@pytest.mark.parametrize("activation", range(4))
@pytest.mark.parametrize("way", [0, 2])
def test_a_product_ends_with_its_activation(c: Any, activation: int, way: int) -> None:
    rng = np.random.default_rng(0)
    a, matrix, bias = (rng.normal(size=s).astype(np.float32) for s in ((9, 33), (33, 20), (20,)))
    out = multiplied(c, a, matrix, bias, way, activation)[:, :20]
    exact = a.astype(np.float64) @ matrix.astype(np.float64) + bias
    np.testing.assert_allclose(out, ACTIVATIONS[activation](exact), rtol=2e-6, atol=2e-6)


def test_a_row_has_the_same_bits_in_any_product_and_register(c: Any, avx2: Any) -> None:
    rng = np.random.default_rng(1)
    for inner, columns in ((1, 1), (33, 20), (300, 70)):
        a, matrix = rng.normal(size=(19, inner)), rng.normal(size=(inner, columns))
        a, matrix = a.astype(np.float32), matrix.astype(np.float32)
        bias = matrix[0].copy()
        whole = multiplied(c, a, matrix, bias, 0, 1)
        for way, rows in (
            (1, slice(0, 19)),
            (2, slice(3, 5)),
            (0, slice(18, 19)),
            (0, slice(2, 12)),
        ):
            part = multiplied(c, a[rows], matrix, bias, way, 1)
            assert part.tobytes() == whole[rows].tobytes()
        assert multiplied(avx2, a, matrix, bias, 0, 1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_row_and_its_column(c: Any, value: float) -> None:
    a, matrix, bias = whole_numbers(9, 7), whole_numbers(7, 20), whole_numbers(20)
    a[4, 3] = value
    out = multiplied(c, a, matrix, bias, 0)[:, :20]
    assert not np.isfinite(out[4]).any() or not matrix[3].all()
    assert (np.delete(out, 4, 0) == np.delete(a, 4, 0) @ matrix + bias).all()
    a[4, 3], matrix[2, 6] = 1, value
    out = multiplied(c, a, matrix, bias, 0)[:, :20]
    others = np.delete(a, 2, 1) @ np.delete(matrix, 2, 0) + np.outer(a[:, 2], matrix[2]) + bias
    assert (np.delete(out, 6, 1) == np.delete(others, 6, 1)).all()
    assert not np.isfinite(out[:, 6]).any()


@pytest.mark.parametrize("n", [16, 32, 48, 256, 1024])
def test_sums_and_dot_products_are_those_of_float64(c: Any, n: int) -> None:
    x, y = np.random.default_rng(n).normal(size=(2, n)).astype(np.float32)
    assert abs(c.sum_of(at(x), n) - x.sum(dtype=np.float64)) <= 1e-7 * np.abs(x).sum()
    exact = x.astype(np.float64) @ y.astype(np.float64)
    assert abs(c.dot_of(at(x), at(y), n) - exact) <= 1e-7 * np.abs(x * y).sum()


def each(c: Any, name: str, x: np.ndarray) -> np.ndarray:
    n = padded(len(x))
    inputs, result = np.zeros(n, np.float32), np.full(n + 1, 77.0, np.float32)
    inputs[: len(x)] = x
    getattr(c, f"{name}_each")(n, at(inputs), at(result))
    assert result[n] == 77.0
    return result[: len(x)]


FUNCTIONS: dict[
    str, tuple[Callable[[np.ndarray], np.ndarray], list[tuple[float, float]], float]
] = {
    "exp": (np.exp, [(-87.3, 88.72), (-1, 1), (-1e-6, 1e-6)], 1.2e-7),
    "log1p": (np.log1p, [(0, 1), (0, 1e-3), (0, 1e-30)], 1.8e-7),
    "tanh": (np.tanh, [(-12, 12), (-1, 1), (-1e-3, 1e-3), (-1e-30, 1e-30)], 3e-7),
    "softplus": (lambda x: np.logaddexp(0, x), [(-80, 100), (-1, 1), (-20, 5)], 2.5e-7),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_float64_but_for_a_rounding(c: Any, name: str) -> None:
    function, ranges, within = FUNCTIONS[name]
    for least, most in ranges:
        x = np.linspace(least, most, 200_001).astype(np.float32)
        exact = function(x.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(each(c, name, x) / exact - 1)
        assert np.nanmax(apart) <= within, x[np.nanargmax(apart)]


def test_functions_of_what_is_not_finite_or_far_away(c: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 89.0, -104.5, 3e38, -3e38], np.float32)
    expected = {
        "exp": [np.nan, np.inf, 0.0, 1.0, np.inf, 0.0, np.inf, 0.0],
        "tanh": [np.nan, 1.0, -1.0, 0.0, 1.0, -1.0, 1.0, -1.0],
        "softplus": [np.nan, np.inf, 0.0, np.log(2), 89.0, 0.0, 3e38, 0.0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(
            each(c, name, x), np.array(values, np.float32), rtol=3e-7, atol=0
        )
    assert np.isnan(each(c, "log1p", np.array([np.nan], np.float32))[0])
    assert each(c, "log1p", np.array([0.0], np.float32))[0] == 0.0


def test_the_smallest_powers_are_no_zeros(c: Any) -> None:
    x = np.linspace(-103, -87.4, 1000).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(each(c, "exp", x) - exact) <= 1e-7 * exact + 2**-149).all()
