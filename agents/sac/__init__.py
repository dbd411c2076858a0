"""Soft actor-critic."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clrl.agents.sac.sac import ContinualSAC

__all__ = ["ContinualSAC"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clrl.agents.sac.sac import ContinualSAC  # here: the learners' settings import this package

    return {"ContinualSAC": ContinualSAC}[name]
