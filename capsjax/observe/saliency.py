"""Gradients of what a network gives, by its inputs or by a capsule inside it.

With f the entry of a tensor that is asked for,

    saliency                df/dX
    integrated gradients    (X - X') * integral over a from 0 to 1 of
                            df/dX at X' + a (X - X')
    between capsules        df/dY_Z, the value of Y_Z taken as if it were given

in inference, of each example on its own. Gradients travel by the network's own backward
rules: with `cj.compile(graph, backward="guided")`, saliency is guided backpropagation.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.batch import take_inputs
from capsjax.graph.errors import listing
from capsjax.observe.part import Tensor, given_on, part_of

Arrays = dict[str, jax.Array]
Entry = int | tuple[int, ...] | jax.Array | np.ndarray | None
"""Which entry of a tensor: see `saliency`."""


def saliency(
    net: Network,
    params: Any,
    state: Any,
    batch: Mapping[str, Any],
    *,
    of: str | None = None,
    tensor: Tensor = "Y",
    entry: Entry = None,
) -> Arrays:
    """The gradient of the loss, or of an entry of a capsule, by the inputs.

    Computed in inference, of each example on its own. It travels by the network's own
    backward rules: guided backpropagation (Springenberg et al. 2015) is the saliency of
    `cj.compile(graph, backward="guided")`.

    Args:
        net: The network.
        params: Parameters.
        state: State.
        batch: Inputs by name; for the loss, targets by output name, too.
        of: The capsule; if left out, each example's own loss.
        tensor: "Y", its output, or "U", its total input: the logits of a softmax.
        entry: Of the capsule's tensor, all its axes taken as one: a number, or
            integers [B], one for each example; or a tuple, axis by axis. If left out,
            the largest of each example.

    Returns:
        By name of each input that is no integers, an array of its shape.

    Raises:
        ValueError: The capsule is unknown, with the nearest name; the entry is out of
            range; the batch, parameters or state do not fit; or all inputs are
            integers.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (4,))
        >>> y = cj.capsule("y", cj.matmul(x, 3), cap="softmax")
        >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
        >>> params, state = net.init(jax.random.key(0))
        >>> inputs = {"x": jnp.ones((2, 4))}
        >>> found = cj.saliency(
        ...     net, params, state, inputs, of="y", tensor="U", entry=1
        ... )
        >>> bool((found["x"] == net.named(params)["y"]["W"]["x"][:, 1]).all())
        True

    Source: Simonyan, Vedaldi, Zisserman, Deep Inside Convolutional Networks, 2013.
    """
    if of is None:
        names = {name for name, _ in net.typed.inputs}
        inputs = {name: array for name, array in batch.items() if name in names}
        targets = {name: array for name, array in batch.items() if name not in names}

        def loss(moved: Arrays) -> jax.Array:
            mean, _ = net.loss(params, state, {**moved, **targets}, train=False)
            return mean * _batch_size(moved)  # each example's own, not 1/B of it

        return _by_inputs(net, loss, inputs)
    value = _value(net, params, state, of, tensor)
    inputs = _inputs(net, batch)
    return _by_inputs(net, lambda moved: jnp.sum(_taken(value(moved), entry)), inputs)


def integrated_gradients(
    net: Network,
    params: Any,
    state: Any,
    inputs: Mapping[str, Any],
    *,
    of: str,
    tensor: Tensor = "Y",
    entry: Entry = None,
    baseline: Mapping[str, Any] | None = None,
    steps: int = 64,
) -> Arrays:
    """What each number of the inputs adds to an entry of a capsule.

    Gradients on the way from a baseline X' to the inputs X, integrated by the midpoint
    rule; inputs that are integers stay as they are:

        (X - X') * mean over i of df/dX at X' + (i + 1/2) / steps * (X - X')

    With exact gradients, and as many steps as it takes, all that is returned for an
    example adds up to f(X) - f(X').

    Args:
        net: The network.
        params: Parameters.
        state: State.
        inputs: Inputs by name.
        of: The capsule.
        tensor: "Y", its output, or "U", its total input.
        entry: Which of its entries, as for `saliency`; where it is the largest, it is
            that of the inputs, all the way.
        baseline: By name of an input, what stands for the absence of everything, of
            the input's shape or one that broadcasts to it; zero where left out.
        steps: Number of points.

    Returns:
        By name of each input that is no integers, an array of its shape.

    Raises:
        ValueError: As for `saliency`; there are no steps; or a baseline is unknown or
            does not fit.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (4,))
        >>> y = cj.capsule("y", cj.matmul(x, 1), cap="tanh")
        >>> net = cj.compile(cj.graph(y))
        >>> params, state = net.init(jax.random.key(0))
        >>> inputs = {"x": jnp.ones((1, 4))}
        >>> found = cj.integrated_gradients(net, params, state, inputs, of="y")
        >>> outputs, _ = net.apply(params, state, inputs)
        >>> bool(abs(found["x"].sum() - outputs["y"][0, 0]) < 1e-4)
        True

    Source: Sundararajan, Taly, Yan, Axiomatic Attribution for Deep Networks, 2017.
    """
    if steps < 1:
        raise ValueError(f"found steps={steps}; expected at least 1")
    value = _value(net, params, state, of, tensor)
    arrays = _inputs(net, inputs)
    fixed = _fixed(value(arrays), entry)
    first = _baseline(net, arrays, baseline or {})
    way = {name: arrays[name] - first[name] for name in first}

    def gradient(sums: Arrays, at: jax.Array) -> tuple[Arrays, None]:
        there = {n: first[n] + at.astype(a.dtype) * a for n, a in way.items()}

        def chosen(moved: Arrays) -> jax.Array:
            return jnp.sum(_taken(value({**arrays, **moved}), fixed))

        return jax.tree.map(jnp.add, sums, jax.grad(chosen)(there)), None

    points = (jnp.arange(steps) + 0.5) / steps
    sums, _ = jax.lax.scan(gradient, jax.tree.map(jnp.zeros_like, way), points)
    return {name: way[name] * sums[name] / steps for name in way}


def gradient_between(
    net: Network,
    params: Any,
    state: Any,
    inputs: Mapping[str, Any],
    *,
    of: str,
    by: str,
    tensor: Tensor = "Y",
    entry: Entry = None,
) -> jax.Array:
    """The gradient of an entry of one capsule by Y of another one.

    Y of the other capsule is what the inputs give, and then taken as if it were given
    itself: every path from it to the first capsule counts, and no other.

    Args:
        net: The network.
        params: Parameters.
        state: State.
        inputs: Inputs by name.
        of: The capsule that is differentiated.
        by: The capsule, or input, by whose Y it is.
        tensor: "Y", the output of `of`, or "U", its total input.
        entry: Which of its entries, as for `saliency`; it may be a traced number: the
            whole Jacobian is `jax.vmap` over `entry=`.

    Returns:
        An array of shape [B, *shape of Y of `by`], of each example on its own.

    Raises:
        ValueError: As for `saliency`; or `by` does not lead to `of`.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (4,))
        >>> h = cj.capsule("h", cj.matmul(x, 3), cap="tanh")
        >>> y = cj.capsule("y", cj.matmul(h, 2))
        >>> net = cj.compile(cj.graph(y))
        >>> params, state = net.init(jax.random.key(0))
        >>> inputs = {"x": jnp.ones((5, 4))}
        >>> def row(entry):
        ...     return cj.gradient_between(
        ...         net, params, state, inputs, of="y", by="h", entry=entry
        ...     )
        >>> jax.vmap(row, out_axes=1)(jnp.arange(2)).shape
        (5, 2, 3)
    """
    part = part_of(net, of, tensor, by)
    own_params, own_state = given_on(net, part, params, state)
    arrays = dict(_inputs(net, inputs))
    if by not in arrays:
        arrays[by] = net.activations(params, state, arrays, only=[by])[by]["Y"]
    arrays = {name: arrays[name] for name, _ in part.typed.inputs}

    def chosen(y: jax.Array) -> jax.Array:
        outputs, _ = part.apply(own_params, own_state, {**arrays, by: y})
        return jnp.sum(_taken(outputs[of], entry))

    return jax.grad(chosen)(arrays[by])


def _value(
    net: Network, params: Any, state: Any, of: str, tensor: Tensor
) -> Callable[[Arrays], jax.Array]:
    """A tensor of a capsule as a function of the inputs."""
    whole = of in net.typed.outputs and tensor == "Y"
    part = net if whole else part_of(net, of, tensor)
    if not whole:
        params, state = given_on(net, part, params, state)
    needed = {name for name, _ in part.typed.inputs}

    def value(inputs: Arrays) -> jax.Array:
        own = {name: array for name, array in inputs.items() if name in needed}
        return part.apply(params, state, own)[0][of]

    return value


def _inputs(net: Network, batch: Mapping[str, Any]) -> Arrays:
    """The inputs of a batch, which may hold targets, too."""
    outputs = set(net.typed.outputs)
    given = {name: array for name, array in batch.items() if name not in outputs}
    return take_inputs(net.typed, given)


def _by_inputs(
    net: Network, value: Callable[[Arrays], jax.Array], inputs: Mapping[str, Any]
) -> Arrays:
    """The gradient of a number by all inputs that are no integers."""
    real = {n: jnp.asarray(a) for n, a in inputs.items() if n not in net.typed.integers}
    _require_real(net, real)
    return jax.grad(lambda moved: value({**inputs, **moved}))(real)


def _require_real(net: Network, real: Arrays) -> None:
    if not real:
        raise ValueError(
            f"network {net.graph.name!r} has no inputs but integers, which nothing is "
            "differentiated by; cure: cj.gradient_between(..., by=) the capsule that "
            "embeds them"
        )


def _baseline(net: Network, arrays: Arrays, given: Mapping[str, Any]) -> Arrays:
    real = {n: a for n, a in arrays.items() if n not in net.typed.integers}
    _require_real(net, real)
    for name in given:
        if name not in real:
            raise ValueError(
                f"found a baseline for {name!r}; expected it for "
                f"{listing(map(repr, real))}"
            )
    found = {}
    for name, array in real.items():
        try:
            first = jnp.asarray(given.get(name, 0), array.dtype)
            found[name] = jnp.broadcast_to(first, array.shape)
        except ValueError:
            raise ValueError(
                f"baseline of {name!r}: found shape {jnp.shape(given[name])}; expected "
                f"{array.shape}, or one that broadcasts to it"
            ) from None
    return found


def _taken(tensor: jax.Array, entry: Entry) -> jax.Array:
    """The chosen entry of each example, [B]."""
    flat = tensor.reshape(tensor.shape[0], -1)
    chosen = _fixed(tensor, entry)
    return jnp.take_along_axis(flat, chosen[:, None], axis=1)[:, 0]


def _fixed(tensor: jax.Array, entry: Entry) -> jax.Array:
    """The number of the chosen entry of each example, all axes taken as one, [B]."""
    size, shape = tensor.shape[0], tensor.shape[1:]
    flat = tensor.reshape(size, -1)
    if entry is None:
        return jnp.argmax(flat, axis=1)
    if isinstance(entry, tuple):
        inside = len(entry) == len(shape) and all(
            0 <= i < n for i, n in zip(entry, shape, strict=True)
        )
        if not inside:
            raise ValueError(f"found entry={entry}; expected one of shape {shape}")
        entry = int(np.ravel_multi_index(entry, shape)) if shape else 0
    numbers = jnp.asarray(entry)
    if not jnp.issubdtype(numbers.dtype, jnp.integer) or numbers.shape not in (
        (),
        (size,),
    ):
        raise ValueError(
            f"found entry of type {numbers.dtype}, shape {numbers.shape}; expected an "
            f"integer, or one for each of {size} examples"
        )
    known = None if isinstance(entry, jax.core.Tracer) else np.asarray(entry)
    if known is not None and not ((known >= 0) & (known < flat.shape[1])).all():
        raise ValueError(
            f"found entry={entry}; expected from 0 to {flat.shape[1] - 1}, the entries "
            f"of shape {shape}"
        )
    return jnp.broadcast_to(numbers, (size,))


def _batch_size(inputs: Arrays) -> int:
    return next(iter(inputs.values())).shape[0]
