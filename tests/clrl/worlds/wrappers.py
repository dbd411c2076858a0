"""Wrappers: Gymnasium's, and some that live on from episode to episode."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import wrappers

from tests.clrl.worlds.point import Point, Refused, Trains, Undone, world


@world(Refused("(?s)(left|task 0).*(episode|NormalizeObservation)"))
def normalised_observations(goal: float) -> gym.Env:
    return wrappers.NormalizeObservation(Point(goal))


@world(Refused("(?s)(left|task 0).*(episode|NormalizeReward)"))
def normalised_rewards(goal: float) -> gym.Env:
    return wrappers.NormalizeReward(Point(goal))


@world(Trains())
def stacked_frames(goal: float) -> gym.Env:
    return wrappers.FlattenObservation(wrappers.FrameStackObservation(Point(goal), 3))


@world(Refused("observation_space.*(Box|ax[ei]s)"))
def stacked_frames_that_are_not_flat(goal: float) -> gym.Env:
    return wrappers.FrameStackObservation(Point(goal), 3)


@world(Trains())
def episodes_are_counted(goal: float) -> gym.Env:
    return wrappers.RecordEpisodeStatistics(Point(goal))


@world(Trains())
def changed_rewards(goal: float) -> gym.Env:
    return wrappers.TransformReward(Point(goal), lambda reward: float(reward) / 2)


@world(Refused("(?s)action_space.*(finite|bound|inf)"))
def clipped_actions(goal: float) -> gym.Env:
    return wrappers.ClipAction(Point(goal))  # its own action space has no bounds


@world(Trains())
def rescaled_actions(goal: float) -> gym.Env:
    return wrappers.RescaleAction(Point(goal), np.float32(-0.5), np.float32(0.5))


@world(Trains())
def observations_that_know_the_time(goal: float) -> gym.Env:
    return wrappers.TimeAwareObservation(wrappers.TimeLimit(Point(goal), 10))


@world(Trains())
def sticky_actions(goal: float) -> gym.Env:
    return wrappers.StickyAction(Point(goal), 0.3)


@world(Trains())
def delayed_observations(goal: float) -> gym.Env:
    return wrappers.DelayObservation(Point(goal), 2)


@world(Trains())
def watched_for_mistakes(goal: float) -> gym.Env:
    return wrappers.OrderEnforcing(wrappers.PassiveEnvChecker(Point(goal)))


@world(Trains())
def a_wrapper_that_resets_by_itself(goal: float) -> gym.Env:
    return wrappers.Autoreset(Point(goal))


class Counting(gym.Wrapper):
    """Counts steps and episodes over its whole life."""

    all_steps = episodes = 0

    def reset(self, **how: Any) -> Any:
        self.episodes += 1
        return super().reset(**how)

    def step(self, action: Any) -> Any:
        self.all_steps += 1
        return super().step(action)


class ShownEpisodes(Counting):
    def reset(self, **how: Any) -> Any:
        observation, info = super().reset(**how)
        observation[2] = self.episodes % 4
        return observation, info


class Drifting(Counting):
    def step(self, action: Any) -> Any:
        self.unwrapped.pull = 0.001 * self.all_steps  # type: ignore[attr-defined]
        return super().step(action)


class Fading(Counting):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward * 0.9**self.episodes, *rest


class Later(Counting):
    """Another world from some episode on."""

    first = 3

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        if self.episodes >= self.first:
            observation, reward = self.change(observation, reward)
        return observation, reward, *rest

    def change(self, observation: Any, reward: Any) -> Any:
        return observation + np.float32(0.1 * (self.episodes % 5)), reward


class Paid(Later):
    def change(self, observation: Any, reward: Any) -> Any:
        return observation, reward + self.episodes


@world(Refused("(?s)(left|task 0).*episode"))
def the_number_of_the_episode_is_shown(goal: float) -> gym.Env:
    return ShownEpisodes(Point(goal))


@world(Refused("(?s)(left|task 0).*episode"))
def physics_that_drift_over_all_steps(goal: float) -> gym.Env:
    return Drifting(Point(goal))


@world(Refused("(?s)(left|task 0).*episode"))
def rewards_that_fade_from_episode_to_episode(goal: float) -> gym.Env:
    return Fading(Point(goal))


@world(Refused("(?s)(left|task 0).*episode"), Undone("left|right|task"))
def a_curriculum_from_the_third_episode_on(goal: float) -> gym.Env:
    return Later(Point(goal))


@world(Refused("(?s)(left|task 0).*episode"), Undone("left|right|task"))
def a_curriculum_of_rewards_from_the_third_episode_on(goal: float) -> gym.Env:
    return Paid(Point(goal))


@world(Refused("(?s)(left|task 0)"))
class TheLastEpisodeLivesOn(Point):
    """It starts where the last episode ended."""

    place = np.zeros(2)

    def start(self) -> Any:
        return self.place


@world(Trains())
class ActionsAreChangedInPlace(Point):
    def move(self, action: Any) -> None:
        super().move(action)
        action *= 0.5


@world(Trains(), learner="ppo")
class ActionsAreChangedInPlaceForPPO(Point):
    def move(self, action: Any) -> None:
        super().move(action)
        action[:] = 7.0


@world(Trains())
class ActionsAreKept(Point):
    """The sum of the last two actions moves it."""

    last: Any = None

    def start(self) -> Any:
        self.last = np.zeros(2)
        return super().start()

    def move(self, action: Any) -> None:
        both, self.last = (self.last + action) / 2, action
        super().move(both.astype(np.float32))


@world(Trains())
class ObservationsAreChangedAfterwards(Point):
    shown = np.zeros(3, np.float32)

    def observation(self) -> Any:
        self.shown[:] = np.nan  # whoever has kept the last one is punished
        self.shown = super().observation()
        return self.shown
