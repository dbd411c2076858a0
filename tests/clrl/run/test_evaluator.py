"""Evaluation counts what happened, and is a pure function of weights, task, step and seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import metaworld.policies
import numpy as np
import pytest

from clrl.agents.methods.vcl import VCL
from clrl.agents.sac import ContinualSAC
from clrl.config import evaluation
from clrl.config.evaluation import Evaluation
from clrl.envs.metaworld import continual_world
from clrl.envs.sequence import TaskSequence
from clrl.run.evaluator import Episode, evaluate, mean_or_null
from clrl.run.simulators import Simulators
from tests.agents import tiny
from tests.clrl.scripted import Line, Rewarded, Scripted, lines, noisy, simulators_of, up


def up_and_down(seed: int, obs: np.ndarray, noise: Any) -> float:
    return 1.0 if obs[1] < 2 else -1.0


def test_rows_come_by_task_then_seed_then_mode_with_exact_numbers() -> None:
    how = Evaluation(stochastic_episodes=3, deterministic_episodes=1)
    policy = Scripted(lambda seed, obs, noise: 0.6 if seed == 4 else -0.6, seeds=(4, 9))
    rows = evaluate(policy, simulators_of(lines()), [0, 1], 40, how)
    assert rows == [
        {"step": 40, "task": task, "task_name": f"task-{task}", "seed": seed, "mode": mode,
         "episodes": episodes, "success": success, "success_last": success, "return": 5.0}
        for task in (0, 1)
        for seed, success in ((4, 1.0), (9, 0.0))
        for mode, episodes in (("stochastic", 3), ("deterministic", 1))
    ]  # fmt: skip
    assert policy.tasks == [0, 1]


def test_success_at_any_step_and_at_the_last_step_are_told_apart() -> None:
    how = Evaluation(stochastic_episodes=2, deterministic_episodes=0)
    (row,) = evaluate(Scripted(up_and_down), simulators_of(lines(1)), [0], 10, how)
    assert (row["success"], row["success_last"], row["return"]) == (1.0, 0.0, 5.0)


def test_stopping_at_success_keeps_the_success_and_records_no_return() -> None:
    how = Evaluation(stochastic_episodes=2, deterministic_episodes=1, stop_at_success=True)
    policy = Scripted(up_and_down)
    rows = evaluate(policy, simulators_of(lines(1)), [0], 10, how)
    assert [(r["success"], r["success_last"], r["return"]) for r in rows] == [(1.0, None, None)] * 2
    assert len(policy.calls) == 2  # every start is above -1, so two steps up are enough


def test_deterministic_episodes_have_no_noise_and_stochastic_ones_have_fresh_noise() -> None:
    how = Evaluation(stochastic_episodes=2, deterministic_episodes=1)
    policy = Scripted(noisy, seeds=(0, 1))
    evaluate(policy, simulators_of(lines(1)), [0], 10, how)
    noise = np.stack([call[2] for call in policy.calls])  # [T, S, K, A]
    assert (noise[:, :, 2] == 0).all()
    assert len(np.unique(noise[:, :, :2])) == noise[:, :, :2].size


def test_tasks_never_share_a_policy_call_and_see_their_own_one_hot() -> None:
    policy = Scripted(noisy)
    evaluate(policy, simulators_of(lines(3, names=("a", "b", "a"))), [0, 1, 2], 10, Evaluation())
    hots = [np.unique(call[1][..., 2:].reshape(-1, 3), axis=0) for call in policy.calls]
    assert all(len(hot) == 1 for hot in hots)
    assert [int(hot.argmax()) for hot in hots] == [0] * 5 + [1] * 5 + [2] * 5


def test_an_evaluation_done_again_gives_the_same_rows_from_used_or_fresh_simulators() -> None:
    how = Evaluation(stochastic_episodes=3)
    used = simulators_of(lines())
    first = evaluate(Scripted(noisy), used, [0, 1], 40, how)
    assert evaluate(Scripted(noisy), used, [0, 1], 40, how) == first
    assert evaluate(Scripted(noisy), simulators_of(lines()), [1], 40, how) == first[2:]


def starts(policy: Scripted) -> list[float]:
    """Where the episodes of the first call began."""
    return policy.calls[0][1][:, :, 0].ravel().tolist()


def test_every_seed_step_task_and_episode_starts_elsewhere() -> None:
    places: list[float] = []
    for step in (10, 20):
        for task in (0, 1):
            policy = Scripted(noisy, seeds=(0, 1))
            evaluate(policy, simulators_of(lines()), [task], step, Evaluation(1, 11, 0))
            places += starts(policy)
    assert len(set(places)) == len(places) == 2 * 2 * 2 * 11


def test_deterministic_episodes_start_from_the_same_states_at_every_evaluation() -> None:
    places = []
    for step in (10, 20):
        policy = Scripted(noisy, seeds=(0, 1))
        evaluate(policy, simulators_of(lines()), [0], step, Evaluation(1, 0, 5))
        places.append(starts(policy))
    assert places[0] == places[1]
    assert len(set(places[0])) == 2 * 5


def test_more_episodes_leave_the_first_ones_as_they_were() -> None:
    few, many = Scripted(noisy), Scripted(noisy)
    evaluate(few, simulators_of(lines(1)), [0], 10, Evaluation(1, 3, 0))
    evaluate(many, simulators_of(lines(1)), [0], 10, Evaluation(1, 6, 2))
    assert starts(many)[:3] == starts(few)


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 20])
@pytest.mark.parametrize("episodes", [1, 11, 24, 25, 60])
def test_at_most_24_simulators_live_and_a_call_has_as_many_rows_for_any_number_of_seeds(
    n_seeds: int, episodes: int
) -> None:
    before = Line.alive
    sequence = lines(1, horizon=2)
    own = Line.alive - before
    worlds = simulators_of(sequence)
    policy = Scripted(up, seeds=range(n_seeds))
    rows = evaluate(policy, worlds, [0], 10, Evaluation(1, episodes, 0))
    assert [row["episodes"] for row in rows] == [episodes] * n_seeds
    assert Line.alive - before - own <= 24
    expected = {1: 1, 11: 11, 24: 24, 25: 13, 60: 20}[episodes]
    assert {call[0][:2] for call in policy.calls} == {(n_seeds, expected)}
    worlds.close()
    assert Line.alive - before == own


@pytest.mark.parametrize("episodes", [3, 30])
def test_a_seeds_rows_do_not_depend_on_the_seeds_beside_it(episodes: int) -> None:
    how = Evaluation(1, episodes, 1)
    alone = evaluate(Scripted(noisy, seeds=(5,)), simulators_of(lines()), [0, 1], 10, how)
    beside = evaluate(Scripted(noisy, seeds=(3, 5, 8)), simulators_of(lines()), [0, 1], 10, how)
    assert [row for row in beside if row["seed"] == 5] == alone


def test_what_a_policy_draws_is_set_apart_for_every_task_step_and_batch_of_a_seed() -> None:
    policy = Scripted(up, seeds=(0, 1))
    for step in (10, 20):
        evaluate(policy, simulators_of(lines()), [0, 1], step, Evaluation(1, 60, 0))
    assert len(set(policy.keys)) == len(policy.keys) / 2 == 2 * 2 * 3  # the same for both seeds


@pytest.mark.parametrize("parity", ["clean", "original"])
def test_weights_drawn_at_every_step_leave_evaluation_a_function_of_seed_task_and_step(
    parity: Literal["clean", "original"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "SIMULATORS", 4)  # two batches for each seed
    how, worlds = Evaluation(1, 4, 2), simulators_of(tiny.sequence())
    three, alone = (
        ContinualSAC(
            tiny.vec(len(seeds)), VCL(), seeds=seeds, parity=parity, device="cpu",
            hidden_sizes=(32, 32),
        )
        for seeds in ((3, 5, 8), (5,))
    )  # fmt: skip
    streams = three.streams.state()
    rows = evaluate(three, worlds, [0, 1], 40, how)
    three.predict(np.array([[0, 0, 0, 1, 0]] * 3, np.float32))
    assert evaluate(three, worlds, [1], 40, how) == [row for row in rows if row["task"] == 1]
    assert evaluate(alone, worlds, [0, 1], 40, how) == [row for row in rows if row["seed"] == 5]
    later = evaluate(three, worlds, [0, 1], 50, how)
    for before, after in zip(rows, later, strict=True):
        means = parity == "clean" and before["mode"] == "deterministic"
        assert (before["return"] == after["return"]) == means
    changed = {role for role, state in three.streams.state().items() if state != streams[role]}
    assert changed == {"evaluation"}  # by `predict`


def expert(names: Sequence[str], seeds: Sequence[int] = (0,)) -> Scripted:
    """Meta-World's scripted experts; the task is read from the one-hot."""
    kinds: dict[str, Any] = metaworld.policies.ENV_POLICY_MAP
    experts = [kinds[name]() for name in names]

    def act(seed: int, obs: np.ndarray, noise: Any) -> np.ndarray:
        task = int(obs[39:].argmax()) if len(names) > 1 else 0
        return np.clip(experts[task].get_action(obs[:39].astype(np.float64)), -1, 1)

    return Scripted(act, seeds, action_dim=4)


