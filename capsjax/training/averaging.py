"""A moving average of parameters, which often generalizes better than the last ones.

    plain      a_t = a_{t-1} + (1 - d) (p_t - a_{t-1})                     a_0 = p_0
    debiased   a_t = a_{t-1} + (1 - d) / (1 - d^t) (p_t - a_{t-1})

The plain one remembers the initial parameters with the weight d^t: 37 % after 1,000
steps with d = 0.999. The debiased one forgets them: a_1 = p_1, and a_t is the mean of
p_1, ..., p_t with weights in the ratio of d^{t-i}. It is Adam's correction of a sum
that begins with zero, e_t / (1 - d^t), written for the average itself, so that what is
carried is one set of parameters that can be used at any time.
"""

from typing import Any

import jax
import jax.numpy as jnp


def average_start(params: Any) -> Any:
    """The average before the first step: a copy, in float32 at least.

    An average in bfloat16 would not move, as its last digit is larger than what is
    added.

    Args:
        params: Initial parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> average_start({"W": jnp.ones(2, jnp.bfloat16)})
        {'W': Array([1., 1.], dtype=float32)}
    """
    return jax.tree.map(
        lambda x: jnp.array(x, jnp.promote_types(x.dtype, jnp.float32)), params
    )


def average_update(average: Any, params: Any, decay: Any, count: Any = None) -> Any:
    """The average a step later.

        average + s (params - average),     s = 1 - decay, or
                                            s = (1 - decay) / (1 - decay^count)

    Args:
        average: What `average_start` gave, or this function.
        params: Parameters after the step.
        decay: d, in [0, 1): a number, which may be traced.
        count: How many steps there have been, this among them, t: for the debiased
            average. The plain one, if left out.

    Returns:
        The average, of the same types as before.

    Example:
        >>> import jax.numpy as jnp
        >>> average = average_start(jnp.asarray(0.0))
        >>> print(average_update(average, jnp.asarray(1.0), 0.9))
        0.1
        >>> print(average_update(average, jnp.asarray(1.0), 0.9, count=1))
        1.0

    Source: Polyak & Juditsky, Acceleration of stochastic approximation by averaging
    (1992); Kingma & Ba, arXiv 1412.6980, section 3, for the correction.
    """
    import optax  # here: it adds a quarter to the time of `import jax`

    share = 1 - decay if count is None else (1 - decay) / (1 - decay**count)
    moved = optax.incremental_update(params, average, share)
    return jax.tree.map(lambda new, old: new.astype(old.dtype), moved, average)
