"""Run directories as the first version wrote them, word for word."""

import json
from pathlib import Path

CONFIG = """\
sequence:
  name: {name}
{order}  tasks: [hammer-v3, push-v3]
  steps_per_task: 40
{world}learner:
  name: sac
  learning_rate: 0.001
  buffer_size: 100000
  batch_size: 128
  gamma: 0.95
  tau: 0.01
  exploration_steps: 1000
  learning_starts: 500
  train_freq: 1
  gradient_steps: 1
  hidden_sizes: [64, 64]
  layer_norm: true
  hide_task_id: true
  multi_head: true
  initial_log_alpha: -1.0
  target_output_std: 0.089
  reset_buffer: true
  reset_optimizer: true
  reset_critic: false
  replay: fifo
  exploration: uniform
  popart: false
  popart_beta: 0.0003
  max_grad_norm: null
  adam_beta1: 0.9
  adam_beta2: 0.999
  adam_eps: 1.0e-07
method: {{name: {method}}}
evaluation: {{evals_per_task: 2, stochastic_episodes: 2, deterministic_episodes: 1, tasks: all, stop_at_success: false}}
seeds: [0, 1]
parity: clean
placement: {{device: cpu, threads: 1, matmul: default}}
logging: {{wandb: 'off', log_every: 1000}}
"""  # noqa: E501

METAWORLD = """\
  horizon: 200
  reward: v2
  randomization: random_init_all
  fixes: patched
"""

SUCCESS = {
    # step: success of (hammer, push) for seed 0, then for seed 1
    20: ((0.5, 0.0), (0.0, 0.0)),
    40: ((1.0, 0.0), (0.5, 0.0)),
    60: ((0.5, 0.5), (0.5, 0.0)),
    80: ((0.0, 1.0), (0.5, 0.5)),
}


def write(directory: Path, kind: str, method: str = "finetuning") -> Path:
    """Write a run of `kind` metaworld, custom or interleaved."""
    text = CONFIG.format(
        name="custom" if kind == "custom" else "hammer-v3,push-v3",
        order="  interleaved: true\n" if kind == "interleaved" else "",
        world="" if kind == "custom" else METAWORLD,
        method=method,
    )
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(text)
    (directory / "run.json").write_text('{"state": "complete"}')
    rows: list[dict[str, object]] = []
    for step, of_seeds in SUCCESS.items():
        for task, name in enumerate(("hammer-v3", "push-v3")):
            for seed, success in enumerate(of_seeds):
                for mode, episodes in (("stochastic", 2), ("deterministic", 1)):
                    rows.append({
                        "seq": len(rows), "step": step, "task": task, "task_name": name,
                        "seed": seed, "mode": mode, "episodes": episodes,
                        "success": success[task], "success_last": 0.0, "return": 12.5,
                    })  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (directory / "metrics.jsonl").write_text(text)
    return directory
