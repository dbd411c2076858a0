"""Our faster Meta-World against Meta-World's own, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.utils import reward_utils
from scipy.spatial.transform import Rotation

from clrl.envs.metaworld import MetaWorld, fast_math
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


def test_quaternions_are_scipys() -> None:
    generator = np.random.default_rng(0)
    for k in range(2_000):
        q = generator.normal(size=4) if k % 2 else generator.integers(-1, 2, 4).astype(float)
        if k % 5 == 0:  # nearly upright, where MuJoCo's objects lie
            q = np.array([0, 0, 0, 1.0]) + q * 10.0 ** generator.integers(-18, 0)
        if not q.any():
            continue
        matrix = Rotation.from_quat(q).as_matrix()
        ours = fast_math.FastRotation.from_matrix(matrix).as_quat()
        assert ours.tobytes() == Rotation.from_matrix(matrix).as_quat().tobytes()


def test_a_matrix_that_is_no_rotation_is_left_to_scipy() -> None:
    with pytest.raises(ValueError, match="determinant"):
        fast_math.FastRotation.from_matrix(np.zeros((3, 3)))


@pytest.mark.parametrize("sigmoid", ["long_tail", "gaussian", "cosine"])
def test_tolerances_are_meta_worlds_in_value_and_type(sigmoid: Any) -> None:
    generator = np.random.default_rng(0)
    for k in range(2_000):
        x = generator.uniform(-1, 2) if k % 3 else np.float64(generator.uniform(0, 0.1))
        margin = generator.uniform(0, 2) if k % 7 else 0.0
        arguments = (x, (0, 0.05), margin, sigmoid)
        ours, theirs = fast_math.tolerance(*arguments), reward_utils.tolerance(*arguments)
        assert ours == theirs and type(ours) is type(theirs)
    with pytest.raises(ValueError, match="margin"):
        fast_math.tolerance(0.1, (0, 0.05), -1.0, sigmoid)


def test_hamacher_products_and_norms_are_the_originals_in_value_and_type() -> None:
    generator = np.random.default_rng(0)
    for _ in range(500):
        a, b = generator.uniform(size=2)
        for pair in ((a, b), (float(a), np.float32(b)), (0.0, 0.0), (1.0, b)):
            ours, theirs = fast_math.hamacher_product(*pair), reward_utils.hamacher_product(*pair)
            assert ours == theirs and type(ours) is type(theirs)
        vector = generator.normal(size=3)
        assert fast_math.norm(vector) == np.linalg.norm(vector)
        assert type(fast_math.norm(vector)) is np.float64
    matrix = generator.normal(size=(3, 3))
    assert fast_math.norm(matrix, axis=1).tolist() == np.linalg.norm(matrix, axis=1).tolist()
    assert fast_math.hstack((matrix, matrix)).shape == (3, 6)
    with pytest.raises(ValueError, match="from 0 to 1"):
        fast_math.hamacher_product(1.5, 0.5)