@pytest.mark.filterwarnings("ignore:Constant")
def test_scripted_experts_score_what_is_known_of_them() -> None:
    names = ("hammer-v3", "window-close-v3")
    how = Evaluation(1, stochastic_episodes=4, deterministic_episodes=1)
    worlds = simulators_of(continual_world(names, 1000))
    rows = evaluate(expert(names), worlds, [0, 1], 10, how)
    assert [row["success"] for row in rows] == [1.0] * 4
    assert evaluate(expert(names), worlds, [0, 1], 10, how) == rows
    worlds.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Constant")
def test_thirty_episodes_of_each_expert_score_what_is_known_of_them() -> None:
    known = {"hammer-v3": 1.0, "push-wall-v3": 1.0, "faucet-close-v3": 1.0, "stick-pull-v3": 0.9,
             "handle-press-side-v3": 1.0, "push-v3": 1.0, "window-close-v3": 1.0,
             "shelf-place-v3": 0.97, "peg-unplug-side-v3": 0.97, "push-back-v3": 0.63}  # fmt: skip
    sequence = continual_world(tuple(known), 1000)
    rows = evaluate(
        expert(tuple(known)), simulators_of(sequence), range(10), 10,
        Evaluation(1, stochastic_episodes=30, deterministic_episodes=0, stop_at_success=True),
    )  # fmt: skip
    for row, rate in zip(rows, known.values(), strict=True):
        assert row["success"] == pytest.approx(rate, abs=0.15 if rate < 0.95 else 0.07), row


