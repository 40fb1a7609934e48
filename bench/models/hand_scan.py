"""Hand-written JAX for equal layers: stacked parameters and `lax.scan`.

An expert chooses between this, quick to compile, and the plain loop, quick to run. Both
are here, so that neither is compared with only where it is weak.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bench.models.hand import cross_entropy, dense, own, stateless, training_step
from bench.models.program import Program
from bench.problems import Problem, Values


def deep_mlp(params, batch):
    x, labels = batch

    def layer(x, weights):
        return jnp.tanh(dense(weights, x)), None

    x, _ = jax.lax.scan(layer, x, params["hidden"])
    return cross_entropy(dense(params["logits"], x), labels)


def build(problem: Problem, optimizer: str, values: Values) -> Program:
    hidden = [values[layer.name] for layer in problem.layers[:-1]]
    stacked = {key: np.stack([layer[key] for layer in hidden]) for key in ("W", "B")}
    params = own({"hidden": stacked, "logits": values["logits"]})
    return training_step(stateless(deep_mlp), optimizer, params, {})
