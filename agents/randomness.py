"""Named random generators: every draw of a run comes from one of these."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from clrl.agents.settings.fields import check_value

Seeds = tuple[int, ...]

# Numbered once and for ever: a stored run is continued with these numbers.
WEIGHTS, ENVIRONMENT, EXPLORATION, REPLAY, POLICY_NOISE, MINIBATCHES, METHOD, EVALUATION = range(8)

_TRAINING_ROLES = {
    "weights": WEIGHTS,
    "exploration": EXPLORATION,
    "replay": REPLAY,
    "policy_noise": POLICY_NOISE,
    "minibatches": MINIBATCHES,
    "method": METHOD,
    "evaluation": EVALUATION,
}


def generator(seed: int, role: int, *extra: int) -> np.random.Generator:
    """Return the generator of one seed and role.

    Args:
        seed: the seed, a non-negative integer; 0 is a seed like any other.
        role: one of the constants of this module.
        *extra: further numbers that set a generator apart (task and step of an evaluation).
    """
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(role, *extra)))


def environment_seed(seed: int, *extra: int, role: int = ENVIRONMENT) -> int:
    """Return the 32-bit number that an environment of this seed is reset with."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(role, *extra))
    return int(sequence.generate_state(1)[0])


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return seeds as plain numbers.

    Raises:
        ValueError: there is none, or one is given twice, negative or no whole number.
    """
    listed = isinstance(seeds, Iterable) and not hasattr(seeds, "tolist")
    numbers = check_value(tuple(seeds) if listed else seeds, Seeds, "seeds")
    if len(set(numbers)) != len(numbers) or min(numbers, default=-1) < 0:
        raise ValueError(f"seeds is {numbers}; allowed are different numbers from 0 on")
    return tuple(numbers)


class Streams:
    """The generators that a learner keeps between draws: one per role and seed.

    Example:
        >>> streams = Streams([0, 1])
        >>> streams.normal(POLICY_NOISE, (4,)).shape
        (2, 4)
    """

    def __init__(self, seeds: Sequence[int]):
        self.seeds = tuple(seeds)
        self._generators = {
            role: [generator(seed, role) for seed in self.seeds]
            for role in _TRAINING_ROLES.values()
        }

    def of(self, role: int) -> list[np.random.Generator]:
        """Return the generators of a role, one per seed."""
        return self._generators[role]

    @contextlib.contextmanager
    def apart(self, role: int, *extra: int) -> Iterator[None]:
        """Draw from generators that `extra` sets apart; afterwards the role's own go on."""
        own = self._generators[role]
        self._generators[role] = [generator(seed, role, *extra) for seed in self.seeds]
        try:
            yield
        finally:
            self._generators[role] = own

    def normal(self, role: int, shape: tuple[int, ...]) -> np.ndarray:
        """Draw standard normal numbers: float32 [S, *shape]."""
        out = np.empty((len(self.seeds), *shape), dtype=np.float32)
        for row, rng in zip(out, self._generators[role], strict=True):
            rng.standard_normal(dtype=np.float32, out=row)
        return out

    def uniform(self, role: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Draw one uniform vector per seed between low and high: float32 [S, *low.shape]."""
        draws = [rng.uniform(low, high) for rng in self._generators[role]]
        return np.stack(draws).astype(np.float32)

    def integers(self, role: int, high: Sequence[int], n: int) -> np.ndarray:
        """Draw n integers per seed, those of seed s below high[s]: int64 [S, n]."""
        out = np.empty((len(self.seeds), n), np.int64)
        for row, rng, bound in zip(out, self._generators[role], high, strict=True):
            row[:] = rng.integers(bound, size=n)
        return out

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """Return the state of every generator, ready for JSON."""
        return {
            name: [dict(rng.bit_generator.state) for rng in self._generators[role]]
            for name, role in _TRAINING_ROLES.items()
        }

    def load_state(self, state: dict[str, list[dict[str, Any]]]) -> None:
        """Set every generator to a state returned by `state`."""
        for name, role in _TRAINING_ROLES.items():
            for rng, saved in zip(self._generators[role], state[name], strict=True):
                rng.bit_generator.state = saved
