"""Proximal policy optimisation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clrl.agents.ppo.ppo import ContinualPPO

__all__ = ["ContinualPPO"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clrl.agents.ppo.ppo import ContinualPPO  # here: the learners' settings import this package

    return {"ContinualPPO": ContinualPPO}[name]
