"""A classifier for streams of supervised tasks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clrl.agents.classifier.classifier import Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clrl.agents.classifier.classifier import (
        Classifier,  # here: the learners' settings import this package
    )

    return {"Classifier": Classifier}[name]