def test_every_seed_is_evaluated_in_its_own_worlds() -> None:
    worlds = [TaskSequence([partial(Rewarded, reward)] * 2, 100) for reward in (1.0, 100.0)]
    rows = evaluate(Scripted(up, seeds=(0, 1)), Simulators(worlds), [0, 1], 10, Evaluation(1, 2, 0))
    found = [(row["task"], row["seed"], row["return"], row["success"]) for row in rows]
    assert found == [(0, 0, 5.0, None), (0, 1, 500.0, 1.0), (1, 0, 5.0, None), (1, 1, 500.0, 1.0)]


def test_what_a_seed_records_in_its_own_worlds_is_what_it_records_alone() -> None:
    def worlds(seed: int) -> TaskSequence:
        return TaskSequence([partial(Line, 3 + seed), partial(Line, 6 - seed)], 100)

    how, seeds = Evaluation(1, 30, 1), (0, 1, 2)
    together = Simulators([worlds(seed) for seed in seeds])
    rows = evaluate(Scripted(noisy, seeds=seeds), together, [0, 1], 10, how)
    for seed in seeds:
        own = evaluate(Scripted(noisy, seeds=(seed,)), Simulators([worlds(seed)]), [0, 1], 10, how)
        assert [row for row in rows if row["seed"] == seed] == own
    assert len({row["return"] for row in rows if row["task"] == 0}) == 3


