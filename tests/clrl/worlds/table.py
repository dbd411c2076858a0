"""The table of strange worlds, and those that are tried whenever the tests run."""

from __future__ import annotations

from tests.clrl.worlds import (  # noqa: F401  # each enters its worlds
    ends,
    generators,
    global_draws,
    infos,
    makers,
    observations,
    rewards,
    spaces,
    wrappers,
)
from tests.clrl.worlds.point import WORLDS as WORLDS
