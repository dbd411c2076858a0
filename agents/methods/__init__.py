"""Continual-learning methods, one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

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
from clrl.agents.methods.registry import (
    Methods,
    check_findable,
    import_class,
    imported_class,
    unknown_method,
)
from clrl.agents.methods.reset import Reset
from clrl.agents.methods.si import SI
from clrl.agents.methods.vcl import VCL

METHODS = Methods({
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
})  # fmt: skip

C = TypeVar("C", bound=type[Method])


def register_method(name: str, cls: Any = None) -> Callable[[C], C]:
    """Give a user's own method a name, which commands, runs and saved agents know it by.

    Args:
        name: small letters and digits, with hyphens between them.
        cls: the class; without it what is returned decorates the class.

    Raises:
        ValueError: another method has this name, the class has another one, or it is no method.
    """

    def register(given: C) -> C:
        METHODS.add(name, given)
        return given

    if cls is not None:
        register(cls)
    return register


def method_class(name: str) -> type[Method]:
    """Return a method's class.

    Args:
        name: a key of METHODS, or "package.module:Class", which is imported.

    Raises:
        ValueError: there is none, with the closest name.
    """
    if ":" in name:
        return import_class(name)
    if name not in METHODS:
        raise ValueError(unknown_method(name, METHODS))
    return METHODS[name]


def method_name(cls: type[Method]) -> str:
    """Return the name by which `method_class` finds a class."""
    return METHODS.name_of(cls) or f"{cls.__module__}:{cls.__qualname__}"


def saved_name(cls: type[Method]) -> str:
    """Return the name that a file has of a method.

    Raises:
        ValueError: no other program could find the class.
    """
    name = method_name(cls)
    if ":" in name:
        check_findable(cls)
    return name


def saved_class(name: str) -> type[Method]:
    """Return the class that a file names; nothing is imported for it.

    Raises:
        ValueError: it is neither registered nor imported.
    """
    for kind in METHODS.values():
        if kind.__name__ == name:  # as in files of earlier versions
            return kind
    return imported_class(name) if ":" in name else method_class(name)


__all__ = ["METHODS", "Method", "method_class", "method_name", "register_method"]
