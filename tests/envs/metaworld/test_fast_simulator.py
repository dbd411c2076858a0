"""Our faster Meta-World against Meta-World's own, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from clrl.envs.metaworld import MetaWorld
from clrl.envs.metaworld.simulator import prepare
from clrl.envs.metaworld.tasks import CW10, METAWORLD_TASKS

OTHERS = tuple(name for name in METAWORLD_TASKS if name not in CW10)
Policy = Callable[[np.ndarray], np.ndarray]


def both(task_name: str, policies: list[Policy], steps: int) -> Iterator[tuple[Any, Any]]:
    """Plays one episode per policy in both environments; yields what they return."""
    ours, theirs = MetaWorld(task_name, horizon=500, fixes="upstream"), None
    theirs = prepare(ALL_V3_ENVIRONMENTS[task_name]())
    theirs.seed(11)
    for episode, policy in enumerate(policies):
        mine = ours.reset(seed=None if episode else 11)
        upstream = theirs.reset()
        yield (mine[0], 0.0, {}), (upstream[0], 0.0, {})
        observation = upstream[0]
        for _ in range(steps):
            action = policy(observation)
            a, b = ours.step(action), theirs.step(action)
            observation = b[0]
            yield (a[0], a[1], a[4]), (b[0], b[1], b[4])


def check(task_name: str, policies: list[Policy], steps: int) -> None:
    for (observation, reward, info), (expected, their_reward, their_info) in both(
        task_name, policies, steps
    ):
        assert observation.tobytes() == expected.tobytes()
        assert reward == float(their_reward)
        assert {key: info[key] for key in their_info} == their_info


def random_policy(seed: int) -> Policy:
    generator = np.random.default_rng(seed)
    # Beyond [-1, 1] now and then, where Meta-World clips.
    return lambda _: generator.uniform(-1.2, 1.2, 4).astype(np.float32)


@pytest.mark.parametrize("task_name", CW10)
def test_results_equal_meta_worlds_over_random_and_expert_episodes(
    task_name: str, make_expert: Callable[[str], Policy]
) -> None:
    check(task_name, [make_expert(task_name), random_policy(0)], steps=90)


@pytest.mark.slow
@pytest.mark.parametrize("task_name", METAWORLD_TASKS)
def test_results_equal_meta_worlds_over_long_episodes_of_all_tasks(
    task_name: str, make_expert: Callable[[str], Policy]
) -> None:
    expert = make_expert(task_name)
    policies = [random_policy(0), expert, expert, random_policy(1), expert]
    check(task_name, policies, steps=200)


def test_grasped_objects_are_felt_as_meta_world_feels_them(
    make_expert: Callable[[str], Policy],
) -> None:
    felt = set()
    for ours, theirs in both("shelf-place-v3", [make_expert("shelf-place-v3")], steps=120):
        assert ours[2].get("grasp_success") == theirs[2].get("grasp_success")
        felt.add(theirs[2].get("grasp_success"))
    assert felt == {None, 0.0, 1.0}  # the test saw both answers
