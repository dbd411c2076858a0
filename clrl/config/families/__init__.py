"""Families of worlds: what the section `sequence` of a configuration may be."""

from clrl.config.families.base import SequenceConfig
from clrl.config.families.metaworld import MetaWorldSequence
from clrl.config.families.own import (
    CustomSequence,
    FunctionSequence,
    GymnasiumSequence,
    OwnWorlds,
)
from clrl.config.families.toy import ToySequence

__all__ = [
    "FAMILIES",
    "CustomSequence",
    "FunctionSequence",
    "GymnasiumSequence",
    "MetaWorldSequence",
    "OwnWorlds",
    "SequenceConfig",
    "ToySequence",
]

FAMILIES: dict[str, type[SequenceConfig]] = {
    "metaworld": MetaWorldSequence,
    "gymnasium": GymnasiumSequence,
    "function": FunctionSequence,
    "custom": CustomSequence,
    "toy": ToySequence,
}
"""Families of worlds by name."""
