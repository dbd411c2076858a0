"""Meta-World's own task classes, made ready: seeded, goal visible, nothing global."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import mujoco
import numpy as np
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from clrl.envs.metaworld.fast_simulator import FastSawyer, fast_class

STALE_FIRST_OBSERVATION = (
    "dial-turn-v3",
    "drawer-open-v3",
    "faucet-open-v3",
    "lever-pull-v3",
    "window-close-v3",
    "window-open-v3",
)
"""Tasks that move a body in `reset_model` and observe it before MuJoCo has."""

_REMEASURED = {
    "dial-turn-v3": ("dial_push_position", (0.05, 0.02, 0.09)),
    "window-close-v3": ("window_handle_pos_init", (0.0, 0.0, 0.0)),
    "window-open-v3": ("window_handle_pos_init", (0.0, 0.0, 0.0)),
}
"""Where the reward's scale is measured from a body not yet moved: attribute, offset to the body."""

Simulator = TypeVar("Simulator", bound=SawyerXYZEnv)

_LOGGER = logging.getLogger(__name__)
_NO_WARNINGS = [0] * int(mujoco.mjtWarning.mjNWARNING)
_TOO_MANY_GEOMS_TO_DRAW = int(mujoco.mjtWarning.mjWARN_VGEOMFULL)


def make_simulator(task_name: str, render_mode: Any = None) -> FastSawyer:
    """Make a task's simulator, drawing from its own `np_random` and showing its goal.

    Source: what `metaworld/env_dict.py::_create_observable_goal_envs` does, plus
    `seeded_rand_vec`, without which the draws come from NumPy's global generator.
    """
    _log_warnings_of_mujoco()
    task_class: Any = fast_class(task_name)
    return prepare(task_class(render_mode=render_mode))


def prepare(simulator: Simulator) -> Simulator:
    """Let a Meta-World environment run without `set_task`, goal visible, seeded draws."""
    simulator._partially_observable = False
    # A cached property: filled with the hidden goal's bounds (0), to which step() clips.
    simulator.__dict__.pop("sawyer_observation_space", None)
    simulator._set_task_called = True
    simulator._freeze_rand_vec = False
    simulator.seeded_rand_vec = True
    return simulator


def freeze_first_goal(simulator: SawyerXYZEnv) -> None:
    """Fix the random vector to the first of the 50 of Meta-World's `MT1(task_name, seed=1)`.

    MT1 draws them from NumPy's global generator seeded with 1, one per reset
    (`metaworld/__init__.py::_make_tasks`); a legacy generator of our own gives the same numbers.
    """
    simulator._np_random = np.random.RandomState(1)  # type: ignore[assignment]
    simulator.reset()
    simulator._freeze_rand_vec = True


def fix_reset(simulator: SawyerXYZEnv, task_name: str, observation: np.ndarray) -> np.ndarray:
    """Mend what `reset` of some tasks leaves wrong, see `MetaWorld`; others pass through.

    Args:
        simulator: the task's simulator, just reset.
        task_name: its name.
        observation: what `reset` returned, `[39]`.

    Returns:
        the first observation `[39]` of the mended episode.
    """
    if task_name == "peg-unplug-side-v3":
        simulator.data.qvel[12:15] = 0  # the plug's spin; reset clears [9:12], its velocity
    elif task_name not in STALE_FIRST_OBSERVATION:
        return observation
    mujoco.mj_forward(simulator.model, simulator.data)
    if task_name in _REMEASURED:
        name, offset = _REMEASURED[task_name]
        setattr(simulator, name, simulator._get_pos_objects() + np.array(offset))
    simulator._prev_obs = simulator._get_curr_obs_combined_no_goal()
    return simulator._get_obs()


def blew_up(simulator: FastSawyer) -> bool:
    """Return whether MuJoCo warned since the last reset: NaN, or contacts beyond its memory."""
    counts = simulator.warning_counts.tolist()
    if counts == _NO_WARNINGS:
        return False
    counts[_TOO_MANY_GEOMS_TO_DRAW] = 0
    return any(counts)


def _log_warnings_of_mujoco() -> None:
    """Send MuJoCo's warnings to Python's log; its default writes MUJOCO_LOG.TXT where we stand."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_log)


def _log(message: Any) -> None:
    _LOGGER.warning("MuJoCo: %s", message)
