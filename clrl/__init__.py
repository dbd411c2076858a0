"""Continual reinforcement learning: worlds that change, agents that learn in them."""

from gymnasium.envs.registration import register

# Entry points as strings: importing clrl imports neither torch nor Meta-World.
register("clrl/MetaWorld-v0", entry_point="clrl.envs.metaworld:MetaWorld")
for _name in ("CW10", "CW20"):
    register(
        f"clrl/{_name}-v0",
        entry_point="clrl.envs.metaworld:continual_world",
        kwargs={"tasks": _name},
    )
