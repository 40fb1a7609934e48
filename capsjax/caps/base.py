"""A capsule function: any map from one tensor U to one tensor Y.

The backward rule turns dL/dY into the error signal `delta = dL/dU = dL/dY . dY/dU`. It
may read U, Y, both or neither, and says so in `reads`, because what it reads must be
kept from the forward pass: relu, sigmoid and their like read Y alone, which the next
capsule's weight gradient needs anyway. The default reads U and takes `jax.vjp`.

All arrays carry a leading batch axis; shapes in the rules are per example.
"""

from typing import Any, ClassVar, Literal

import jax

from capsjax.graph.kinds import CAPS, CapKind, Registry, Shape

Kept = Literal["U", "Y"]


class Cap(CapKind):
    """Base of every capsule function: see the module's docstring."""

    reads: ClassVar[tuple[Kept, ...]] = ("U",)
    """What `backward` reads; the other argument is None."""

    gain: ClassVar[float] = 1.0
    """Factor of the initial weights' scale that keeps the scale of Y."""

    def forward(self, u: jax.Array) -> jax.Array:
        """`Y = cap(U)`, batch axis first."""
        raise TypeError(f"{type(self).__name__} declares no forward")

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        """`delta = dL/dU` from dL/dY; `u_shape` has the batch axis."""
        return jax.vjp(self.forward, u)[1](dy)[0]


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
