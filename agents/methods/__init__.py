"""Continual-learning methods, one file each."""

from clrl.agents.methods.base import Method
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.packnet import PackNet

METHODS: dict[str, type[Method]] = {
    "finetuning": Finetuning,
    "l2": L2,
    "ewc": EWC,
    "packnet": PackNet,
}

__all__ = ["METHODS", "Method"]
