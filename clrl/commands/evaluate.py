"""`clrl evaluate`: play a stored policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from clrl import errors
from clrl.errors import ConfigError


@dataclass(frozen=True)
class Command:
    """Play a stored policy and print its score, task by task and seed by seed."""

    run_directory: Annotated[Positional[Path], arg(metavar="DIR")]
    """The run."""
    task: int | None = None
    """Position of the task that is played; all by default."""
    after: int | None = None
    """Take the policy as it was at the end of this task; by default the last one finished."""
    episodes: int = 100
    """Episodes of each task and seed."""
    deterministic: FlagCreatePairsOff[bool] = False
    """Play the policy's mean action instead of drawing from it."""

    def run(self) -> int:
        """Play, print a line per task."""
        if self.episodes < 1:
            raise ConfigError(f"episodes is {self.episodes}; it must be at least 1")
        from clrl.config.run import RunConfig  # here and below: imports that take a second or more
        from clrl.config.schema import CONFIG_FILE

        config = RunConfig.load(self.run_directory / CONFIG_FILE)
        names, score = config.sequence.tasks, config.sequence.score
        for flag, task in (("task", self.task), ("after", self.after)):
            if task is not None and not 0 <= task < len(names):
                raise ConfigError(f"--{flag} {task} is not in 0..{len(names) - 1}")
        import torch

        from clrl.config.evaluation import Evaluation
        from clrl.run.builder import load_trained

        torch.set_num_threads(config.placement.threads)
        trained = load_trained(self.run_directory, self.after)
        numbers = (0, self.episodes) if self.deterministic else (self.episodes, 0)
        how = Evaluation(stochastic_episodes=numbers[0], deterministic_episodes=numbers[1])
        played = "" if score == "accuracy" else f" in {self.episodes} episodes"
        print(f"{score}{played}, seeds {' '.join(map(str, config.seeds))}, mean")
        try:
            for task in range(len(names)) if self.task is None else [self.task]:
                # Episodes that no evaluation of the run has played.
                rows = trained.evaluate([task], 0, how, unseen=True)
                silent = score == "success" and all(row[score] is None for row in rows)
                scores = [row["return" if silent else score] for row in rows]
                cells = "  ".join("–" if value is None else f"{value:.2f}" for value in scores)
                known = [value for value in scores if value is not None]
                mean = f"{sum(known) / len(known):.2f}" if known else "–"
                instead = "  (return; the world reports no success)" * silent
                print(f"task {task:2d} {names[task]:30}{cells}  {mean}{instead}")
        finally:
            trained.close()
        return errors.OK
