"""A seed's bits: of neighbours, threads, processor, compiler and its flags they know nothing."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from clrl.agents.native import build
from clrl.agents.sac import ContinualSAC
from tests.agents.paths import needs_compiled_code, random_batch
from tests.agents.tiny import randomise, sac

SETTINGS: list[dict[str, Any]] = [
    {"hidden_sizes": (40, 33, 7), "popart": True},
    {"hidden_sizes": (16, 64), "hide_task_id": False, "layer_norm": False, "max_grad_norm": 0.5},
]
SEEDS = (0, 1, 2)
UPDATES = 20
CAN = torch.backends.cpu.get_cpu_capability()
pytestmark = needs_compiled_code


@pytest.fixture(autouse=True)
def one_thread_afterwards() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def trained(number: int, seeds: tuple[int, ...] = SEEDS) -> ContinualSAC:
    """Return an agent after updates on batches of several sizes; a seed's rows are its own."""
    agent = sac(seeds=seeds, n_tasks=3, update="native", **SETTINGS[number])
    whole = sac(seeds=SEEDS, n_tasks=3, **SETTINGS[number])
    randomise(whole, 0.1)
    for part, flat in agent.flats.items():
        source = whole.flats[part].views(whole.flats[part].flat)
        for name, view in flat.views(flat.flat).items():
            view.copy_(source[name][list(seeds)])
    for update in range(UPDATES):
        batch = random_batch(
            whole, (1, 2, 13, 64)[update % 4], per_row=update % 3 == 0, seed=update
        )
        for name, values in vars(batch).items():
            if isinstance(values, torch.Tensor):
                setattr(batch, name, values[list(seeds)])
        agent.update(batch)
        assert agent.engine(batch) is not None
    return agent


def digests(agent: ContinualSAC) -> list[str]:
    """Return one SHA per seed, of everything that it learned."""
    found = []
    for s in range(agent.n_seeds):
        digest = hashlib.sha256()
        for flat in agent.flats.values():
            for view in flat.views(flat.flat).values():
                digest.update(view[s].detach().contiguous().numpy().tobytes())
        found.append(digest.hexdigest())
    return found


@pytest.fixture(scope="module", params=range(len(SETTINGS)))
def case(request: pytest.FixtureRequest) -> tuple[int, list[str]]:
    return request.param, digests(trained(request.param))


Case = tuple[int, list[str]]


def test_seeds_differ(case: Case) -> None:
    assert len(set(case[1])) == len(SEEDS)


@pytest.mark.parametrize("seeds", [(1,), (2, 0)])
def test_a_seed_alone_has_the_bits_that_it_has_beside_others(
    case: Case, seeds: tuple[int, ...]
) -> None:
    number, expected = case
    assert digests(trained(number, seeds)) == [expected[s] for s in seeds]


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(case: Case, threads: int) -> None:
    torch.set_num_threads(threads)
    assert digests(trained(case[0])) == case[1]


Compile = Callable[..., ctypes.CDLL]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Return what compiles the update in another way, into a cache of its own."""

    def other(
        kind: str, flags: tuple[str, ...] = build.FLAGS, cc: str | None = None
    ) -> ctypes.CDLL:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
            patch.setattr(build, "FLAGS", flags)
            if cc is not None:
                patch.setenv("CC", cc)
            with build.compiled(kind) as made:
                library = ctypes.CDLL(str(made))
        for name in ("network", "importance", "sac", "ppo"):
            getattr(library, f"{name}_scratch").restype = ctypes.c_int64
        return library

    return other


def with_optimisation(level: str) -> tuple[str, ...]:
    assert "-O3" in build.FLAGS
    return tuple(level if flag == "-O3" else flag for flag in build.FLAGS)


KINDS = ["avx2", pytest.param("avx512", marks=pytest.mark.skipif(CAN != "AVX512", reason=CAN))]


def check(library: ctypes.CDLL, patch: pytest.MonkeyPatch) -> None:
    expected = [digests(trained(number)) for number in range(len(SETTINGS))]
    patch.setattr("clrl.agents.native.calls.library", lambda: library)
    assert [digests(trained(number)) for number in range(len(SETTINGS))] == expected


@pytest.mark.skipif(CAN != "AVX512", reason="compiled for AVX2 here anyway")
def test_registers_of_half_the_width_change_no_bit(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(compiled("avx2"), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3"])
def test_optimisation_changes_no_bit(
    kind: str, level: str, compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(compiled(kind, with_optimisation(level)), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(not shutil.which("clang"), reason="there is no clang")
def test_another_compiler_changes_no_bit(
    kind: str, compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(compiled(kind, cc="clang"), monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(CAN != "AVX512", reason="torch runs with AVX2 here anyway")
def test_torch_itself_changes_no_bit_of_an_update_on_another_processor(tmp_path: Path) -> None:
    code = (
        "from tests.agents.native import test_bits as bits; from clrl.agents.native import library;"
        "bits.torch.set_num_threads(1); print(library.processor());"
        "[print(d) for n in range(len(bits.SETTINGS)) for d in bits.digests(bits.trained(n))]"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    kind, *found = done.stdout.split()
    assert kind == "avx2"
    assert found == [d for n in range(len(SETTINGS)) for d in digests(trained(n))]
