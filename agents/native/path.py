"""Which code takes a learner's gradients: compiled, or torch with autograd; and why."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

from clrl.agents.native.library import NotCompiled, Unavailable, library, origin
from clrl.agents.networks.layers import is_exact
from clrl.agents.settings.fields import check_value

if TYPE_CHECKING:
    from clrl.agents.learner import Learner

Update = Literal["auto", "native", "torch"]
VARIABLE = "CLRL_UPDATE"
"""The environment variable that says what "auto" is."""


class SlowUpdate(UserWarning):
    """Torch computes what compiled code would compute faster, if there were a C compiler."""


class Engine(Protocol):
    """Compiled losses and gradients of one learner."""

    def __init__(self, learner: Any) -> None: ...

    @staticmethod
    def refusal(learner: Any) -> str | None:
        """Return why it cannot stand in for the learner's own losses, None if it can."""

    def unchanged(self) -> bool:
        """Return whether networks and parameters are still those that it was made for."""

    def reads(self, batch: Any) -> bool:
        """Return whether it can compute a batch."""

    def gradients_of(
        self,
        learner: Any,
        batch: Any,
        into: Mapping[str, Tensor] | None,
        hidden: dict[str, list[Tensor]] | None,
    ) -> dict[str, Tensor]:
        """See `Learner.gradients_of`."""


class UpdatePath:
    """The choice of a learner, made once, and the engine that follows from it.

    Engines hold addresses: one is made anew when networks or parameters are others than before,
    and a copy of a learner makes its own.

    Args:
        asked: "native" or "torch"; "auto" is native where it can be, or what CLRL_UPDATE says.
        kind: the learner's engine; None has none.
        learner: with its networks and optimizers.

    Attributes:
        path: "native" or "torch".
        reason: why, in a few words.

    Raises:
        ValueError: native is asked for, and cannot be; or `asked` is something else.
    """

    def __init__(self, asked: Update, kind: type[Engine] | None, learner: Learner):
        self.asked, who = wanted(asked)
        self._kind = kind
        self._engine: Engine | None = None
        self._warned = set[str]()
        by_name = "it is asked for" if who == "update" else f"{who} asks for it"
        refusal = by_name if self.asked == "torch" else self._refusal(learner)
        if self.asked == "native":
            check_native(who, refusal)
        self._choose(refusal)
        if self.asked == "auto" and refusal is not None and refusal == _uncompiled():
            text = f"torch computes the updates, slower than compiled code: {refusal}"
            warnings.warn(text, SlowUpdate, stacklevel=3)

    def go_on(self, begun: str, learner: Learner) -> None:
        """Take the path that a run began with, unless one was asked for, if that can be."""
        if self.asked == "auto" and begun != self.path:
            refusal = "what goes on began so" if begun == "torch" else self._refusal(learner)
            self._choose(refusal)

    def _choose(self, refusal: str | None) -> None:
        self.path = "native" if refusal is None else "torch"
        self.reason = origin() if refusal is None else refusal

    def _refusal(self, learner: Learner) -> str | None:
        """Return why compiled code cannot compute this learner's updates, None if it can."""
        if self._kind is None:
            return autograd_only(learner.name)
        if learner.device.type != "cpu":
            return f"the device is {learner.device}"
        return self._kind.refusal(learner) or unavailable()

    def engine(self, learner: Learner, batch: Any = None) -> Any:
        """Return the engine; None where torch computes.

        By choice, under `exact_linear`, or because networks or a batch are not what compiled code
        can do, which is warned of once.
        """
        if self.path == "torch" or is_exact():
            return None
        assert self._kind is not None
        if self._engine is None or not self._engine.unchanged():
            refusal, self._engine = self._kind.refusal(learner), None
            if refusal is not None:
                self._warn(refusal)
                return None
            self._engine = self._kind(learner)
        if batch is not None and not self._engine.reads(batch):
            self._warn("a batch has more rows, or other shapes, types or tasks than it can read")
            return None
        return self._engine

    def _warn(self, refusal: str) -> None:
        """Say once that torch computes."""
        if refusal not in self._warned:
            self._warned.add(refusal)
            warnings.warn(f"this update is computed by torch: {refusal}", stacklevel=4)

    def __reduce__(self) -> Any:
        state = vars(self) | {"_engine": None, "_warned": set()}
        return _copy, (state,)


def _copy(state: dict[str, Any]) -> UpdatePath:
    copy = UpdatePath.__new__(UpdatePath)
    vars(copy).update(state)
    return copy


def autograd_only(name: str) -> str:
    """Return why a learner without an engine is torch's."""
    return f"the learner {name} has autograd only"


def check_native(who: str, refusal: str | None) -> None:
    """Raise ValueError if native is asked for, by an argument or variable, and cannot be."""
    if refusal is not None:
        raise ValueError(f"{who} is native, but {refusal}; give {who} auto or torch")


def wanted(asked: Update) -> tuple[Update, str]:
    """Return what is asked for, or what CLRL_UPDATE says if that is "auto"; and which of them.

    Raises:
        ValueError: either is something else than auto, native and torch.
    """
    asked = check_value(asked, Update, "update")
    named: Update = os.environ.get(VARIABLE) or "auto"  # type: ignore[assignment]
    if asked != "auto" or named == "auto":
        return asked, "update"
    return check_value(named, Update, VARIABLE), VARIABLE


def unavailable() -> str | None:
    """Return why nothing compiled can run in this process, None if it can."""
    try:
        library()
    except Unavailable as error:
        return str(error)
    return None


def _uncompiled() -> str | None:
    """Return why not, where a C compiler is all that is missing."""
    try:
        library()
    except NotCompiled as error:
        return str(error)
    except Unavailable:
        pass
    return None
