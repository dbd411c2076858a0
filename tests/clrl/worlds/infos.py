"""Strange infos: success under any name and of any type, and what else they hold."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch

from tests.clrl.worlds.point import Point, Refused, Trains, world

ALWAYS = Trains("success", 1.0)
NEVER = Trains("success", 0.0)


@world(ALWAYS, score="success")
class AlwaysASuccess(Point):
    def info(self) -> Any:
        return {"success": True}


@world(ALWAYS, score="success")
class TheNameIsSuccess(Point):
    def info(self) -> Any:
        return {"is_success": True}


@world(ALWAYS, score="success", learner="ppo")
class TheNameIsSuccessInNumPysBooleans(Point):
    def info(self) -> Any:
        return {"is_success": np.bool_(True)}


@world(ALWAYS, score="success")
class SuccessesInArraysOfOne(Point):
    def info(self) -> Any:
        return {"success": np.array([1.0])}


@world(ALWAYS, score="success")
class SuccessesInTensors(Point):
    def info(self) -> Any:
        return {"success": torch.tensor(1.0)}


@world(ALWAYS, score="success")
class WholeSuccesses(Point):
    def info(self) -> Any:
        return {"success": 1}


@world(ALWAYS, score="success")
class SuccessAtTheEndOnly(Point):
    def info(self) -> Any:
        return {"is_success": True} if self.steps == self.limit else {}

    def terminated(self) -> Any:
        return False


@world(ALWAYS, score="success")
class SuccessAtOneStepOnly(Point):
    def info(self) -> Any:
        return {"success": self.steps == 3}

    def terminated(self) -> Any:
        return False


@world(NEVER, score="success")
class TwoNamesThatDisagree(Point):
    def info(self) -> Any:
        return {"success": 0.0, "is_success": True}


@world(ALWAYS, score="success")
class TwoNamesThatDisagreeTheOtherWay(Point):
    def info(self) -> Any:
        return {"success": 1.0, "is_success": False}


@world(NEVER, score="success")
class NeverASuccess(Point):
    def info(self) -> Any:
        return {"success": False}


@world(Trains("return"), Refused("success"), score="success")
class NoSuccessIsReported(Point):
    def info(self) -> Any:
        return {}


@world(Trains("return"))
class NoSuccessIsReportedAndNoneWanted(Point):
    def info(self) -> Any:
        return {}


@world(Trains("return"), Refused("success"), score="success")
class NoneForASuccess(Point):
    def info(self) -> Any:
        return {"success": None}


@world(Refused("(?s)(left|task 0).*success|success.*(left|task 0)"), score="success")
class NotANumberForASuccess(Point):
    def info(self) -> Any:
        return {"success": np.nan}


@world(Refused("(?s)(left|task 0).*success|success.*(left|task 0)"), score="success")
class MinusThreeForASuccess(Point):
    def info(self) -> Any:
        return {"success": -3}


@world(Refused("(?s)(left|task 0).*success|success.*(left|task 0)"), score="success")
class TextForASuccess(Point):
    def info(self) -> Any:
        return {"success": "yes"}


@world(Refused("(?s)(left|task 0).*success|success.*(left|task 0)"), score="success")
class TwoSuccesses(Point):
    def info(self) -> Any:
        return {"is_success": np.array([True, False])}


@world(Refused("(?s)(left|task 0).*success|success.*(left|task 0)"))
class TextForASuccessThatNobodyWants(Point):
    def info(self) -> Any:
        return {"success": "no"}


@world(Refused("(?s)(left|task 0).*info|info.*(left|task 0)"))
class AListForInfo(Point):
    def info(self) -> Any:
        return [True]


@world(Trains())
class LargeThingsInInfo(Point):
    def info(self) -> Any:
        return {"world": self, "lock": threading.Lock(), "map": np.zeros(100_000)}


@world(Trains())
class OneDictionaryForAllInfos(Point):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.told: dict[str, Any] = {}

    def info(self) -> Any:
        self.told["success"] = self.distance < 0.3
        return self.told


@world(Trains())
class InfosThatUseOurNames(Point):
    def info(self) -> Any:
        return {
            "task": "mine", "episode": 3, "terminal_observation": "none", "success_last": "x",
            "TimeLimit.truncated": "no", "sim_warnings": -1,
        }  # fmt: skip


@world(Trains())
class KeysThatAreNoTexts(Point):
    def info(self) -> Any:
        return {0: 1, None: 2, ("a", "b"): 3}
