"""The softmax classifier and the MLP in JAX as its users write them: a pure step, compiled whole, its state donated.

A second peer where JAX is installed; the other workloads have no layers in JAX itself.
"""

import platform
from collections.abc import Callable

import jax
import numpy as np
from jax import numpy as jnp
from workloads import Workload

SIZES = {"softmax": [3072, 10], "mlp": [3072, 512, 512, 10]}
RATE, DECAYS, EPS = 1e-3, (0.9, 0.999), 1e-8


def versions() -> str:
    return f"Python {platform.python_version()}, JAX {jax.__version__}"


def step(workload: Workload) -> Callable[[], object]:
    """One whole update, the batch in memory."""
    draw, sizes = np.random.default_rng(0), SIZES[workload.name]
    weights = [
        (jnp.asarray(draw.normal(size=(wide, out)).astype(np.float32) / wide**0.5), jnp.zeros(out))
        for wide, out in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    x, y = (jnp.asarray(a) for a in workload.data())
    x = x.reshape(len(x), -1)
    update = jax.jit(_adam if workload.optimizer == "adam" else _descend, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    moments = (weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))
    state = [moments if workload.optimizer == "adam" else weights]

    def run() -> object:
        state[0], loss = update(state[0], x, y)
        return loss.block_until_ready()

    return run


def _cost(weights: list, x: jax.Array, y: jax.Array) -> jax.Array:
    for weight, bias in weights[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    logits = jax.nn.log_softmax(x @ weights[-1][0] + weights[-1][1])
    return -logits[jnp.arange(len(y)), y].mean()


def _descend(weights: list, x: jax.Array, y: jax.Array) -> tuple[list, jax.Array]:
    loss, grads = jax.value_and_grad(_cost)(weights, x, y)
    return jax.tree.map(lambda w, g: w - RATE * g, weights, grads), loss


def _adam(state: tuple, x: jax.Array, y: jax.Array) -> tuple[tuple, jax.Array]:
    weights, mean, square, steps = state
    loss, grads = jax.value_and_grad(_cost)(weights, x, y)
    steps = steps + 1
    mean = jax.tree.map(lambda m, g: DECAYS[0] * m + (1 - DECAYS[0]) * g, mean, grads)
    square = jax.tree.map(lambda v, g: DECAYS[1] * v + (1 - DECAYS[1]) * g * g, square, grads)
    first, second = 1 - DECAYS[0] ** steps, 1 - DECAYS[1] ** steps
    weights = jax.tree.map(lambda w, m, v: w - RATE * (m / first) / (jnp.sqrt(v / second) + EPS), weights, mean, square)
    return (weights, mean, square, steps), loss
