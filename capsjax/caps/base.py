"""A capsule function: any map from one tensor U to one tensor Y.

The backward rule turns dL/dY into the error signal `delta = dL/dU = dL/dY . dY/dU`. It
may read U, Y, both or neither, and says so in `reads`, because what it reads must be
kept from the forward pass: relu, sigmoid and their like read Y alone, which the next
capsule's weight gradient needs anyway. The default reads U and takes `jax.vjp`.

Most functions are maps of U alone: `forward` and `backward` are all there is to them.
Some carry state from step to step (running statistics), draw in training (dropout), or
have parameters of their own. These declare `state_shapes`, `draws`, `parameter_shapes`,
and override the general form, `run` and `run_backward`, which the compiler calls:

    run(U, context)                         -> Y, new state, residual
    run_backward(residual, U, Y, dL/dY, ...) -> dL/dU, dL/d(own parameters)

State is never differentiated: neither Y by it, nor it by U.

All arrays carry a leading batch axis; shapes in the rules are per example. Y has the
type of U, and dL/dU that of dL/dY. Sums, exponentials and logarithms of the library's
functions are taken in float32 at least (`wide`), whatever that type is.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from capsjax.algorithms import Choice
from capsjax.graph.kinds import CAPS, CapKind, Registry, Shape

Kept = Literal["U", "Y"]
Own = dict[str, jax.Array]


class Context(NamedTuple):
    """What a capsule function is given beside U.

    Attributes:
        params: Its own parameters, as `parameter_shapes` declares them.
        state: What it carries, as `state_shapes` declares it.
        key: A random key of this capsule's own; None in inference, and for functions
            that do not draw.
        train: Whether this is training: batch statistics are taken, things are drawn.
    """

    params: Own
    state: Own
    key: Any
    train: bool


class Cap(CapKind):
    """Base of every capsule function: see the module's docstring."""

    reads: ClassVar[tuple[Kept, ...]] = ("U",)
    """What the backward rule reads; the other argument is None."""

    gain: ClassVar[float] = 1.0
    """Factor of the initial weights' scale that keeps the scale of Y."""

    def forward(self, u: jax.Array) -> jax.Array:
        """`Y = cap(U)`, batch axis first."""
        raise TypeError(f"{type(self).__name__} declares no forward")

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        """`delta = dL/dU` from dL/dY; `u_shape` has the batch axis."""
        return jax.vjp(self.forward, u)[1](dy)[0]

    def choices(self, shape: Shape) -> dict[str, Choice]:
        """The roles with a choice of algorithms, for U of shape `[B, ...]`:
        "forward", "input gradient"."""
        return {}

    def run(self, u: jax.Array, context: Context) -> tuple[jax.Array, Own, Any]:
        """`(Y, new state, residual)`: the general form of `forward`.

        The residual is any pytree of arrays that `run_backward` needs beside U and Y.
        """
        return self.forward(u), {}, ()

    def run_backward(
        self,
        residual: Any,
        u: Any,
        y: Any,
        dy: jax.Array,
        u_shape: Shape,
        context: Context,
    ) -> tuple[jax.Array, Own]:
        """`(dL/dU, dL/d(own parameters))`: the general form of `backward`.

        The context is that of `run`, without the key: what was drawn is kept in the
        residual.
        """
        return self.backward(u, y, dy, u_shape), {}

    def initial_state(self, shape: Shape, dtype: Any) -> Own:
        """What the state is before the first step; zeros, if nothing else is said."""
        return {k: jnp.zeros(s, dtype) for k, s in self.state_shapes(shape).items()}

    def initial_parameters(self, key: jax.Array, shape: Shape, dtype: Any) -> Own:
        """Draws the function's own parameters; zeros, if nothing else is said."""
        return {k: jnp.zeros(s, dtype) for k, s in self.parameter_shapes(shape).items()}


def wide(array: jax.Array) -> jax.Array:
    """The array in float32 at least: sums of many halves lose their digits."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def is_plain(cap: CapKind, shape: Shape) -> bool:
    """Whether a capsule function is a map of U alone."""
    return not (cap.draws or cap.state_shapes(shape) or cap.parameter_shapes(shape))


def register_cap(kind: str):
    """Enters a capsule function of your own in the table, as a class decorator.

    Args:
        kind: The name in documents, an identifier.

    Returns:
        The decorator, for a subclass of `cj.Cap` that declares `forward`, and
        `output_shape` where Y has another shape than U.

    Raises:
        ValueError: Another record has the name already.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> @cj.register_cap("doctest_cube")
        ... class Cube(cj.Cap):
        ...     def forward(self, u): return u**3
        >>> x = cj.input("x", (2,))
        >>> graph = cj.graph(cj.capsule("h", cj.identity(x), cap="doctest_cube"))
        >>> net = cj.compile(graph)
        >>> params, state = net.init(jax.random.key(0))
        >>> net.apply(params, state, {"x": jnp.array([[1.0, 2.0]])})[0]["h"]
        Array([[1., 8.]], dtype=float32)
    """
    table: Registry[Any] = CAPS
    return table.register(kind)
