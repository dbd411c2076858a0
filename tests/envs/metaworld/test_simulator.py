"""Meta-World 3.1.1's defects, shown on its own environments, and mended in ours."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from metaworld import MT1
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from clrl.envs.metaworld import MetaWorld
from clrl.envs.metaworld.simulator import STALE_FIRST_OBSERVATION, blew_up, prepare
from clrl.envs.metaworld.tasks import CW10, METAWORLD_TASKS

OTHERS = tuple(name for name in METAWORLD_TASKS if name not in CW10)


def upstream(task_name: str, seed: int = 0) -> Any:
    """Meta-World's own environment, with seeded draws and the goal visible."""
    env = prepare(ALL_V3_ENVIRONMENTS[task_name]())
    env.seed(seed)
    return env


def staleness(env: Any, observation: np.ndarray) -> float:
    """How far objects are from where the first observation shows them, after `mj_forward`."""
    mujoco.mj_forward(env.model, env.data)
    return float(np.abs(env._get_curr_obs_combined_no_goal() - observation[:18])[4:].max())


def test_upstream_window_close_shows_its_handle_where_it_is_not() -> None:
    env = upstream("window-close-v3")
    observation, _ = env.reset()
    assert abs(observation[4] - 0.01) < 0.01
    mujoco.mj_forward(env.model, env.data)
    assert abs(env._get_pos_objects()[0] - 0.21) < 0.01


def test_patched_window_close_shows_its_handle_where_it_is() -> None:
    env = MetaWorld("window-close-v3")
    observation, _ = env.reset(seed=0)
    assert abs(observation[4] - 0.21) < 0.01
    assert np.array_equal(env.simulator.window_handle_pos_init, observation[4:7])
    left = MetaWorld("window-close-v3", fixes="upstream")
    assert left.reset(seed=0)[0].tobytes() == upstream("window-close-v3").reset()[0].tobytes()


def test_upstream_window_close_scales_its_reward_by_the_last_draws_place() -> None:
    env = upstream("window-close-v3")
    env.reset()
    mujoco.mj_forward(env.model, env.data)
    y_now, y_measured = env._get_pos_objects()[1], env.window_handle_pos_init[1]
    assert abs(y_now - y_measured) > 0.01
    assert abs(y_now - env._last_rand_vec[1]) == pytest.approx(
        abs(upstream_handle_offset(env)), abs=1e-9
    )


def upstream_handle_offset(env: Any) -> float:
    """The handle's y relative to the window's body."""
    return float(env._get_pos_objects()[1] - env.model.body("window").pos[1])


@pytest.mark.parametrize(
    "task_name", [*CW10, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_exactly_the_listed_tasks_start_with_a_stale_observation(task_name: str) -> None:
    theirs, ours = upstream(task_name), MetaWorld(task_name)
    stale = max(staleness(theirs, theirs.reset()[0]) for _ in range(3))
    assert (stale > 1e-3) == (task_name in STALE_FIRST_OBSERVATION)
    for episode in range(3):
        observation, _ = ours.reset(seed=episode)
        assert staleness(ours.simulator, observation) < 1e-3


def test_upstream_peg_unplug_side_leaves_the_plug_spinning_and_patched_does_not() -> None:
    theirs, ours = upstream("peg-unplug-side-v3"), MetaWorld("peg-unplug-side-v3")
    left = MetaWorld("peg-unplug-side-v3", fixes="upstream")
    spins = []
    for episode in range(5):
        seed = None if episode else 0
        theirs.reset(), ours.reset(seed=seed), left.reset(seed=seed)
        spins.append(np.abs(theirs.data.qvel[12:15]).max())
        assert not ours.simulator.data.qvel[9:15].any()
        assert left.simulator.data.qvel.tobytes() == theirs.data.qvel.tobytes()
    assert min(spins) > 0.01 and max(spins) > 1  # rad/s


def test_stick_pulls_thermos_rests_after_a_reset_so_nothing_is_patched() -> None:
    env = upstream("stick-pull-v3")
    for _ in range(2):
        start, _ = env.reset()
        for _ in range(100):
            observation, *_ = env.step(np.zeros(4, np.float32))
        assert np.abs(observation[11:14] - start[11:14]).max() < 1e-3


def test_upstream_ignores_the_seed_of_reset_and_draws_from_the_global_generator() -> None:
    env = ALL_V3_ENVIRONMENTS["push-v3"]()
    env._set_task_called, env._freeze_rand_vec = True, False
    np.random.seed(0)  # noqa: NPY002
    first = env.reset(seed=1)[0]
    assert not np.array_equal(env.reset(seed=1)[0], first)
    np.random.seed(0)  # noqa: NPY002
    assert np.array_equal(env.reset(seed=2)[0], first)


def test_upstream_hides_the_goal_from_the_first_step_on() -> None:
    env = ALL_V3_ENVIRONMENTS["push-v3"]()
    env._set_task_called, env._freeze_rand_vec, env.seeded_rand_vec = True, False, True
    env._partially_observable = False
    env.seed(0)
    observation, _ = env.reset()
    assert observation[36:].any()
    assert not env.step(np.zeros(4, np.float32))[0][36:].any()


def test_upstreams_observation_is_outside_its_declared_space() -> None:
    env = ALL_V3_ENVIRONMENTS["push-v3"]()
    env.set_task(MT1("push-v3", seed=1).train_tasks[0])
    assert env.reset()[0] not in env.observation_space


def test_upstream_goes_on_after_a_simulation_blew_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = upstream("push-v3")
    env.reset()
    env.data.qvel[3] = np.nan
    observation, _, terminated, truncated, _ = env.step(np.zeros(4, np.float32))
    assert np.isfinite(observation).all() and not terminated and not truncated
    assert env.data.warning.number.any() and env.data.time < 0.02  # silently back at the start


# The first two draw until the vector fits.
MT1_TASKS = ("push-v3", "shelf-place-v3", "window-close-v3")


@pytest.mark.parametrize(
    "task_name",
    [
        *MT1_TASKS,
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in METAWORLD_TASKS
            if name not in MT1_TASKS
        ),
    ],
)
def test_deterministic_is_the_first_goal_of_meta_worlds_mt1(task_name: str) -> None:
    env: Any = MetaWorld(task_name, randomization="deterministic")
    env.reset(seed=3)
    data: Any = pickle.loads(MT1(task_name, seed=1).train_tasks[0].data)
    assert env.simulator._last_rand_vec.tolist() == data["rand_vec"].tolist()


def test_a_simulation_blew_up_when_mujoco_warned_of_more_than_what_it_cannot_draw() -> None:
    env = MetaWorld("push-v3")
    env.reset(seed=0)
    simulator, kinds = env.simulator, mujoco.mjtWarning
    assert not blew_up(simulator)
    simulator.data.warning[kinds.mjWARN_VGEOMFULL].number = 3
    assert not blew_up(simulator)
    simulator.data.warning[kinds.mjWARN_BADQACC].number = 1
    assert blew_up(simulator)
