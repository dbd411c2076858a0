"""The two ways to a gradient, compiled code and autograd, beside each other."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import Tensor

from clrl.agents.native.path import unavailable, wanted
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.replay import Batch
from clrl.agents.spaces import TaskSpaces
from tests.agents.tiny import SETTINGS, randomise, sac, same_bits

needs_compiled_code = pytest.mark.skipif(
    wanted("auto")[0] == "torch" or unavailable() is not None,
    reason=f"updates are torch's: {unavailable() or 'CLRL_UPDATE says so'}",
)

Found = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, list[Tensor]]]
"""Losses by part, gradients by part and parameter, hidden activations by part."""


@contextlib.contextmanager
def on_torch(agent: ContinualSAC) -> Iterator[None]:
    """Let autograd take an agent's gradients."""
    before, agent.native.path = agent.native.path, "torch"
    try:
        yield
    finally:
        agent.native.path = before


def found(agent: ContinualSAC, batch: Batch) -> Found:
    """Return losses, gradients and hidden activations on a batch, by the agent's path."""
    into = {part: torch.full_like(o.grad, 7.0) for part, o in agent.optimizers.items()}
    hidden: dict[str, list[Tensor]] = {}
    # As a class has it: a test may have put another one on the object.
    losses = type(agent).gradients_of(agent, batch, into, hidden)
    gradients = {
        f"{part}.{name}": view.clone()
        for part, flat in into.items()
        for name, view in agent.flats[part].views(flat).items()
    }
    return losses, gradients, hidden


def found_by_both(agent: ContinualSAC, batch: Batch) -> tuple[Found, Found]:
    """Return what compiled code finds, which must be in use, and what autograd finds."""
    assert agent.engine(batch) is not None, agent.native.reason
    native = found(agent, batch)
    with on_torch(agent):
        return native, found(agent, batch)


def distances(first: Found, second: Found) -> dict[str, float]:
    """Return how far every loss (of 1, if it is smaller) and gradient is from the second one's."""
    apart = {
        f"{part} loss": float(((loss - second[0][part]).abs() / loss.abs().clamp(min=1)).max())
        for part, loss in first[0].items()
    }
    for name, gradient in first[1].items():
        own, size = (gradient - second[1][name]).norm(), second[1][name].norm()
        apart[name] = float(own / size) if size else float(own)
    return apart


def agree(agent: ContinualSAC, batch: Batch, within: float = 2e-6) -> bool:
    """Return whether both paths find the same on a batch.

    False is only for what nothing need agree on, in a leaky ReLU whose input is a rounding error,
    or two critics that say the same (a gradient jumps there), or a sum whose parts cancel: what
    differs does so in float64, too, as soon as what it is of moves by a rounding.

    Raises:
        AssertionError: anything else differs.
    """
    native, torchs = found_by_both(agent, batch)
    apart = distances(native, torchs)
    far = {name: distance for name, distance in apart.items() if not distance <= within}
    sides = [[h > 0 for hs in hidden.values() for h in hs] for _, _, hidden in (native, torchs)]
    if far and all(map(torch.equal, *sides)):
        exact = in_float64(agent, batch)
        moved = [distances(in_float64(agent, batch, jitter), exact) for jitter in range(1, 9)]
        assert all(max(m[name] for m in moved) > far[name] / 4 for name in far), far
    return not far


def in_float64(agent: ContinualSAC, batch: Batch, jitter: int = 0) -> Found:
    """Return losses and gradients in twice the precision, without hidden activations.

    Args:
        agent: whose.
        batch: on what.
        jitter: draws factors of 1 +- 2e-7 for all numbers; 0 leaves them.
    """
    generator = torch.Generator().manual_seed(jitter)

    def moved(numbers: Tensor) -> Tensor:
        factors = torch.randn(numbers.shape, generator=generator, dtype=torch.float64)
        return numbers.double() * (1 + 2e-7 * factors * (jitter > 0))

    twin = copy.deepcopy(agent)
    for module in twin.modules().values():
        for parameter in module.parameters():
            parameter.data = moved(parameter.data)
    own = [(f.name, getattr(batch, f.name)) for f in fields(batch)]
    wide = {n: moved(t) for n, t in own if isinstance(t, Tensor) and t.is_floating_point()}
    losses = type(twin).losses(twin, replace(batch, **wide))
    named = {
        f"{part}.{name}": parameter
        for part in twin.optimizers
        for name, parameter in twin.modules()[part].named_parameters()
    }
    total = torch.stack(list(losses.values())).sum()
    gradients = torch.autograd.grad(total, list(named.values()), materialize_grads=True)
    return {n: x.detach() for n, x in losses.items()}, dict(zip(named, gradients, strict=True)), {}


@dataclass
class Compared:
    """Compares both paths in every call of an agent's `gradients_of`, which goes on with torch's.

    Attributes:
        agent: whose calls.
        agreed: calls in which they found the same.
        unsure: calls in which nothing need agree.
    """

    agent: ContinualSAC
    agreed: int = 0
    unsure: int = 0

    def __post_init__(self) -> None:
        self.agent.gradients_of = self  # type: ignore[method-assign, assignment]

    def __call__(self, batch: Batch, *more: Any) -> dict[str, Tensor]:
        if agree(self.agent, batch):
            self.agreed += 1
        else:
            self.unsure += 1
        with on_torch(self.agent):
            return type(self.agent).gradients_of(self.agent, batch, *more)


def random_batch(agent: ContinualSAC, n: int, per_row: bool = False, seed: int = 0) -> Batch:
    """Return a batch of n random rows per seed, all of task 1 or of a task each."""
    rng = np.random.default_rng(seed)
    lead, actions = (agent.n_seeds, n), agent.spaces.action_dim

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.normal(size=(*lead, *shape)).astype(np.float32))

    ids = torch.from_numpy(rng.integers(0, agent.spaces.n_ids, lead))
    return Batch(
        obs=normal(agent.spaces.feature_dim),
        action=normal(actions).tanh(),
        reward=normal(),
        next_obs=normal(agent.spaces.feature_dim),
        done=(normal() > 1).float(),
        task=ids if per_row else min(1, agent.spaces.n_ids - 1),
        noise=normal(actions),
        next_noise=normal(actions),
    )


def same_found(first: Found, second: Found) -> bool:
    """Return whether two losses, gradients and hidden activations have the same bits."""
    flat = [
        [*losses.values(), *gradients.values(), *(h for layers in hidden.values() for h in layers)]
        for losses, gradients, hidden in (first, second)
    ]
    return len(flat[0]) == len(flat[1]) and all(map(same_bits, *flat))


def native_sac(seeds: int = 2, n_tasks: int = 3, **settings: Any) -> ContinualSAC:
    """Return a tiny agent with random weights that must take the compiled path."""
    agent = sac(seeds=tuple(range(seeds)), n_tasks=n_tasks, update="native", **settings)
    randomise(agent, 0.1)
    return agent


def of_spaces(numbers: int, actions: int, n_tasks: int, **settings: Any) -> ContinualSAC:
    """Return one of other observations and actions, which needs no environment."""
    one_hot = n_tasks if n_tasks > 1 else 0
    observation = Box(-np.inf, np.inf, (numbers + one_hot,), np.float32)
    spaces = TaskSpaces(observation, Box(-1, 1, (actions,), np.float32), n_tasks)
    agent = ContinualSAC(None, seeds=(0, 1), spaces=spaces, **(SETTINGS | settings))
    randomise(agent, 0.1)
    return agent
