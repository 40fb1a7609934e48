"""One step of training: Algorithm 1 of the paper, and any optimizer of optax.

Algorithm 1 (Li & Shan, arXiv 1805.03551) in our notation; its step 2, the initial
values, is taken once, before the first iteration (`Network.init`):

    forward:   for each capsule in topological order, U_H and Y_H
    backward:  for each capsule in reverse, delta_H by equations (4) and (5)
    update:    W[Z->H] <- W[Z->H] - eta delta_H . dU_H/dW[Z->H]
               B_H     <- B_H     - eta delta_H
"""

from collections.abc import Mapping
from typing import Any

import jax

from capsjax.compiler import Network


def algorithm_1(
    net: Network,
    params: Any,
    state: Any,
    batch: Mapping[str, Any],
    learning_rate: Any,
    key: jax.Array | None = None,
) -> tuple[Any, Any, jax.Array]:
    """One iteration of the paper's universal backpropagation: plain gradient descent.

    Args:
        net: The network.
        params: Parameters.
        state: State.
        batch: Inputs and targets by name.
        learning_rate: eta, a number or a scalar array (which may be swept by vmap).
        key: Random key for capsule functions that draw.

    Returns:
        `(params, state, loss)`: updated parameters and state, and the loss before.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> params, state = net.init(jax.random.key(0))
        >>> batch = {"x": jax.numpy.ones((4, 2)), "y": jax.numpy.ones((4, 1))}
        >>> step = jax.jit(cj.algorithm_1, static_argnums=0)
        >>> for _ in range(20):
        ...     params, state, loss = step(net, params, state, batch, 0.1)
        >>> bool(loss < 1e-3)
        True

    Source: Li & Shan, arXiv 1805.03551, Algorithm 1.
    """
    gradient = jax.value_and_grad(net.loss, has_aux=True)
    (loss, (_, state)), gradients = gradient(params, state, batch, key=key)

    def descend(parameter, derivative):
        return parameter - (learning_rate * derivative).astype(parameter.dtype)

    return jax.tree.map(descend, params, gradients), state, loss


def optimizer_step(
    net: Network,
    optimizer: Any,
    params: Any,
    state: Any,
    optimizer_state: Any,
    batch: Mapping[str, Any],
    key: jax.Array | None = None,
    settings: Mapping[str, Any] | None = None,
    weights: Any = None,
    scale: Any = None,
) -> tuple[Any, Any, Any, jax.Array, dict[str, jax.Array]]:
    """One step of an optax optimizer.

    Args:
        net: The network.
        optimizer: An `optax.GradientTransformation`.
        params: Parameters.
        state: State.
        optimizer_state: The optimizer's state, `optimizer.init(params)` at first.
        batch: Inputs and targets by name.
        key: Random key for capsule functions that draw.
        settings: Traced settings of the network by name.
        weights: What each example counts, [B]; None where all count the same.
        scale: Factor of the updates, as of a learning rate; None for 1.

    Returns:
        `(params, state, optimizer_state, loss, outputs)`.
    """
    import optax  # here: it adds a quarter to the time of `import jax`

    gradient = jax.value_and_grad(net.loss, has_aux=True)
    more = {} if weights is None else {"weights": weights}
    (loss, (outputs, state)), gradients = gradient(
        params, state, batch, key=key, settings=settings, **more
    )
    updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
    if scale is not None:
        updates = jax.tree.map(lambda each: (scale * each).astype(each.dtype), updates)
    params = optax.apply_updates(params, updates)
    return params, state, optimizer_state, loss, outputs
