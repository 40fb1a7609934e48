"""Networks of keras.applications as references, on Keras' JAX backend."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers_equality import Arrays, Outcome, Reference, compiled

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported
keras = pytest.importorskip("keras")


def reference(
    build: Callable[[], Any], inputs: Arrays, output: str, seed: int = 0
) -> Reference:
    """A Keras model, its parameters and statistics drawn anew.

    Args:
        build: Makes the model, of one input and one output.
        inputs: A batch by our name, channels last.
        output: Our name of the output.
        seed: Of the parameters.
    """
    generator = np.random.default_rng(seed)
    with _numbers(np.float64):
        model = build()
        trained = {v.path: _drawn(v, generator) for v in model.trainable_variables}
        state = _statistics(model, trained, inputs, generator)

    def evaluate(dtype: Any, inputs: Arrays, cotangents: Arrays) -> Outcome:
        with _numbers(dtype):
            own = model if dtype == np.float64 else build()
            return _evaluate(own, trained, state, inputs, output, cotangents[output])

    return Reference(trained | state, evaluate)


@contextlib.contextmanager
def _numbers(dtype: Any) -> Iterator[None]:
    """Keras makes models of this type, and JAX allows it."""
    before = keras.config.floatx()
    _set_numbers(np.dtype(dtype).name)
    try:
        with jax.enable_x64(dtype == np.float64):
            yield
    finally:
        _set_numbers(before)


def _set_numbers(name: str) -> None:
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)


def _drawn(variable: Any, generator: np.random.Generator) -> np.ndarray:
    """Weights by fan-in; scales below one, small where a residual block adds up.

    The last layer's are small, too: a softmax of large logits would hide differences.
    """
    shape = tuple(variable.shape)
    if variable.path.endswith("gamma"):
        small = 0.3 if re.search(r"block\d+_3_bn", variable.path) else 1.0
        return small * generator.uniform(0.5, 1.0, shape)
    fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 100
    small = 0.1 if "predictions" in variable.path else 1.0
    return small * generator.standard_normal(shape) * (2 / fan_in) ** 0.5


def _statistics(
    model: Any, trained: Arrays, inputs: Arrays, generator: np.random.Generator
) -> Arrays:
    """Running statistics near those of a batch: inference stays in range."""
    norms = [layer for layer in model.layers if hasattr(layer, "moving_mean")]
    if not norms:
        return {}
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    start = {v.path: np.asarray(v) for v in model.non_trainable_variables}
    _, state = compiled(_run(model, True), trained, start, inputs)
    state = {path: np.asarray(array) for path, array in state.items()}
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        mean, variance = norm.moving_mean.path, norm.moving_variance.path
        noise = generator.standard_normal(state[mean].shape)
        state[mean] = state[mean] + 0.1 * noise * np.sqrt(state[variance])
        noise = generator.uniform(0.5, 1.5, state[mean].shape)
        state[variance] = state[variance] * noise
    return state


def _run(model: Any, training: bool) -> Callable[..., tuple[Any, Any]]:
    """Output and new state for trained variables, state and inputs, all by name."""

    def run(trained, state, inputs):
        (images,) = inputs.values()
        output, new = model.stateless_call(
            [trained[v.path] for v in model.trainable_variables],
            [state[v.path] for v in model.non_trainable_variables],
            images,
            training=training,
        )
        paths = [v.path for v in model.non_trainable_variables]
        return output, dict(zip(paths, new, strict=True))

    return run


def _evaluate(
    model: Any,
    trained: Arrays,
    state: Arrays,
    inputs: Arrays,
    output: str,
    cotangent: np.ndarray,
) -> Outcome:
    dtype = jnp.result_type(float)
    given = trained, state, inputs
    trained, state, inputs = jax.tree.map(lambda a: jnp.asarray(a, dtype), given)
    inference, _ = compiled(_run(model, False), trained, state, inputs)

    def step(trained):
        run = _run(model, True)
        y, pullback, new = jax.vjp(
            lambda trained: run(trained, state, inputs), trained, has_aux=True
        )
        return y, pullback(jnp.asarray(cotangent, dtype))[0] | new

    training, tensors = compiled(step, trained)
    wide = {path: np.asarray(array, np.float64) for path, array in tensors.items()}
    return Outcome(
        {output: np.asarray(inference, np.float64)},
        {output: np.asarray(training, np.float64)},
        wide,
    )
