"""Meta-World 3's tasks, and sequences of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clrl.envs.metaworld.world import MetaWorld, continual_world

__all__ = ["MetaWorld", "continual_world"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clrl.envs.metaworld.world import (  # here: the names of tasks need no Meta-World
        MetaWorld,
        continual_world,
    )

    return {"MetaWorld": MetaWorld, "continual_world": continual_world}[name]
