"""Meta-World's tasks with the same results in less time.

`fast_class` makes a subclass of a task's class. Its rewards and resets are Meta-World's own code,
bound to the faster small functions of `fast_math`; its base is `FastSawyer`, which replaces what
`metaworld/sawyer_xyz_env.py` does slowly: a contact test that walks all contacts in Python,
look-ups by name, arrays of one element, and a reset that simulates everything twice.
"""

from __future__ import annotations

import copy
import functools
import math
import sys
from types import FunctionType
from typing import Any

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from clrl.envs.metaworld.fast_math import FAST_NAMES, hamacher_product, norm, tolerance

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_POSITIONS = ("xpos", "xquat", "xmat", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat")
"""Derived data that Meta-World's resets read before MuJoCo computes it anew."""
_MINUS_ONE, _ONE = np.full(3, -1, np.float32), np.full(3, 1, np.float32)
_HAND_QUATERNION = np.array([1.0, 0.0, 1.0, 0.0])


@functools.lru_cache(maxsize=10)
def _compiled(path: str) -> mujoco.MjModel:
    """Compile a model once (0.2 s and 20 MB each; ten are CW10's). Never change it: copy it."""
    return mujoco.MjModel.from_xml_path(path)


class _Rows(dict[str, np.ndarray]):
    """Rows of an array of the simulation's data by name: views, so always current."""

    def __init__(self, model: mujoco.MjModel, kind: mujoco.mjtObj, array: np.ndarray) -> None:
        self._model, self._kind, self._array = model, kind, array

    def __missing__(self, name: str) -> np.ndarray:
        row = mujoco.mj_name2id(self._model, self._kind, name)
        if row < 0:
            raise KeyError(f"the model has no {self._kind.name} called {name!r}")
        self[name] = self._array[row]
        return self[name]


class FastSawyer(SawyerXYZEnv):
    """Meta-World's base class with the same results in less time."""

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = copy.copy(_compiled(self.fullpath))
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, self.width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, self.height)
        data = mujoco.MjData(model)
        self._bodies = _Rows(model, mujoco.mjtObj.mjOBJ_BODY, data.xpos)
        self._sites = _Rows(model, mujoco.mjtObj.mjOBJ_SITE, data.site_xpos)
        self._pads = (model.geom("leftpad_geom").id, model.geom("rightpad_geom").id)
        self._mocap_pos, self._mocap_quat = data.mocap_pos[0], data.mocap_quat[0]
        self._ctrl = data.ctrl
        self.warning_counts = data.warning.number
        self._scale = np.full(3, self.action_scale, np.float32)
        self._delta, self._target = np.empty(3, np.float32), np.empty(3)
        self._main_object: int | None = None
        self._discard_simulation = False
        self._hand_reset: tuple[bytes, np.ndarray, list[np.ndarray]] | None = None
        return model, data

    def get_body_com(self, body_name: str) -> np.ndarray:
        """Return a body's position, a view of the simulation's data."""
        return self._bodies[body_name]

    def _get_site_pos(self, site_name: str) -> np.ndarray:
        return self._sites[site_name].copy()

    def get_endeff_pos(self) -> np.ndarray:
        """Return the hand's position, a view of the simulation's data."""
        return self._bodies["hand"]

    @property
    def tcp_center(self) -> np.ndarray:
        """The middle between the two fingers."""
        return (self._sites["rightEndEffector"] + self._sites["leftEndEffector"]) / 2.0

    def touching_object(self, object_geom_id: int) -> bool:
        """Return whether both finger pads press on the geom; see `SawyerXYZEnv.touching_object`."""
        if self.data.ncon < 2:
            return False
        contact = self.data.contact
        pairs = contact.geom.tolist()
        for pad in self._pads:
            touching = [k for k, pair in enumerate(pairs) if pad in pair and object_geom_id in pair]
            if not touching:
                return False
            forces = self.data.efc_force[contact.efc_address[touching]].tolist()
            if not 0 < sum(forces):
                return False
        return True

    def _get_id_main_object(self) -> int:
        if self._main_object is None:
            self._main_object = super()._get_id_main_object()
        return self._main_object

    def _get_curr_obs_combined_no_goal(self) -> np.ndarray:
        fingers = self._bodies["rightclaw"] - self._bodies["leftclaw"]
        frame = np.zeros(18)
        frame[:3] = self._bodies["hand"]
        frame[3] = min(max(math.sqrt(fingers.dot(fingers)) / 0.1, 0.0), 1.0)
        positions, quaternions = self._get_pos_objects(), self._get_quat_objects()
        frame[4:7] = positions[:3]
        frame[7:11] = quaternions[:4]
        if len(positions) > 3:
            frame[11:14] = positions[3:]
            frame[14:18] = quaternions[4:]
        return frame

    def _get_obs(self) -> np.ndarray:
        frame = self._get_curr_obs_combined_no_goal()
        goal = np.zeros(3) if self._partially_observable else self._get_pos_goal()
        observation = np.concatenate((frame, self._prev_obs, goal))
        self._prev_obs = frame
        return observation

    def set_xyz_action(self, action: np.ndarray) -> None:
        """Move the hand's target by the action; see `SawyerXYZEnv.set_xyz_action`.

        A float32 action is scaled in float32, as upstream's product with a Python float is.
        """
        if action.dtype != np.float32:
            super().set_xyz_action(action)
            return
        delta, target = self._delta, self._target
        np.maximum(action, _MINUS_ONE, out=delta)
        np.minimum(delta, _ONE, out=delta)
        np.multiply(delta, self._scale, out=delta)
        np.add(self._mocap_pos, delta, out=target)
        np.maximum(target, self.mocap_low, out=target)
        np.minimum(target, self.mocap_high, out=self._mocap_pos)
        self._mocap_quat[:] = _HAND_QUATERNION

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Take a step; see `SawyerXYZEnv.step`.

        Two things are left out: moving the target's site, which `mj_forward` undoes, and
        `mj_rnePostConstraint`, whose results nobody reads. `mj_forward` itself cannot be left out
        or cut to positions: the next step's solver starts from the accelerations it finds.
        """
        if len(action) != 4:
            raise ValueError(f"an action has 4 numbers, got {len(action)}")
        if self.curr_path_length >= self.max_path_length:
            raise ValueError("the episode is over: call reset() first")
        self.set_xyz_action(action[:3])
        self._ctrl[:] = (action[3], -action[3])
        mujoco.mj_step(self.model, self.data, self.frame_skip)
        self.curr_path_length += 1
        mujoco.mj_forward(self.model, self.data)
        space = self.sawyer_observation_space
        observation = np.minimum(np.maximum(self._get_obs(), space.low), space.high)
        reward, info = self.evaluate_state(observation, action)
        truncated = self.curr_path_length == self.max_path_length
        return observation, reward, False, truncated, info

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset; see `SawyerXYZEnv.reset`.

        It runs `reset_model` twice and MuJoCo's own reset in between: of the first run only the
        random draws and the changes to the model remain, so its simulation is left out.
        """
        self._discard_simulation = True
        return super().reset(seed=seed, options=options)

    def _reset_hand(self, steps: int = 50) -> None:
        if self._discard_simulation:
            self._discard_simulation = False
        elif not self._recall_hand_reset():
            self._mocap_pos[:] = self.hand_init_pos
            self._mocap_quat[:] = _HAND_QUATERNION
            self._ctrl[:] = (-1, 1)
            mujoco.mj_step(self.model, self.data, steps * self.frame_skip)
            self._remember_hand_reset()
        self.init_tcp = self.tcp_center

    def _remember_hand_reset(self) -> None:
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, state, _STATE)
        positions = [getattr(self.data, name).copy() for name in _POSITIONS]
        self._hand_reset = (self.model.body_pos.tobytes(), state, positions)

    def _recall_hand_reset(self) -> bool:
        """Go to the end of the last hand reset if this one starts the same; say whether it did.

        A hand reset starts from MuJoCo's own, so it is a function of the model, of which a task
        changes where bodies are (and sites, which have no physics).
        """
        if self._hand_reset is None or self._hand_reset[0] != self.model.body_pos.tobytes():
            return False
        mujoco.mj_setState(self.model, self.data, self._hand_reset[1], _STATE)
        for name, positions in zip(_POSITIONS, self._hand_reset[2], strict=True):
            getattr(self.data, name)[:] = positions
        return True

    def _gripper_caging_reward(
        self,
        action: np.ndarray,
        obj_pos: np.ndarray,
        obj_radius: float,
        pad_success_thresh: float,
        object_reach_radius: float,
        xz_thresh: float,
        desired_gripper_effort: float = 1.0,
        high_density: bool = False,
        medium_density: bool = False,
    ) -> float:
        """Compute the reward for grasping; see `SawyerXYZEnv._gripper_caging_reward`."""
        if high_density and medium_density:
            raise ValueError("high_density and medium_density cannot both be set")
        start, tcp = self.obj_init_pos, self.tcp_center
        assert start is not None
        y, y_start = obj_pos.item(1), start.item(1)
        bounds = (obj_radius, pad_success_thresh)
        left, right = (
            tolerance(
                abs(pad - y), bounds, abs(abs(pad - y_start) - pad_success_thresh), "long_tail"
            )
            for pad in (self._bodies["leftpad"].item(1), self._bodies["rightpad"].item(1))
        )
        xz_start, xz = start[::2] - self.init_tcp[::2], tcp[::2] - obj_pos[::2]
        margin = math.sqrt(xz_start.dot(xz_start)) - xz_thresh
        near = tolerance(math.sqrt(xz.dot(xz)), (0, xz_thresh), margin, "long_tail")
        caging = hamacher_product(hamacher_product(left, right), near)
        closed = min(max(0, action[-1]), desired_gripper_effort) / desired_gripper_effort
        reward = hamacher_product(caging, closed if caging > 0.97 else 0.0)
        if high_density:
            reward = (reward + caging) / 2
        if medium_density:
            margin = abs(norm(start - self.init_tcp) - object_reach_radius)
            bounds = (0, object_reach_radius)
            reach = tolerance(norm(obj_pos - tcp), bounds, margin, "long_tail")
            reward = (reward + float(reach)) / 2
        return reward


@functools.cache
def fast_class(task_name: str) -> type[FastSawyer]:
    """Make a subclass of a Meta-World task's class with the same results, faster."""
    task_class = ALL_V3_ENVIRONMENTS[task_name]
    fast: type[FastSawyer] = type(task_class.__name__, (task_class, FastSawyer), {})
    names = {**vars(sys.modules[task_class.__module__]), **FAST_NAMES, task_class.__name__: fast}
    for name, member in vars(task_class).items():
        if name == "__init__":
            continue
        if isinstance(member, FunctionType):
            setattr(fast, name, _rebind(member, names))
        elif isinstance(member, staticmethod):
            setattr(fast, name, staticmethod(_rebind(member.__func__, names)))
        elif isinstance(member, property):
            setattr(fast, name, property(_rebind(member.fget, names)))
    return fast


def _rebind(function: Any, names: dict[str, Any]) -> FunctionType:
    """Return the same code with other globals; an `assert_task_is_set` around it is left out."""
    if function.__code__.co_freevars == ("func",):
        function = function.__closure__[0].cell_contents
    rebound = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    rebound.__kwdefaults__ = function.__kwdefaults__
    return rebound
