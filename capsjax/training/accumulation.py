"""Gradient accumulation: one update of the parameters for several steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def accumulated(optimizer: Any, steps: Any) -> Any:
    """An optimizer that updates once in so many steps, with the mean of the gradients.

        g = (g_1 + ... + g_k) / k

    Where the loss is a mean over the examples, k batches of one size are as one batch
    of k times that size: the same gradient, with the memory of one. Between two updates
    parameters don't change, and schedules of the learning rate count updates. Gradients
    are kept in float32 at least.

    Args:
        optimizer: An optimizer of optax.
        steps: How many steps, k: a number, which may be traced; rounded to a whole one.

    Returns:
        The optimizer, an `optax.GradientTransformationExtraArgs`.

    Raises:
        ValueError: The number is known, and no whole number of at least 1.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> optimizer = accumulated(optax.sgd(1.0), 2)
        >>> params = jnp.zeros(())
        >>> state = optimizer.init(params)
        >>> for gradient in (1.0, 3.0):
        ...     updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        ...     params = optax.apply_updates(params, updates)
        ...     print(params)
        0.0
        -2.0
    """
    import optax  # here: it adds a quarter to the time of `import jax`

    every = _every(steps)

    def inner(tree: Any) -> Any:
        kept = jnp.result_type(jnp.float32, *jax.tree.leaves(tree))
        return optax.MultiSteps(optimizer, every, accumulator_dtype=kept)

    def init(params: Any) -> Any:
        return inner(params).init(params)

    def update(updates: Any, state: Any, params: Any = None, **more: Any) -> Any:
        return inner(state.acc_grads).update(updates, state, params, **more)

    return optax.GradientTransformationExtraArgs(init, update)


def _every(steps: Any) -> Any:
    """What optax asks for the number of steps, in the type of its counter."""
    if isinstance(steps, jax.Array | np.ndarray):
        return lambda _: jnp.maximum(jnp.rint(steps), 1).astype(jnp.int32)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(
            f"accumulate: found {steps!r}; expected a whole number, at least 1"
        )
    return int(steps)
