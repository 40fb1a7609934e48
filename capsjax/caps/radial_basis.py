"""radial_basis: how near a vector is to fixed centers.

Y[i] = -|U - C[i]|^2              delta = -2 sum over i of dY[i] (U - C[i])
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Len

from capsjax.caps.base import Cap, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape


@register_cap("radial_basis")
class RadialBasis(Cap):
    """`Y[i] = -|U - C[i]|^2` with fixed centers of +1 and -1.

    Y is the logarithm, up to a constant, of a normal distribution's density around
    each center. Softmax of it is the probability of each center.

    Args:
        centers: Each center as text, a character for each number: `#` for +1, any
            other for -1.

    Shapes:
        `U [..., size of a center] -> Y [..., centers]`.

    Laws:
        `Y <= 0`, and 0 at a center alone.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.radial_basis(("#.", "##")).forward(jnp.array([[1.0, 0.0]]))
        Array([[-1., -1.]], dtype=float32)

    Source: LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86 (1998), equation 7.
    """

    centers: Annotated[tuple[str, ...], Len(1)]

    def output_shape(self, shape: Shape) -> Shape:
        sizes = sorted({len(center) for center in self.centers})
        if len(shape) != 1 or sizes != [*shape]:
            raise ShapeError(
                f"U of shape {shape}, centers of {', '.join(map(str, sizes))} numbers",
                "a vector, and centers of as many numbers",
                "reshape the source, or correct the centers",
            )
        return (len(self.centers),)

    def forward(self, u: jax.Array) -> jax.Array:
        return -jnp.sum(self._apart(u) ** 2, -1).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        weighted = wide(dy)[..., None] * self._apart(u)
        return (-2 * jnp.sum(weighted, -2)).astype(dy.dtype)

    def _apart(self, u: jax.Array) -> jax.Array:
        """U - C, for each center."""
        centers = np.array([[1 if c == "#" else -1 for c in x] for x in self.centers])
        return wide(u)[:, None] - centers

    def flops(self, shape: Shape) -> int:
        return 3 * len(self.centers) * shape[0]
