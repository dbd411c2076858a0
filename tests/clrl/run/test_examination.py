"""A run is one of its own worlds, from its first call to its last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.wrappers import TransformReward

from clrl import ContinualSAC, Evaluation, SeedVecEnv, TaskSequence, train
from clrl.config.families import CustomSequence
from clrl.config.schema import stored_config
from clrl.errors import ConfigError, DamagedData
from clrl.results.reading import ALL, WORLDS_FILE, read_worlds
from clrl.run.examination import cut_episodes
from tests.envs.walk import Walk

Makers = Sequence[Any]


class Far(Walk):
    """A walk whose steps are longer; what it shows right after a reset is the same."""

    scale = 1.0

    def step(self, action: np.ndarray) -> Any:
        return super().step(self.scale * action)


def far(scale: float) -> gym.Env:
    env = Far()
    env.scale = scale
    return env


def agent(*of_seeds: Makers, worlds: Any = "same", **settings: Any) -> ContinualSAC:
    env = SeedVecEnv(
        [partial(TaskSequence, makers, 20, worlds=worlds, **settings) for makers in of_seeds],
        seeds=list(range(len(of_seeds))),
    )
    small: Any = {
        "hidden_sizes": (8,),
        "exploration_steps": 5,
        "learning_starts": 5,
        "train_freq": 5,
    }
    return ContinualSAC(env, seeds=range(len(of_seeds)), device="cpu", batch_size=4, **small)


def run(directory: Path, *of_seeds: Makers, **settings: Any) -> Any:
    return train(agent(*of_seeds, **settings), directory, Evaluation(1, 1, 0))


def test_what_worlds_say_and_do_is_kept_with_the_run(tmp_path: Path) -> None:
    run(tmp_path, [Walk], name="a stroll")
    sequence = stored_config(tmp_path / "config.yaml")["sequence"]
    assert (sequence["name"], sequence["max_episode_steps"]) == ("a stroll", 1_000)
    assert [world["class"] for world in sequence["identity"]] == ["tests.envs.walk:Walk"]
    worlds = read_worlds(tmp_path)
    assert worlds is not None and list(worlds) == [ALL]
    assert len(worlds[ALL][0]["rewards"]) > 20


@pytest.mark.parametrize(
    "others",
    [
        partial(far, 2.0),  # of the same class
        partial(far, 1.01),
        lambda: TransformReward(far(1.0), lambda reward: float(reward) + 1),
        partial(Walk, length=4),
    ],
)
def test_a_finished_run_is_not_that_of_other_worlds(tmp_path: Path, others: Any) -> None:
    run(tmp_path, [partial(far, 1.0)])
    before = (tmp_path / "metrics.jsonl").read_bytes()
    run(tmp_path, [lambda: far(1.0)])  # made in another way, and the same
    with pytest.raises(ConfigError, match="holds"):
        run(tmp_path, [others])
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_nothing_is_written_where_a_world_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match="task 1 .task-1.: its maker gives an object that was"):
        one = Walk()
        run(out, [Walk, lambda: one])
    with pytest.raises(ConfigError, match="task 0 .task-0.: its maker gives an object"):
        shared = Walk()
        run(out, [lambda: shared, lambda: shared])
    assert not out.exists()


@pytest.mark.parametrize("other", [partial(far, 3.0), Walk, lambda: far(1.0).unwrapped])
def test_seeds_have_the_same_worlds_unless_it_is_declared(tmp_path: Path, other: Any) -> None:
    makers: Any = [partial(far, 1.0)], [other]
    if other is Walk or isinstance(other, partial):
        with pytest.raises(ConfigError, match="seed 1 has other worlds than seed 0.*per_seed"):
            run(tmp_path / "a", *makers)
    run(tmp_path / "b", *makers, worlds="per_seed")
    worlds = read_worlds(tmp_path / "b")
    assert worlds is not None and list(worlds) == ["0", "1"]
    assert stored_config(tmp_path / "b" / "config.yaml")["sequence"]["per_seed"] is True
    run(tmp_path / "b", *makers, worlds="per_seed")
    with pytest.raises(ConfigError, match="holds a run of other worlds: the world of task 0"):
        run(tmp_path / "b", [partial(far, 1.0)], [partial(far, 9.0)], worlds="per_seed")


def test_tasks_in_another_order_are_other_worlds(tmp_path: Path) -> None:
    one, two = partial(far, 1.0), partial(far, 2.0)
    with pytest.raises(ConfigError, match="seed 1 has other worlds than seed 0: task 0 gives"):
        run(tmp_path, [one, two], [two, one])


def test_a_run_without_its_numbers_is_not_continued(tmp_path: Path) -> None:
    run(tmp_path, [Walk])
    (tmp_path / WORLDS_FILE).unlink()
    with pytest.raises(DamagedData, match="worlds.json is missing"):
        run(tmp_path, [Walk])


def test_numbers_of_another_machine_may_differ_in_last_bits(tmp_path: Path) -> None:
    run(tmp_path, [Walk])
    path = tmp_path / WORLDS_FILE
    worlds = json.loads(path.read_text())
    worlds[ALL][0]["rewards"] = [reward * (1 + 1e-6) for reward in worlds[ALL][0]["rewards"]]
    path.write_text(json.dumps(worlds))
    run(tmp_path, [Walk])
    worlds[ALL][0]["rewards"] = [reward + 1e-2 for reward in worlds[ALL][0]["rewards"]]
    path.write_text(json.dumps(worlds))
    with pytest.raises(ConfigError, match="other worlds: the world of task 0 gives the reward"):
        run(tmp_path, [Walk])


def test_episodes_without_an_end_are_named_and_cut(tmp_path: Path) -> None:
    endless = partial(Walk, length=10**9)
    data = run(tmp_path, [endless], max_episode_steps=8)
    assert np.isfinite(data.returns).all()
    sequence = TaskSequence([endless, Walk], 20, ["a", "b"], max_episode_steps=8)
    text = cut_episodes([sequence])
    assert text is not None and "task 0 (a), task 1 (b) are cut after 8 steps" in text
    assert CustomSequence(("a",)).max_episode_steps == 1_000
    assert cut_episodes([]) is None


def test_a_run_of_an_earlier_version_is_not_continued_in_worlds_that_nobody_knows(
    tmp_path: Path,
) -> None:
    run(tmp_path, [Walk])
    path = tmp_path / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for key in ("identity", "max_episode_steps", "per_seed"):
        del config["sequence"][key]
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="did not record what its worlds are.*another --out"):
        run(tmp_path, [Walk])
