"""Continual-learning methods, one file each."""

from clrl.agents.methods.agem import AGEM
from clrl.agents.methods.base import Method
from clrl.agents.methods.cloning import ClonEx, Cloning
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.methods.l2 import L2
from clrl.agents.methods.mas import MAS
from clrl.agents.methods.multitask import MultiTask, MultiTaskPopArt
from clrl.agents.methods.online_ewc import OnlineEWC
from clrl.agents.methods.packnet import PackNet
from clrl.agents.methods.perfect_memory import PerfectMemory
from clrl.agents.methods.reset import Reset
from clrl.agents.methods.si import SI
from clrl.agents.methods.vcl import VCL

METHODS: dict[str, type[Method]] = {
    "finetuning": Finetuning,
    "l2": L2,
    "ewc": EWC,
    "online-ewc": OnlineEWC,
    "mas": MAS,
    "si": SI,
    "vcl": VCL,
    "packnet": PackNet,
    "agem": AGEM,
    "perfect-memory": PerfectMemory,
    "cloning": Cloning,
    "clonex": ClonEx,
    "reset": Reset,
    "multitask": MultiTask,
    "multitask-popart": MultiTaskPopArt,
}

__all__ = ["METHODS", "Method"]
