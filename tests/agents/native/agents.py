"""The agent that tests of an engine's watchfulness do things to."""

from typing import Any

from clrl.agents.sac import ContinualSAC
from tests.agents.paths import found, random_batch
from tests.agents.test_growth import Growing
from tests.agents.tiny import randomise, sac


def with_engine(**settings: Any) -> ContinualSAC:
    """Return an agent whose engine has been used."""
    agent = sac(method=Growing(), seeds=(0, 1), n_tasks=3, update="native", **settings)
    randomise(agent, 0.1)
    found(agent, random_batch(agent, 16))
    assert agent.native.engine(agent) is not None
    return agent
