"""Online EWC: what fades, and what is normalised."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.online_ewc import OnlineEWC
from tests.agents.tiny import fill, randomise, sac


def importances(method: Any, tasks: int = 3) -> list[dict[str, Tensor]]:
    """Return the importances in the method's state after each of some tasks of random data."""
    agent = sac(method=method, seeds=(0, 1), n_tasks=tasks)
    found = []
    for task in range(tasks):
        randomise(agent)
        fill(agent, task=task)
        agent.start_task(task)
        agent.end_task()
        state = agent.method.state.items()
        found.append({name: t.clone() for name, t in state if name.startswith("importance.")})
    return found


def settings() -> dict[str, Any]:
    return {"fisher_batches": 2, "fisher_batch_size": 16}


def fishers() -> list[dict[str, Tensor]]:
    """Return the Fisher information of every task alone, from EWC's sums."""
    sums = importances(EWC(**settings()))
    before = [{name: torch.zeros(()) for name in sums[0]}, *sums[:-1]]
    return [{n: a[n] - b[n] for n in a} for a, b in zip(sums, before, strict=True)]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_what_remains_of_a_tasks_fisher_fades_with_gamma(gamma: float) -> None:
    first, second, third = fishers()
    last = importances(OnlineEWC(gamma=gamma, normalize=False, **settings()))[-1]
    for name, tensor in last.items():
        expected = gamma**2 * first[name] + gamma * second[name] + third[name]
        torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-9)


def test_every_tasks_fisher_has_norm_one_per_tensor_and_seed_before_it_is_added() -> None:
    sums = importances(OnlineEWC(gamma=0.5, **settings()))
    faded = {name: torch.zeros(()) for name in sums[0]}
    for found, fisher in zip(sums, fishers(), strict=True):
        for name, tensor in found.items():
            norm = torch.linalg.vector_norm(fisher[name].flatten(1), dim=1)
            unit = fisher[name] / norm.view(-1, *[1] * (tensor.dim() - 1))
            faded[name] = 0.5 * faded[name] + unit
            torch.testing.assert_close(tensor, faded[name], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("gamma", [-0.1, 1.5])
def test_gamma_is_a_share(gamma: float) -> None:
    with pytest.raises(ValueError, match=f"gamma is {gamma}; it must be in 0..1"):
        OnlineEWC(gamma=gamma)
