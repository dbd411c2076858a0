"""Saving and loading an agent as tensors and JSON: nothing in a file is ever executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv

from clrl.agents.settings.fields import plain_values
from clrl.agents.spaces import TaskSpaces
from clrl.agents.state import of_seed

if TYPE_CHECKING:
    from clrl.agents.agent import Agent
    from clrl.agents.methods.base import Method

A = TypeVar("A", bound="Agent")

FORMAT = "clrl-agent-1"


def take(agent: A, index: int) -> A:
    """Return the agent of the seed at a position, alone."""
    if not 0 <= index < agent.n_seeds:
        raise ValueError(f"index is {index}; allowed are 0 to {agent.n_seeds - 1}")
    alone = type(agent)(
        None,
        agent.method,
        agent.settings,
        seeds=[agent.seeds[index]],
        device=agent.device,
        spaces=agent.spaces,
        parity=agent.parity,
        update=agent.native.asked if agent.native.path == "native" else "torch",
    )
    alone.load_state_dict(of_seed(agent.state_dict(), index))
    return alone


def save(agent: Agent, path: str | Path, exclude: Sequence[str]) -> None:
    """Write an agent to one file; SB3's habit of adding .zip is kept.

    Raises:
        ValueError: `exclude` names something else than the buffer, or `load` could not find the
            class of the method.
    """
    from clrl.agents.methods import saved_name  # methods import the learner, which this serves

    unknown = set(exclude) - {"buffer"}
    if unknown:
        raise ValueError(f"exclude names {sorted(unknown)}; allowed is 'buffer'")
    name = saved_name(type(agent.method))
    state = agent.state_dict()
    if "buffer" in exclude:
        kept = state["tensors"].items()
        state["tensors"] = {name: t for name, t in kept if not name.startswith("buffer.")}
    state["json"]["agent"] = {
        "class": type(agent).__name__,
        "settings": plain_values(asdict(agent.settings)),
        "method": {"name": name, **plain_values(asdict(agent.method))},
        "seeds": list(agent.seeds),
        "parity": agent.parity,
        "update": agent.native.path,
        "n_tasks": agent.spaces.n_tasks,
        "reveals": agent.spaces.reveals,
        "interleaved": agent.spaces.interleaved,
        "observation_space": _box(agent.spaces.observation),
        "action_space": _box(agent.spaces.action),
    }
    payload = {"format": FORMAT, "json": json.dumps(state["json"]), "tensors": state["tensors"]}
    torch.save(payload, _with_suffix(path))


def load(
    cls: type[A], path: str | Path, env: GymEnv | None, device: Any, kwargs: dict[str, Any]
) -> A:
    """Read an agent; see `Agent.load`.

    Raises:
        ValueError: not a file of this format, or written by another class, or of a method that is
            neither registered nor imported nor given as the keyword `method`.
    """
    payload = _read(_with_suffix(path))
    state = {"tensors": payload["tensors"], "json": json.loads(payload["json"])}
    about = state["json"].pop("agent")
    if about["class"] != cls.__name__:
        raise ValueError(f"{path} holds a {about['class']}; load it with that class")
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in about["settings"].items()}
    observation, action = _box_of(about["observation_space"]), _box_of(about["action_space"])
    told = {name: about[name] for name in ("reveals", "interleaved") if name in about}
    spaces = TaskSpaces(observation, action, about["n_tasks"], **told)
    agent = cls(
        env,
        _method(about["method"], kwargs.pop("method", None)),
        cls.settings_class(**settings),
        seeds=about["seeds"],
        device=device,
        spaces=spaces,
        parity=about["parity"],
        **kwargs,
    )
    agent.native.go_on(about.get("update", "torch"), agent)  # what older files began with
    agent.load_state_dict(state)
    if env is not None:
        stored = spaces.taking_turns() if agent.method.interleaved else spaces
        stored.check_same_tasks(agent.spaces)
        agent._last_obs = None  # another environment starts with its own reset
    return agent


def _read(path: Path) -> dict[str, Any]:
    if zipfile.is_zipfile(path) and "data" in zipfile.ZipFile(path).namelist():
        raise ValueError(
            f"{path} was written by Stable-Baselines3, whose format runs code on loading; "
            "train the agent here and use its own save"
        )
    payload = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise ValueError(f"{path} is not an agent of this library ({FORMAT})")
    return payload


def _method(about: dict[str, Any], given: Method | type[Method] | None) -> Method:
    """Return the method of a file; no module is imported for it.

    Args:
        about: its name and fields.
        given: the method or its class, if the reader has it.
    """
    from clrl.agents.methods import saved_class

    name, values = about.pop("name"), about
    if given is None:
        kind = saved_class(name)
    else:
        kind = given if isinstance(given, type) else type(given)
        _check_same(name, kind)
    known = {field.name for field in fields(kind)}
    if other := sorted(values.keys() ^ known):
        raise ValueError(
            f"the stored method {name!r} and {kind.__name__} differ in the fields {other}"
        )
    return kind(**values)


def _check_same(name: str, kind: type[Method]) -> None:
    """Raise ValueError if a stored name is that of another class than the reader's."""
    from clrl.agents.methods import METHODS

    if name in METHODS and METHODS[name] is not kind:
        raise ValueError(f"the stored method is {name!r}, and {kind.__name__} is another one")


def _with_suffix(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix else path.with_suffix(".zip")


def _box(space: gym.spaces.Box) -> dict[str, Any]:
    return {"low": space.low.tolist(), "high": space.high.tolist(), "dtype": str(space.dtype)}


def _box_of(box: dict[str, Any]) -> gym.spaces.Box:
    dtype = np.dtype(box["dtype"]).type
    return gym.spaces.Box(np.array(box["low"], dtype), np.array(box["high"], dtype), dtype=dtype)