def test_episodes_that_no_run_plays_start_elsewhere() -> None:
    places = []
    for unseen in (False, True):
        policy = Scripted(up)
        evaluate(policy, simulators_of(lines()), [0], 0, Evaluation(1, 0, 4), unseen)
        places.append(starts(policy))
    assert len(set(places[0]) | set(places[1])) == 8


NAN, INF = float("nan"), float("inf")


def played(*steps: tuple[float, dict[str, Any]]) -> Episode:
    """An episode of these rewards and infos."""
    episode = Episode(0, "stochastic", np.random.default_rng(0))
    for number, (reward, info) in enumerate(steps, start=1):
        episode.count(reward, info, number == len(steps), stop=False)
    return episode


@pytest.mark.parametrize(
    ("reported", "success", "last"),
    [
        ([None, None], None, None),
        ([0, 1, 0], 1.0, 0.0),
        ([1, None], 1.0, 0.0),
        ([None, 1], 1.0, 1.0),
        ([0.0, 0.4], 1.0, 1.0),
        ([True, False], 1.0, 0.0),
        ([np.float32(0), np.array([1.0])], 1.0, 1.0),
        ([NAN, 0], NAN, 0.0),
        ([0, NAN], NAN, NAN),
        ([NAN, 1], 1.0, 1.0),
        ([1, NAN], 1.0, NAN),
        ([-1, -1], NAN, NAN),
        ([2, 0], NAN, 0.0),
        ([INF, 0], NAN, 0.0),
        (["yes", 0], NAN, 0.0),
        ([np.array([1, 0]), 0], NAN, 0.0),
        ([{}, 0], NAN, 0.0),
    ],
)
def test_a_success_is_a_rate_or_unknown(reported: list[Any], success: Any, last: Any) -> None:
    steps = [(1.0, {} if value is None else {"success": value}) for value in reported]
    episode = played(*steps)
    for found, expected in ((episode.success, success), (episode.success_last, last)):
        assert found == expected or (expected != expected and found is not None and found != found)


@pytest.mark.parametrize("blown", [NAN, INF, -INF, 1e300, 7.0])
def test_a_step_whose_simulation_blew_up_pays_nothing(blown: float) -> None:
    episode = played((1.0, {}), (blown, {"sim_warning": True}), (2.0, {"sim_warning": False}))
    assert episode.total == 3.0


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([], None),
        ([None, None], None),
        ([1.0, 0.0], 0.5),
        ([1.0, None], 0.5),
        ([None, NAN], None),
        ([1.0, NAN], None),
        ([INF, 1.0], None),
        ([INF, -INF], None),
        ([1e308, 1e308, 1e308], None),
    ],
)
def test_a_mean_is_of_all_episodes_or_null(values: list[float | None], mean: float | None) -> None:
    assert mean_or_null(values) == mean


class Broken(Line):
    """A line whose rewards are not finite from its third step on."""

    def __init__(self, reward: float) -> None:
        super().__init__()
        self.reward = reward

    def step(self, action: np.ndarray) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, self.reward if self.steps > 2 else reward, terminated, truncated, info


@pytest.mark.parametrize("reward", [NAN, INF, -INF])
def test_a_return_that_is_not_finite_is_null_and_the_success_stays(reward: float) -> None:
    worlds = TaskSequence([lambda: Broken(reward), Line], 10, ("broken", "sound"))
    rows = evaluate(Scripted(up), Simulators([worlds]), [0, 1], 10, Evaluation())
    assert [row["return"] for row in rows] == [None, None, 5.0, 5.0]
    assert [row["success"] for row in rows] == [1.0] * 4
