"""What SAC reports of its last block of updates."""

from __future__ import annotations

from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.learner import report_names
from clrl.agents.sac.exploration import BestReturn
from clrl.agents.sac.policy import LogAlpha
from clrl.agents.sac.popart import PopArt


class Reporting(Agent):
    """An agent that works its report out when it is read: after nearly all blocks nobody does.

    The report is of the time of the block, whatever has changed since.
    """

    log_alpha: LogAlpha
    popart: PopArt
    old_heads: BestReturn | None
    _last_report: dict[str, Tensor]
    _noted: tuple[dict[str, Tensor], dict[str, Tensor], Tensor, int] | None

    @property
    def report(self) -> dict[str, Tensor]:
        """What the last block of updates did, {name: [S]}."""
        if self._noted is not None:
            self._last_report = self._worked_out(*self._noted)
            self._noted = None
        return self._last_report

    @report.setter
    def report(self, values: dict[str, Tensor]) -> None:
        self._last_report, self._noted = values, None

    def note_block(self, losses: dict[str, Tensor]) -> None:
        """Keep what the report of a block is worked out from, given its last update's losses."""
        alpha = self.flats["alpha"].flat.clone()
        self._noted = losses, self.gradient_norms, alpha, self.task
        if self.settings.popart or self.old_heads is not None:
            self.report  # noqa: B018 - now: of their numbers there is no copy

    def _worked_out(
        self, losses: dict[str, Tensor], norms: dict[str, Tensor], alpha: Tensor, task: int
    ) -> dict[str, Tensor]:
        of_tasks = {"alpha/value": self.flats["alpha"].views(alpha)["value"].exp()}
        if self.settings.popart:
            of_tasks |= {"popart/mean": self.popart.mean, "popart/scale": self.popart.scale}
        # Interleaved tasks are averaged; PopArt may have one column for all.
        own = {
            name: v.mean(1) if self.interleaved else v[:, task % v.shape[1]].clone()
            for name, v in of_tasks.items()
        }
        report = report_names(losses) | norms | own
        if self.old_heads is not None:
            report["exploration/head"] = self.old_heads.state()["exploration.head"].float()
        return report
