"""`config.yaml` as earlier versions wrote it, brought to what it is today."""

from __future__ import annotations

from typing import Any


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as today's version would have written it; today's as it is.

    Before there were families of worlds, a sequence was Meta-World's, or "custom" for a run made in
    Python; agents were told the task, and success was the score.
    """
    sequence = config.get("sequence")
    if not isinstance(sequence, dict) or not sequence or "family" in sequence:
        return config
    custom = sequence.get("name") == "custom"
    added = {
        "family": "custom" if custom else "metaworld",
        "reveals": "task",
        "score": "success",
        "score_range": None,
    }
    return {**config, "sequence": {**sequence, **{k: sequence.get(k, v) for k, v in added.items()}}}
