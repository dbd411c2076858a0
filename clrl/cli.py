"""The command `clrl`: finds the sub-command, and turns what went wrong into an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

import clrl
from clrl import errors
from clrl.config.names import unknown
from clrl.errors import ConfigError, DamagedData
from clrl.machine.signals import end_like_ctrl_c

HELP = """\
Continual reinforcement learning: what does an agent keep, lose and gain when its world changes?

usage: clrl COMMAND ...

  train METHOD     train a method on a sequence of tasks; the same command again goes on
  evaluate DIR     play a stored policy
  table DIR...     measure runs: performance, forgetting, forward transfer
  plot DIR...      draw runs
  list WHAT [DIR]  show methods, sequences, tasks or runs
  demo             train three methods on three easy tasks, and show table and plots

  clrl COMMAND --help and clrl train METHOD --help show all flags; clrl --version the version.

examples:
  clrl train ewc --sequence CW20 --seeds 0..4 --dry-run
  clrl train packnet --sequence push-v3,window-close-v3 --preset small
  clrl table runs
"""


def _train(argv: Sequence[str]) -> int:
    from clrl.commands import flags

    first = flags.look(argv)  # a mistyped task is refused before torch is imported
    from clrl.commands.train import train_command

    return train_command(first, argv)


def _command(name: str) -> Callable[[Sequence[str]], int]:
    def run(argv: Sequence[str]) -> int:
        from clrl.commands import flags

        module = importlib.import_module(f"clrl.commands.{name}")
        code: int = flags.parse(module.Command, f"clrl {name}", argv).run()
        return code

    return run


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    **{name: _command(name) for name in ("evaluate", "table", "plot", "list", "demo")},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code is one of `clrl.errors`.

    Args:
        argv: the words after `clrl`; by default those the process was started with.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    end_like_ctrl_c()
    _make_current_folder_importable()
    try:
        return _run(words)
    except ConfigError as error:
        return errors.say(str(error), errors.CONFIG)
    except DamagedData as error:
        return errors.say(str(error), errors.DAMAGED)
    except KeyboardInterrupt:
        return errors.say("interrupted", errors.INTERRUPTED)
    except BrokenPipeError:  # `clrl list tasks | head`
        sys.stdout = None  # or Python complains at its end
        return errors.OK
    except Exception:
        traceback.print_exc()
        return errors.FAULT


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return errors.OK
    if words[0] == "--version":
        print(f"clrl {clrl.__version__}")
        return errors.OK
    if words[0] not in COMMANDS:
        raise ConfigError(unknown("command", words[0], COMMANDS))
    try:
        return COMMANDS[words[0]](words[1:])
    except SystemExit as end:  # a help text was printed
        return int(end.code or 0)


def _make_current_folder_importable() -> None:
    """Let `my_package.file:function` mean a file where the user stands.

    Last on the path: a file there that is called like a module we need must not take its place.
    """
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


if __name__ == "__main__":
    sys.exit(main())
