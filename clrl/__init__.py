"""Continual reinforcement learning: worlds that change, agents that learn in them.

The names below, and the classes of all built-in methods (`from clrl import EWC`), are imported when
they are first asked for: `import clrl` alone imports neither torch nor Meta-World.
"""

import importlib
from typing import Any

from gymnasium.envs.registration import register

_PUBLIC = {
    "Classifier": "clrl.agents.classifier.classifier",
    "ContinualPPO": "clrl.agents.ppo.ppo",
    "ContinualSAC": "clrl.agents.sac.sac",
    "Evaluation": "clrl.config.evaluation",
    "InterleavedTasks": "clrl.envs.interleaved",
    "METHODS": "clrl.agents.methods",
    "Method": "clrl.agents.methods",
    "Schedule": "clrl.envs.schedule",
    "SeedVecEnv": "clrl.envs.vector",
    "TaskSequence": "clrl.envs.sequence",
    "ToyStream": "clrl.envs.streams",
    "continual_world": "clrl.envs.metaworld.world",
    "load_policy": "clrl.run.builder",
    "plot": "clrl.show.plots",
    "register_method": "clrl.agents.methods",
    "register_world": "clrl.config.worlds",
    "table": "clrl.results.tables",
    "train": "clrl.run.protocol",
}
"""Public names, and where they are; the classes of methods are in `clrl.agents.methods`."""

# Entry points as strings, for the same reason.
register("clrl/MetaWorld-v0", entry_point="clrl.envs.metaworld.world:MetaWorld")
for _name in ("CW10", "CW20"):
    register(
        f"clrl/{_name}-v0",
        entry_point="clrl.envs.metaworld.world:continual_world",
        kwargs={"tasks": _name},
    )


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("clrl")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name[:1].isupper():
        methods = importlib.import_module("clrl.agents.methods")
        if isinstance(found := getattr(methods, name, None), type):
            return found
    raise AttributeError(f"module 'clrl' has no attribute {name!r}")


def __dir__() -> list[str]:
    methods = importlib.import_module("clrl.agents.methods").METHODS.values()
    return sorted({*globals(), *_PUBLIC, *(kind.__name__ for kind in methods), "__version__"})
