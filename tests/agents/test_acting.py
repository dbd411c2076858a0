"""What agents do with their policies: `predict` is what the evaluator does."""

from typing import Any

import numpy as np
import pytest

from clrl.agents.methods import METHODS
from clrl.agents.methods.base import Method
from tests.agents.telling import Hooks, telling
from tests.agents.tiny import method, ppo, sac

AGENTS: dict[str, Any] = {"sac": sac, "ppo": ppo}
SEEDS, TASKS, ROWS = (4, 2), 3, 4
FEATURES = np.random.default_rng(0).normal(size=(2, ROWS, 3)).astype(np.float32)


def seen_in(task: int | np.ndarray) -> np.ndarray:
    """Return observations [2, 4, 6] in a task, or in tasks [2, 4]."""
    one_hot = np.eye(TASKS, dtype=np.float32)[np.broadcast_to(task, (2, ROWS))]
    return np.concatenate([FEATURES, one_hot], axis=-1)


def trained(kind: str, chosen: Method) -> Any:
    settings = {"n_steps": 10} if kind == "ppo" else {"exploration_steps": 0}
    return AGENTS[kind](None, chosen, SEEDS, TASKS, 20, **settings).learn(55)


@pytest.mark.parametrize(
    "kind, name", [(k, n) for k in AGENTS for n in METHODS if k not in METHODS[n].refusals()]
)
def test_predict_acts_as_the_evaluator_does(kind: str, name: str) -> None:
    agent = trained(kind, method(name))
    expected = []
    for task in range(TASKS):
        with agent.evaluating(task):
            expected.append(agent.act(seen_in(task), True))
        found, _ = agent.predict(seen_in(task).reshape(2 * ROWS, -1), deterministic=True)
        assert np.array_equal(found, expected[task].reshape(2 * ROWS, -1))
    tasks = np.array([[0, 1, 2, 1], [2, 2, 0, 1]])
    mixed, _ = agent.predict(seen_in(tasks).reshape(2 * ROWS, -1), deterministic=True)
    for place, task in np.ndenumerate(tasks):
        np.testing.assert_allclose(
            mixed.reshape(2, ROWS, -1)[place], expected[task][place], rtol=1e-5, atol=1e-6
        )


def test_packnets_old_tasks_are_predicted_with_the_weights_they_own() -> None:
    agent = trained("sac", method("packnet"))
    plain = agent.act(seen_in(0), True)
    found, _ = agent.predict(seen_in(0).reshape(2 * ROWS, -1), deterministic=True)
    assert float(np.abs(found.reshape(plain.shape) - plain).max()) > 1e-3


def test_predicting_leaves_the_weights_as_they_are() -> None:
    agent = trained("sac", method("packnet"))
    before = agent.flats["actor"].flat.clone()
    agent.predict(seen_in(np.array([[0, 1, 2, 1]] * 2)).reshape(2 * ROWS, -1))
    assert bool((agent.flats["actor"].flat == before).all())


def test_the_method_is_asked_once_for_every_task_observed() -> None:
    agent = trained("sac", Hooks())
    calls = agent.method.calls
    for tasks, expected in ((1, [1]), (np.array([[0, 2, 2, 0]] * 2), [0, 2])):
        calls.clear()
        agent.predict(seen_in(tasks).reshape(2 * ROWS, -1), deterministic=True)
        assert calls == [("evaluate", task) for task in expected]
    agent = sac(telling("boundaries"), Hooks(), SEEDS).learn(70)
    agent.method.calls.clear()  # type: ignore[attr-defined]
    agent.predict(FEATURES[:, 0])
    assert agent.method.calls == [("evaluate", 1)]  # type: ignore[attr-defined]


def test_acting_without_noise_draws_it_and_is_never_the_mode_unasked() -> None:
    agent = sac(seeds=SEEDS, n_tasks=TASKS).learn(30)
    obs, before, drawn = seen_in(0), agent.streams.state(), []
    mode = agent.act(obs, True)
    for deterministic in (True, False, np.array([True, False, True, False])):
        drawn.append(agent.streams.state()["evaluation"])
        same = (agent.act(obs, deterministic) == mode).all((0, 2))
        assert same.tolist() == np.broadcast_to(deterministic, ROWS).tolist()
    assert before["evaluation"] == drawn[0] == drawn[1] != drawn[2]  # modes need no draw
    assert agent.streams.state() | {"evaluation": 0} == before | {"evaluation": 0}
