"""Multi-task training: one task of many, seeds each in their own."""

from typing import Any

import numpy as np
import pytest
import torch

from clrl.agents.classifier import Classifier
from clrl.agents.methods import METHODS
from clrl.agents.methods.multitask import MultiTask, MultiTaskPopArt
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.learners import make_settings
from clrl.envs.streams import ToyStream
from tests.agents.tiny import SETTINGS, differences, method, sac, total_differences, vec

EARLY = {6: "over"}
"""A task's first episode ends at its step 6 instead of 9."""


def multitask(seeds: tuple[int, ...] = (0, 1), events: Any = None, **settings: Any) -> ContinualSAC:
    env = vec(len(seeds), 3, 60, events, interleaved=True)
    return ContinualSAC(env, MultiTask(), seeds=seeds, **(SETTINGS | settings))


class Spy(MultiTask):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.calls: list[str] = []

    def on_task_start(self, task: int) -> None:
        self.calls.append(f"start {task}")

    def on_task_end(self, task: int) -> None:
        self.calls.append(f"end {task}")


def test_tasks_change_without_hooks_and_resets() -> None:
    agent = sac(method=Spy(), seeds=(0, 1), n_tasks=3)
    agent.learn(60).learn(40)
    agent.end_task()
    assert agent.method.calls == ["start 0", "end 0"]  # type: ignore[attr-defined]
    assert agent.buffer.size.tolist() == [100, 100] and agent.buffer.tasks == {0, 1, 2}
    assert agent.n_updates == agent.optimizers["actor"].step_count == 90
    assert agent.task_step == 100


def test_exploration_comes_once() -> None:
    agent = multitask(exploration_steps=100).learn(101)
    state = agent.streams.state()
    agent.learn(40)
    after = agent.streams.state()
    assert after["exploration"] == state["exploration"]
    assert after["policy_noise"] != state["policy_noise"]


def test_a_seed_whose_episode_ends_early_goes_on_in_a_task_of_its_own() -> None:
    agent = multitask(events=[{}, EARLY]).learn(25)
    tasks = agent.buffer.arrays["task"]
    obs = agent._last_obs
    assert isinstance(obs, np.ndarray) and isinstance(agent.acting_task, np.ndarray)
    assert obs[:, 3:].argmax(1).tolist() == agent.acting_task.tolist() == [0, 1]
    assert tasks[0, :25].tolist() == [1] * 9 + [2] * 9 + [0] * 7
    assert tasks[1, :25].tolist() == [1] * 6 + [2] * 6 + [0] * 6 + [1] * 7


@pytest.mark.parametrize("hidden", [True, False])
def test_a_seed_does_not_depend_on_the_tasks_of_the_others(hidden: bool) -> None:
    settings = {"hide_task_id": hidden, "learning_starts": 0, "hidden_sizes": (32, 32)}
    both = multitask((0, 1), [EARLY, {}], **settings).learn(60).state_dict()
    alone = multitask((1,), [{}], **settings).learn(60).state_dict()
    # SB3's number of episodes, in the counters, counts those of all seeds.
    assert differences(both, alone, 1, 0) == ["counters"]


def test_learning_in_parts_is_learning_at_once() -> None:
    events = [{}, EARLY]
    whole, parts = multitask(events=events).learn(80), multitask(events=events)
    for steps in (7, 50, 23):
        parts.learn(steps)
    assert total_differences(whole.state_dict(), parts.state_dict()) == []


def test_the_head_of_the_observed_task_acts() -> None:
    agent = multitask(events=[{}, EARLY], exploration_steps=0).learn(25)
    agent.actor.head.weight.data.zero_()
    biases = agent.actor.head.bias.data.view(2, 3, 2, 2)  # seeds, heads, mean and log std, actions
    biases[:, :, 0] = torch.tensor([0.0, 0.3, -0.6]).view(1, 3, 1)
    biases[:, :, 1] = -20.0
    assert isinstance(agent._last_obs, np.ndarray)
    actions = agent.explore(agent.spaces.features(agent._last_obs))
    np.testing.assert_allclose(actions, np.tanh([[0.0, 0.0], [0.3, 0.3]]), atol=1e-6)


def test_reports_are_means_over_tasks() -> None:
    agent = sac(method=method("multitask-popart"), seeds=(0, 1), n_tasks=3).learn(60)
    log = agent.losses_log()
    assert log["alpha/value"] == agent.log_alpha.value.detach().exp().mean(1).tolist()
    assert log["popart/scale"] == agent.popart.scale.mean(1).tolist()
    assert log["popart/mean"] == agent.popart.mean.mean(1).tolist()


def test_one_task_alone_works() -> None:
    for name in ("multitask", "multitask-popart"):
        agent = sac(method=method(name), n_tasks=1, steps_per_task=60).learn(60)
        assert agent.n_updates == 50


def test_the_published_settings_come_with_the_method() -> None:
    settings = make_settings(SACSettings, None, MultiTaskPopArt(), {})
    assert (settings.learning_rate, settings.popart, settings.popart_beta) == (1e-4, True, 3e-4)
    assert make_settings(SACSettings, None, MultiTask(), {}).popart is False


@pytest.mark.parametrize("name", ["multitask", "multitask-popart"])
def test_other_learners_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ValueError, match="does not work on the learner classifier: its stream"):
        Classifier(ToyStream(), METHODS[name]())
    with pytest.raises(ValueError, match="does not work on the learner ppo: "):
        METHODS[name].check_learner("ppo")
