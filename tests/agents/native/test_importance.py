"""Importances by compiled code: those of the tapes, and a seed's bits depend on the seed only."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.native import importance as native
from clrl.agents.native import library
from clrl.agents.native.function import outputs
from clrl.agents.native.network import MAX_ROWS
from clrl.agents.native.path import VARIABLE, unavailable
from clrl.agents.networks.distributions import Gaussian
from clrl.agents.networks.importance import fisher_outputs, mean_magnitudes, squared_norm
from clrl.agents.randomness import METHOD
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import fill, ppo, randomise, sac, same_bits

pytestmark = pytest.mark.skipif(
    unavailable() is not None, reason=f"no compiled update: {unavailable()}"
)
LAYOUTS: list[dict[str, Any]] = [
    {"multi_head": False},
    {"multi_head": False, "hide_task_id": False, "layer_norm": False},
    {"multi_head": True, "hidden_sizes": (40, 33, 17)},
]


def fisher(gaussian: Gaussian) -> Sequence[Tensor]:
    return fisher_outputs(gaussian, squashed_mean=True)


def mas(gaussian: Gaussian) -> Sequence[Tensor]:
    return [squared_norm(gaussian, squashed_mean=True)]


KINDS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "fisher": partial(mean_magnitudes, scalars_of=fisher, magnitude=torch.square),
    "floored fisher": partial(
        mean_magnitudes, scalars_of=fisher, magnitude=torch.square, floor=1e-3
    ),
    "mas": partial(mean_magnitudes, scalars_of=mas, magnitude=torch.abs),
}


def agent_of(update: Any, seeds: Sequence[int] = (0, 1, 2), **settings: Any) -> ContinualSAC:
    agent = sac(seeds=(0, 1, 2), update=update, **({"multi_head": False} | settings))
    randomise(agent)
    for task in (0, 1):
        fill(agent, task=task)
    return agent if len(seeds) == 3 else agent.take(seeds[0])


@pytest.fixture(autouse=True)
def nothing_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is taken from another chooses its path anew."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_the_tapes(kind: str, layout: dict[str, Any]) -> None:
    compiled, taped = agent_of("native", **layout), agent_of("torch", **layout)
    batch = taped.sample(21, METHOD)
    ours, theirs = KINDS[kind](compiled, batch), KINDS[kind](taped, batch)
    for name in taped.protected_parameters():
        error = (ours[name] - theirs[name]).norm() / theirs[name].norm()
        assert error < 2e-6, name
        assert theirs[name].norm() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_seeds_bits_are_those_alone_with_other_threads_and_registers(
    kind: str, three_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout: dict[str, Any] = {"hidden_sizes": (40, 33)}
    agent = agent_of("native", **layout)
    batch = agent.sample(7, METHOD)
    beside = KINDS[kind](agent, batch)
    torch.set_num_threads(1)
    alone = agent_of("native", (1,), **layout)
    own = alone.batch_of({name: t[1:2] for name, t in agent.rows_of(batch).items()}, METHOD)
    for processor in {library.processor(), "avx2"}:
        monkeypatch.setattr(library, "processor", lambda kind=processor: kind)
        found = KINDS[kind](alone, own)
        assert all(same_bits(found[name][0], beside[name][1]) for name in found)


def test_a_batch_of_more_rows_than_one_pass_takes_is_the_mean_of_its_parts() -> None:
    agent = agent_of("native")
    batch = agent.sample(2 * MAX_ROWS + 5, METHOD)
    whole, total = KINDS["fisher"](agent, batch), agent_of("torch")
    theirs = KINDS["fisher"](total, batch)
    for name in agent.protected_parameters():
        assert (whole[name] - theirs[name]).norm() < 1e-5 * theirs[name].norm()


def test_other_magnitudes_and_what_is_not_compiled_are_left_to_torch() -> None:
    agent = agent_of("native")
    batch = agent.sample(7, METHOD)
    assert native.mean_magnitudes(agent, batch, fisher, torch.square, 0.0) is not None
    assert native.mean_magnitudes(agent, batch, fisher, torch.relu, 0.0) is None
    agent.output_distributions = lambda batch: ContinualSAC.output_distributions(agent, batch)  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="computed by torch"):
        assert native.mean_magnitudes(agent, batch, fisher, torch.square, 0.0) is None
    found = KINDS["fisher"](agent, batch)
    assert found.keys() >= agent.protected_parameters().keys()


@pytest.mark.parametrize("kind", KINDS)
def test_action_noise_that_no_input_changes_is_measured_beside_the_network(kind: str) -> None:
    compiled, taped = (ppo(seeds=(0, 1, 2), multi_head=False) for _ in range(2))
    for agent in (compiled, taped):
        randomise(agent)
    policy, flat = compiled.policy_net, compiled.flats["policy"]
    batch: Any = SimpleNamespace(obs=torch.randn(3, 7, compiled.spaces.feature_dim), task=0)
    tasks = {"engine": lambda batch=None: policy, "output_distributions": lambda batch: gaussian()}

    def gaussian() -> Gaussian:
        mean = outputs(policy, flat, compiled.with_task(batch.obs, 0), 0)
        return Gaussian(mean, policy._std(mean, 0))

    vars(compiled).update(tasks)
    ours, theirs = KINDS[kind](compiled, batch), KINDS[kind](taped, batch)
    assert "log_std.bias" in taped.protected_parameters()
    for name in taped.protected_parameters():
        assert (ours[name] - theirs[name]).norm() < 2e-6 * theirs[name].norm(), name


def test_tapes_and_passes_are_put_away_even_after_an_error() -> None:
    agent = ppo()
    with pytest.raises(RuntimeError, match="enough"), native._passes(agent) as (_, tapes):
        assert agent.policy_net.passes == [] and agent.policy_net.log_std.tape == []
        raise RuntimeError("enough")
    assert tapes.keys() == {"log_std"}
    assert agent.policy_net.passes is None and agent.policy_net.log_std.tape is None
