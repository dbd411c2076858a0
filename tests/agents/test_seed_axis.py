"""A seed's trajectory does not depend on which seeds stand beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents.learner import NonFinite
from clrl.agents.methods import METHODS
from clrl.agents.native.path import unavailable
from tests.agents.tiny import differences, method, sac, same_bits, vec, weights

SEEDS = (3, 0, 8, 5)


@pytest.fixture(params=["highest", "medium"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


def trained(seeds: tuple[int, ...], name: str = "finetuning", **settings: Any) -> dict[str, Any]:
    """Return the state after 300 steps over two tasks, with the switch inside."""
    often: dict[str, Any] = {
        "train_freq": 3,
        "gradient_steps": 1,
        "steps_per_task": 170,
        "hidden_sizes": (32, 32),
    }
    agent = sac(method=method(name), seeds=seeds, **(often | settings))
    agent.learn(300)
    assert (agent.task == 1 or agent.interleaved) and agent.n_updates > 90
    return agent.state_dict()


def check_alone_and_beside(name: str = "finetuning", **settings: Any) -> None:
    four = trained(SEEDS, name, **settings)
    assert differences(trained(SEEDS[1:2], name, **settings), four, 0, 1) == []
    two = trained(SEEDS[1:3], name, **settings)
    assert differences(two, four, 0, 1) == []
    assert differences(two, four, 1, 2) == []


def test_a_seed_alone_equals_the_seed_beside_others_bit_for_bit(precision: str) -> None:
    check_alone_and_beside(batch_size=16 if precision == "highest" else 128)


def test_a_seed_alone_equals_the_seed_beside_others_with_masks_and_a_clip() -> None:
    check_alone_and_beside("packnet")


# Vectorised kernels round the last elements of a tensor differently, and which elements are last
# depends on the number of seeds.
def test_a_seed_alone_equals_the_seed_beside_others_with_an_odd_batch_size() -> None:
    check_alone_and_beside(batch_size=7)


def test_a_seed_alone_equals_the_seed_beside_others_with_layers_of_16() -> None:
    check_alone_and_beside(hidden_sizes=(16, 16))


def test_a_seed_alone_equals_the_seed_beside_others_when_the_network_sees_the_task() -> None:
    settings: dict[str, Any] = {"hide_task_id": False, "multi_head": False, "reset_buffer": False}
    two = trained(SEEDS[:2], **settings)
    assert differences(trained(SEEDS[1:2], **settings), two, 0, 1) == []


def test_seeds_differ_from_each_other() -> None:
    agent = sac(seeds=SEEDS[:2])
    agent.learn(30)
    state = agent.state_dict()
    names = differences(state, state, 0, 1)
    assert "weights.actor.core.layers.0.weight" in names
    assert "buffer.obs" in names and "buffer.action" in names


def test_a_nan_reward_stops_the_run_and_names_the_seed_and_the_task() -> None:
    agent = sac(vec(2, events=[{}, {25: "nan"}]), seeds=(4, 9))
    with pytest.raises(NonFinite, match="reward of seed 9 is not finite in task 0"):
        agent.learn(60)
    assert agent.num_timesteps == 25
    assert all(bool(torch.isfinite(w).all()) for w in weights(agent).values())


def test_act_gives_a_seed_the_same_action_beside_others(precision: str) -> None:
    four = sac(seeds=SEEDS, hidden_sizes=(32, 32))
    obs = vec(4).reset()
    assert isinstance(obs, np.ndarray)
    rows = torch.from_numpy(obs).unsqueeze(1).expand(-1, 3, -1).numpy()
    every = four.act(rows, deterministic=True)
    for s, seed in enumerate(SEEDS):
        alone = sac(seeds=(seed,), hidden_sizes=(32, 32)).act(rows[s : s + 1], deterministic=True)
        assert same_bits(torch.from_numpy(alone[0]), torch.from_numpy(every[s]))


# The native path has no conditions: layers and batches of any size, any number of threads. Torch
# would share the sums over large layers among its threads.
@pytest.mark.skipif(unavailable() is not None, reason=f"{unavailable()}")
@pytest.mark.parametrize(
    "name, hidden",
    [(name, (40, 33)) for name in METHODS if name != "vcl"]
    + [(name, (211, 179)) for name in ("agem", "online-ewc")],
)
def test_a_seed_alone_equals_the_seed_beside_others_on_the_native_path(
    name: str, hidden: tuple[int, int]
) -> None:
    settings: dict[str, Any] = {"hidden_sizes": hidden, "batch_size": 100, "update": "native"}
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        beside = trained(SEEDS[:3], name, **settings)
        torch.set_num_threads(1)
        assert differences(trained(SEEDS[1:2], name, **settings), beside, 0, 1) == []
    finally:
        torch.set_num_threads(before)


STATE = """
import hashlib, sys
from tests.agents.test_seed_axis import SEEDS, trained
for name in sys.argv[1:]:
    settings = {"hidden_sizes": (40, 33), "batch_size": 100, "update": "native"}
    state = trained(SEEDS[1:2], name, **settings)
    digest = hashlib.sha256(str(state["json"]["report"]).encode())
    for tensor in state["tensors"].values():
        digest.update(tensor.contiguous().numpy().tobytes())
    print(name, digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(unavailable() is not None, reason=f"{unavailable()}")
def test_a_seeds_bits_are_those_of_a_processor_with_narrower_registers() -> None:
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("this processor has no wider registers than AVX2")
    command = [sys.executable, "-c", STATE, *(name for name in METHODS if name != "vcl")]
    found = [
        subprocess.run(
            command,
            env=os.environ | {"ATEN_CPU_CAPABILITY": kind},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for kind in ("avx2", "avx512")
    ]
    assert "finetuning" in found[0] and found[0] == found[1]
