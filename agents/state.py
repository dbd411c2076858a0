"""The state of a learner as tensors and JSON: read, set, cut to one seed."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from clrl.agents import memory
from clrl.agents.networks.adam import FlatParameters, SeedAdam
from clrl.agents.randomness import Streams

if TYPE_CHECKING:
    from clrl.agents.methods.base import Method

Self = TypeVar("Self", bound="HasState")
State = dict[str, Any]
"""{"tensors": {name: [S, ...]}, "json": {...}}."""
Shapes = dict[str, dict[str, tuple[int, ...]]]
"""Of the parameters of every part, {part: {name: [S, ...]}}."""


class HasState(ABC):
    """What has parameters in parts, optimizers, streams and a method; and the state of all that.

    Attributes: see `Learner`.
        counters: attributes that are saved as numbers.
        ended: tasks that have ended.
        acts_only: whether all but what acting needs is missing.
    """

    method: Method
    device: torch.device
    streams: Streams
    flats: dict[str, FlatParameters]
    optimizers: dict[str, SeedAdam]
    report: dict[str, Tensor] = {}
    gradient_norms: dict[str, Tensor] = {}
    ended: list[int] = []
    acts_only: bool = False
    counters: ClassVar[tuple[str, ...]] = (
        "num_timesteps", "task", "task_step", "task_open", "ended", "acts_only", "n_updates",
    )  # fmt: skip

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Return the network of every part in `flats`."""

    @property
    def protected_part(self) -> str:
        """Key of `flats` and `optimizers` that holds `network()`."""
        return next(iter(self.optimizers))

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        """Return a copy whose networks are parts of its own flat tensors.

        Torch copies every parameter by itself, and the optimizers would train what no network has.
        """
        twin = memo[id(self)] = object.__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        for part, module in twin.modules().items():
            if part in twin.flats:
                views = twin.flats[part].views(twin.flats[part].flat)
                for name, parameter in module.named_parameters():
                    parameter.data = views[name]
        return twin

    def state_dict(self, copy_data: bool = True) -> State:
        """Return everything but the environments: {"tensors": {name: [S, ...]}, "json": {...}}.

        Tensors are copies; with `copy_data=False` those of the current data are views, for a caller
        who is done with them before the next step (a full buffer takes 337 MB per seed).
        """
        tensors: dict[str, Tensor] = {}
        for part in self.flats:
            tensors |= _prefixed(f"weights.{part}", self._parameters(part))
        for part, optimizer in self.optimizers.items():
            tensors |= _prefixed(f"optimizer.{part}", optimizer.tensors())
        tensors |= _prefixed("method", self.method.state)
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        data = _prefixed("buffer", self.data_state())
        tensors |= {name: t.clone() for name, t in data.items()} if copy_data else data
        numbers = {
            "counters": {name: getattr(self, name) for name in self.counters},
            "optimizers": {part: o.numbers() for part, o in self.optimizers.items()},
            "streams": self.streams.state(),
            "report": {name: values.tolist() for name, values in self.report.items()},
            "gradient_norms": {n: values.tolist() for n, values in self.gradient_norms.items()},
        }
        return {"tensors": tensors, "json": numbers}

    def load_state_dict(self, state: State) -> None:
        """Set everything but the environments."""
        tensors, numbers = state["tensors"], state["json"]
        self.take_shape(_shapes(_below("weights", tensors)))
        for part in self.flats:
            _copy(self._parameters(part), _below(f"weights.{part}", tensors))
        for part, optimizer in self.optimizers.items():
            optimizer.load(_below(f"optimizer.{part}", tensors), numbers["optimizers"][part])
        self._load_method(tensors)
        data = _below("buffer", tensors)
        if data:
            self.load_data_state(data)
        for name, value in (_older(numbers["counters"]) | numbers["counters"]).items():
            setattr(self, name, value)
        self.streams.load_state(numbers["streams"])
        self.report = self._tensors(numbers["report"])
        measured = numbers.get("gradient_norms")
        if measured is None:  # written before they were stored by themselves
            measured = {n: v for n, v in numbers["report"].items() if n.startswith("gradient/")}
        self.gradient_norms = self._tensors(measured)

    def policy_state(self) -> dict[str, Tensor]:
        """Return what acting needs: the parameters of `network()` and the method's state.

        Examples of old tasks are left out: a method trains with them, and they are large.
        """
        tensors = _prefixed("weights", self._parameters(self.protected_part))
        state = self.method.state.items()
        tensors |= _prefixed("method", {n: t for n, t in state if not n.startswith(memory.PREFIX)})
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def load_policy_state(self, tensors: dict[str, Tensor]) -> None:
        """Set what acting needs. The learner cannot train on from it."""
        part, weights = self.protected_part, _below("weights", tensors)
        self.take_shape({part: {name: tuple(tensor.shape) for name, tensor in weights.items()}})
        _copy(self._parameters(part), weights)
        self._load_method(tensors)
        self.acts_only, self.task_open = True, False

    def data_state(self) -> dict[str, Tensor]:
        """Return the store of the current data, {name: [S, ...]}; by default there is none."""
        return {}

    def load_data_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Set the store of the current data."""

    def take_shape(self, shapes: Shapes) -> None:
        """Take the shape of stored networks, before their weights are copied into these.

        A learner's networks have one shape of their own; its method may have changed it.
        """
        self.method.take_shape(shapes)

    def _parameters(self, part: str) -> dict[str, Tensor]:
        return self.flats[part].views(self.flats[part].flat)

    def _tensors(self, values: dict[str, list[float]]) -> dict[str, Tensor]:
        return {name: torch.tensor(v, device=self.device) for name, v in values.items()}

    def _load_method(self, tensors: dict[str, Tensor]) -> None:
        state = _below("method", tensors)
        self.method.load_state({name: t.to(self.device).clone() for name, t in state.items()})


def of_seed(state: State, index: int) -> State:
    """Return the state of a learner of the seed at a position, alone."""
    tensors = {name: tensor[index : index + 1] for name, tensor in state["tensors"].items()}
    numbers = dict(state["json"])
    for key in ("streams", "report", "gradient_norms"):
        numbers[key] = {name: [values[index]] for name, values in numbers[key].items()}
    return {"tensors": tensors, "json": numbers}


def _older(counters: dict[str, Any]) -> dict[str, Any]:
    """Return counters that states of older versions lack, in which tasks came one by one."""
    ended = counters["task"] + (counters["num_timesteps"] > 0 and not counters["task_open"])
    return {"ended": list(range(ended)), "acts_only": False}


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def _shapes(weights: dict[str, Tensor]) -> Shapes:
    shapes: Shapes = {}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        shapes.setdefault(part, {})[name] = tuple(tensor.shape)
    return shapes


def _copy(targets: dict[str, Tensor], sources: dict[str, Tensor]) -> None:
    if targets.keys() != sources.keys():
        different = sorted(targets.keys() ^ sources.keys())
        raise ValueError(f"the stored networks differ from this agent's in {different}")
    for name, target in targets.items():
        if target.shape != sources[name].shape:
            shapes = f"{tuple(sources[name].shape)}; this agent has {tuple(target.shape)}"
            raise ValueError(f"the stored {name} has shape {shapes}")
        target.copy_(sources[name])
