"""Meta-World 3's tasks with seeds, horizons and randomisation that mean what they say."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from clrl.envs.interleaved import InterleavedTasks
from clrl.envs.metaworld.simulator import blew_up, fix_reset, freeze_first_goal, make_simulator
from clrl.envs.metaworld.tasks import METAWORLD_TASKS, SEQUENCES
from clrl.envs.sequence import TaskSequence
from clrl.envs.told import Reveals, ScoreName
from clrl.envs.wrappers import EpisodeRecord, rendered

RANDOMIZATIONS = ("random_init_all", "deterministic")
FIXES = ("patched", "upstream")
MAX_HORIZON = 500

# One frame: hand xyz, gripper opening, two objects' xyz and quaternion. An observation is the
# current frame, the one before, and the goal's xyz. Meta-World clips hand and gripper to these.
_LOW_FRAME = [-0.525, 0.348, -0.0525, -1.0] + [-np.inf] * 14
_HIGH_FRAME = [0.525, 1.025, 0.7, 1.0] + [np.inf] * 14
_LOW = np.array(_LOW_FRAME * 2 + [-np.inf] * 3)
_HIGH = np.array(_HIGH_FRAME * 2 + [np.inf] * 3)


class MetaWorld(gym.Env):
    """One Meta-World 3.1.1 task, ending after `horizon` steps.

    Observation, reward and `info` are Meta-World's own, float64, with the goal visible. Rewards are
    its version 2, from 0 to 10 per step; version 1 is not offered, because its numbers are not the
    original ones (stick-pull reads its object's position from the wrong ones) and success changes
    with it. `info` has at every step `success` (0 or 1) and `sim_warning`, and at an episode's end
    `is_success` (any step's success), `success_last` and `episode` (return `r`, length `l`).

    What is always right here and is not in Meta-World (3.1.1, `sawyer_xyz_env.py`):

    * `reset(seed=)` seeds (there it is ignored), the draws come from `np_random` (there from
      NumPy's global generator), and an episode depends on nothing but that generator.
    * The goal stays visible after the first step (there a cached space clips it to 0), and every
      observation lies in `observation_space`.
    * A simulation that blew up (MuJoCo's warning counters; Meta-World goes on as if nothing had
      happened) truncates the episode with `info["sim_warning"]`, reward 0 and the last sound
      observation.

    What `fixes="patched"` changes, and `"upstream"` leaves:

    * window-close, window-open, dial-turn, drawer-open, faucet-open, lever-pull (all -v3): the
      first observation shows the object where it is, not where the previous draw had it (up to
      0.2 m away). In the first three the reward's reaching term is scaled by that place as well.
    * peg-unplug-side-v3: the plug no longer spins after a reset.

    Args:
        task_name: one of `METAWORLD_TASKS`, like "hammer-v3".
        horizon: steps until the episode is truncated, 1 to 500.
        randomization: "random_init_all" draws objects and goal anew at every reset, as in all
            published Continual World results; "deterministic" keeps the first of the 50 goals that
            Meta-World's `MT1(task_name, seed=1)` makes, the same for every instance and seed.
        fixes: "patched" or "upstream"; see above.
        render_mode: as in Meta-World: None, "human", "rgb_array" or "depth_array".

    Raises:
        ValueError: if an argument is not one of those.
    """

    metadata = {"render_modes": ["human", "rgb_array", "depth_array"], "render_fps": 80}

    def __init__(
        self,
        task_name: str,
        horizon: int = 200,
        randomization: str = "random_init_all",
        fixes: str = "patched",
        render_mode: str | None = None,
    ) -> None:
        check_settings(horizon, randomization, fixes, render_mode)
        _check_task(task_name)
        self.task_name = task_name
        self.horizon = int(horizon)
        self.randomization = randomization
        self.fixes = fixes
        self.render_mode = render_mode
        self.observation_space = Box(_LOW, _HIGH, dtype=np.float64)
        self.action_space = Box(-1.0, 1.0, (4,), np.float32)
        self.sim_warnings = 0
        self._record = EpisodeRecord()
        self._simulator: Any = None
        self._running = False

    @property
    def simulator(self) -> Any:
        """Meta-World's environment inside, made when first needed (20 MB; a task's first 0.3 s)."""
        if self._simulator is None:
            self._simulator = make_simulator(self.task_name, self.render_mode)
            if self.randomization == "deterministic":
                freeze_first_goal(self._simulator)
        return self._simulator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: seeds all that follows; 0 is a seed like any other.
            options: ignored.

        Returns:
            the observation `[39]` and an empty info.
        """
        super().reset(seed=seed)
        simulator = self.simulator
        simulator.np_random = self.np_random  # one generator: seeded here, drawn from there
        observation, info = simulator.reset()
        if self.fixes == "patched":
            observation = fix_reset(simulator, self.task_name, observation)
        self._record.start()
        self._running = True
        self._observation = np.clip(observation, _LOW, _HIGH)
        return self._observation.copy(), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step.

        Args:
            action: `[4]`: hand movement xyz and gripper, clipped to [-1, 1].

        Returns:
            observation `[39]`, reward, False, truncated, info.

        Raises:
            RuntimeError: if no episode is running.
        """
        if not self._running:
            raise RuntimeError("no episode is running: call reset() first")
        observation, reward, _, _, info = self.simulator.step(action)
        warning = blew_up(self.simulator)
        if warning:
            self.sim_warnings += 1
            observation, reward, info["success"] = self._observation, 0.0, 0.0
        self._observation = observation
        info["sim_warning"] = warning
        truncated = warning or self._record.steps + 1 >= self.horizon
        self._running = not truncated
        reward = float(reward)
        self._record.add(reward, info, truncated, float(info["success"]))
        return observation.copy(), reward, False, truncated, info

    def render(self) -> Any:
        """Render the scene; see `render_mode`.

        Raises:
            RuntimeError: there is no display, or no graphics library.
        """
        return rendered(self.simulator.render, self.task_name)

    def close(self) -> None:
        """Free the simulator."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
        self._running = False


def continual_world(
    tasks: str | Sequence[str],
    steps_per_task: int | Sequence[int] = 1_000_000,
    interleaved: bool = False,
    reveals: Reveals = "task",
    score: ScoreName = "success",
    score_range: tuple[float, float] | None = None,
    **settings: Any,
) -> TaskSequence:
    """Return a sequence of Meta-World tasks.

    Args:
        tasks: "CW10", "CW20", one task's name, or a list of names.
        steps_per_task: steps spent on each task (the papers: one million).
        interleaved: let the tasks take turns, an episode each (`InterleavedTasks`).
        reveals: what an agent is told, see `TaskSequence`.
        score: what tables read.
        score_range: the scores between which a task is learned.
        settings: of every task, see `MetaWorld`: horizon, randomization, fixes, render_mode.

    Raises:
        ValueError: if a name or a setting is unknown; the message names the closest.
    """
    if isinstance(tasks, str):
        names = SEQUENCES.get(tasks) or (tasks,)
    else:
        names = tuple(tasks)
    if not names:
        raise ValueError("tasks must name at least one task, got none")
    for name in names:
        _check_task(name, sequences=isinstance(tasks, str))
    # One maker per name: both copies of a CW20 task are the same but for the one-hot.
    makers = {name: partial(MetaWorld, name, **settings) for name in names}
    kind = InterleavedTasks if interleaved else TaskSequence
    return kind(
        [makers[name] for name in names],
        steps_per_task,
        names,
        reveals=reveals,
        score=score,
        score_range=score_range,
    )


def check_settings(horizon: int, randomization: str, fixes: str, render_mode: str | None) -> None:
    """Check what a task's name does not decide; raises ValueError, see `MetaWorld`."""
    if isinstance(horizon, bool) or int(horizon) != horizon or not 1 <= horizon <= MAX_HORIZON:
        raise ValueError(f"horizon must be a whole number from 1 to {MAX_HORIZON}, got {horizon!r}")
    render_modes = (None, *MetaWorld.metadata["render_modes"])
    for field, value, allowed in (
        ("randomization", randomization, RANDOMIZATIONS),
        ("fixes", fixes, FIXES),
        ("render_mode", render_mode, render_modes),
    ):
        if value not in allowed:
            raise ValueError(
                f"{field} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
            )


def _check_task(name: str, sequences: bool = False) -> None:
    if name in METAWORLD_TASKS:
        return
    known = (*SEQUENCES, *METAWORLD_TASKS) if sequences else METAWORLD_TASKS
    closest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
    raise ValueError(f"unknown task {name!r}; the closest name is {closest!r}")
