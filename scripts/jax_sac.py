"""The SAC update of Continual World in JAX, jitted: what `bench_update.py --jax` compares with.

The same equations, networks and Adam as `agents/sac/` for one seed and one head, in a process of
its own that is pinned to one core: JAX is imported nowhere else. It reads a number of updates from
each line of its input and prints the seconds of CPU time that they took. The batch and the noise
are ready before (ours are drawn in every update).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from typing import Any

if hasattr(os, "sched_setaffinity"):  # before JAX counts the cores
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

OBSERVATION, ACTION, BATCH = 39, 4, 128
GAMMA, TAU, LR, BETA1, BETA2, EPS = 0.99, 0.005, 1e-3, 0.9, 0.999, 1e-7
TARGET_ENTROPY = ACTION * math.log(0.089 * math.sqrt(2 * math.pi * math.e))

Tree = Any
"""Nested dicts and lists of arrays."""


def network(parameters: Tree, x: jax.Array) -> jax.Array:
    """Return outputs [B, outputs]: layer norm and tanh after the first layer, then leaky ReLU."""
    for i, (weight, bias) in enumerate(parameters["layers"]):
        x = x @ weight + bias
        if i == 0:
            gain, shift = parameters["norm"]
            mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
            x = jnp.tanh((x - mean) * jax.lax.rsqrt(variance + 1e-3) * gain + shift)
        else:
            x = jax.nn.leaky_relu(x, 0.2)
    weight, bias = parameters["head"]
    return x @ weight + bias


def policy(actor: Tree, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return squashed actions [B, A] and their log-probabilities [B]."""
    mean, log_std = jnp.split(network(actor, obs), 2, axis=-1)
    log_std = jnp.clip(log_std, -20.0, 2.0)
    u = mean + jnp.exp(log_std) * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    correction = 2 * (math.log(2.0) - u - jax.nn.softplus(-2 * u))
    return jnp.tanh(u), (normal - correction).sum(-1)


def values(critics: list[Tree], obs: jax.Array, action: jax.Array) -> list[jax.Array]:
    """Return both critics' values, [B] each."""
    x = jnp.concatenate([obs, action], axis=-1)
    return [network(critic, x)[:, 0] for critic in critics]


def loss(trained: Tree, target: Tree, batch: Tree) -> jax.Array:
    """Return the losses of actor, critics and entropy coefficient together."""
    alpha = jnp.exp(jax.lax.stop_gradient(trained["alpha"]))
    next_action, next_log_prob = policy(trained["actor"], batch["next_obs"], batch["next_noise"])
    next_value = jnp.minimum(*values(target, batch["next_obs"], next_action))
    soft = next_value - alpha * next_log_prob
    aim = jax.lax.stop_gradient(batch["reward"] + GAMMA * (1 - batch["done"]) * soft)
    critic = sum(
        0.5 * ((q - aim) ** 2).mean()
        for q in values(trained["critic"], batch["obs"], batch["action"])
    )
    action, log_prob = policy(trained["actor"], batch["obs"], batch["noise"])
    frozen = jax.lax.stop_gradient(trained["critic"])
    actor = (alpha * log_prob - jnp.minimum(*values(frozen, batch["obs"], action))).mean()
    gap = jax.lax.stop_gradient(log_prob) + TARGET_ENTROPY
    return actor + critic - (trained["alpha"] * gap).mean()


def update(state: Tree, batch: Tree) -> Tree:
    """Return the state after one step of Adam, in Keras' form, and one Polyak average."""
    gradients = jax.grad(loss)(state["trained"], state["target"], batch)
    step = state["step"] + 1
    rate = LR * jnp.sqrt(1 - BETA2**step) / (1 - BETA1**step)
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state["first"], gradients)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g**2, state["second"], gradients)
    trained = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPS), state["trained"], first, second
    )
    target = jax.tree.map(lambda t, p: t + TAU * (p - t), state["target"], trained["critic"])
    return {"trained": trained, "target": target, "first": first, "second": second, "step": step}


def draw(rng: np.random.Generator, inputs: int, outputs: int, hidden: list[int]) -> Tree:
    """Return the weights of a network."""
    sizes = [inputs, *hidden, outputs]
    *layers, head = [
        (jnp.asarray(rng.normal(0, a**-0.5, (a, b)), jnp.float32), jnp.zeros(b))
        for a, b in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    return {"layers": layers, "norm": (jnp.ones(hidden[0]), jnp.zeros(hidden[0])), "head": head}


def start(hidden: list[int]) -> tuple[Tree, Tree]:
    """Return a fresh state and a batch."""
    rng = np.random.default_rng(0)
    critics, target = (
        [draw(rng, OBSERVATION + ACTION, 1, hidden) for _ in range(2)] for _ in range(2)
    )
    actor = draw(rng, OBSERVATION, 2 * ACTION, hidden)
    trained = {"actor": actor, "critic": critics, "alpha": jnp.ones(())}
    first, second = (jax.tree.map(jnp.zeros_like, trained) for _ in range(2))
    shapes = {
        "obs": (BATCH, OBSERVATION), "next_obs": (BATCH, OBSERVATION), "action": (BATCH, ACTION),
        "noise": (BATCH, ACTION), "next_noise": (BATCH, ACTION), "reward": (BATCH,),
    }  # fmt: skip
    batch = {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}
    state = {"trained": trained, "target": target, "first": first, "second": second}
    return state | {"step": jnp.zeros(())}, batch | {"done": jnp.zeros(BATCH)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256, 256])
    state, batch = start(parser.parse_args().hidden)
    step = jax.jit(update, donate_argnums=0)
    state = jax.block_until_ready(step(state, batch))
    print(jax.__version__, flush=True)
    for line in sys.stdin:
        begin = time.process_time()
        for _ in range(int(line)):
            state = step(state, batch)
        jax.block_until_ready(state)
        print(time.process_time() - begin, flush=True)


if __name__ == "__main__":
    main()
