"""Elementwise capsule functions; where dY/dU is a function of Y, Y alone is read.

Each rule is `delta = dY * f'(U)`, with f' written in what is read:

    relu        1 where Y > 0, else 0          leaky_relu  1 where Y > 0, else slope
    elu         1 where Y > 0, else Y + alpha  selu        the same, scaled
    sigmoid     Y (1 - Y)                      tanh        1 - Y^2
    softplus    1 - exp(-Y)                    gelu        Phi(U) + U phi(U), by JAX
    scaled_tanh scale steepness (1 - (Y / scale)^2)
    silu        s (1 + U (1 - s)) with s = sigmoid(U)
"""

import math
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Gt

from capsjax.caps.base import Cap, Kept, register_cap
from capsjax.graph.kinds import Shape

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


class _NumberByNumber(Cap):
    """`Y[i] = f(U[i])`."""

    elementwise: ClassVar[bool] = True


class _Elementwise(_NumberByNumber):
    """`delta = dY * slope(what is read)`."""

    reads: ClassVar[tuple[Kept, ...]] = ("Y",)

    def slope(self, read: jax.Array) -> jax.Array:
        raise TypeError(f"{type(self).__name__} declares no slope")

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return dy * self.slope(u if y is None else y)


@register_cap("identity")
class Identity(_NumberByNumber):
    """`Y = U`.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        Y is U; delta is dL/dY.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.identity().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-1.,  2.]], dtype=float32)
    """

    reads: ClassVar[tuple[Kept, ...]] = ()

    def forward(self, u: jax.Array) -> jax.Array:
        return u

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return dy

    def flops(self, shape: Shape) -> int:
        return 0


@register_cap("relu")
class Relu(_NumberByNumber):
    """`Y = max(U, 0)`; the slope at 0 is 0.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `Y >= 0`; `cap(cap(U)) = cap(U)`; `cap(a U) = a cap(U)` for `a > 0`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.relu().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[0., 2.]], dtype=float32)
    """

    reads: ClassVar[tuple[Kept, ...]] = ("Y",)
    gain: ClassVar[float] = math.sqrt(2.0)

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.relu(u)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return jnp.where(y > 0, dy, 0)


@register_cap("leaky_relu")
class LeakyRelu(_Elementwise):
    """`Y = U where U >= 0, else slope * U`.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `cap(a U) = a cap(U)` for `a > 0`; strictly increasing.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.leaky_relu().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-0.01,  2.  ]], dtype=float32)
    """

    gain: ClassVar[float] = math.sqrt(2.0)

    negative_slope: Annotated[float, Gt(0)] = 0.01

    def forward(self, u: jax.Array) -> jax.Array:
        return jnp.where(u >= 0, u, self.negative_slope * u)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return jnp.where(y >= 0, dy, self.negative_slope * dy)


@register_cap("elu")
class Elu(_Elementwise):
    """`Y = U where U > 0, else alpha (exp(U) - 1)`.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `Y > -alpha`; strictly increasing.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.elu().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-0.632,  2.   ]], dtype=float32)
    """

    gain: ClassVar[float] = math.sqrt(2.0)

    alpha: Annotated[float, Gt(0)] = 1.0

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.elu(u, self.alpha)

    def slope(self, read: jax.Array) -> jax.Array:
        return jnp.where(read > 0, 1, read + self.alpha)


@register_cap("selu")
class Selu(_Elementwise):
    """`Y = scale * elu(U, alpha)`, constants of Klambauer et al. 2017.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        Strictly increasing; `cap(0) = 0`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.selu().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-1.1110001,  2.101    ]], dtype=float32)
    """

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.selu(u)

    def slope(self, read: jax.Array) -> jax.Array:
        return jnp.where(read > 0, _SELU_SCALE, read + _SELU_SCALE * _SELU_ALPHA)


@register_cap("gelu")
class Gelu(_NumberByNumber):
    """`Y = U Phi(U)`, Phi the normal distribution; or its tanh approximation.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `cap(U) - cap(-U) = U`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.gelu().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-0.15900001,  1.9540001 ]], dtype=float32)
    """

    gain: ClassVar[float] = math.sqrt(2.0)

    approximate: bool = False

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.gelu(u, approximate=self.approximate)


@register_cap("silu")
class Silu(_Elementwise):
    """`Y = U sigmoid(U)`, also called swish.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `cap(U) - cap(-U) = U`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.silu().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-0.26900002,  1.7620001 ]], dtype=float32)
    """

    reads: ClassVar[tuple[Kept, ...]] = ("U",)
    gain: ClassVar[float] = math.sqrt(2.0)

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.silu(u)

    def slope(self, read: jax.Array) -> jax.Array:
        s = jax.nn.sigmoid(read)
        return s * (1 + read * (1 - s))


@register_cap("softplus")
class Softplus(_Elementwise):
    """`Y = log(1 + exp(U))`.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `Y > 0`; `cap(U) - cap(-U) = U`; the slope is sigmoid(U).

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.softplus().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[0.31300002, 2.127     ]], dtype=float32)
    """

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.softplus(u)

    def slope(self, read: jax.Array) -> jax.Array:
        return -jnp.expm1(-read)


@register_cap("sigmoid")
class Sigmoid(_Elementwise):
    """`Y = 1 / (1 + exp(-U))`.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `0 < Y < 1`; `cap(-U) = 1 - cap(U)`; the slope is `Y (1 - Y)`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.sigmoid().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[0.26900002, 0.88100004]], dtype=float32)
    """

    output: ClassVar[str] = "unit"

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(u)

    def slope(self, read: jax.Array) -> jax.Array:
        return read * (1 - read)


@register_cap("tanh")
class Tanh(_Elementwise):
    """`Y = tanh(U)`.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `-1 < Y < 1`; `cap(-U) = -cap(U)`; the slope is `1 - Y^2`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.tanh().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-0.762     ,  0.96400005]], dtype=float32)
    """

    def forward(self, u: jax.Array) -> jax.Array:
        return jnp.tanh(u)

    def slope(self, read: jax.Array) -> jax.Array:
        return 1 - read * read


@register_cap("scaled_tanh")
class ScaledTanh(_Elementwise):
    """`Y = scale tanh(steepness U)`; at the defaults, 1 becomes 1 and -1 becomes -1.

    Args:
        scale: The largest Y.
        steepness: What U is multiplied by.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `|Y| < scale`; `cap(-U) = -cap(U)`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.scaled_tanh().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-1.   ,  1.493]], dtype=float32)

    Source: LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86 (1998), appendix A.
    """

    scale: Annotated[float, Gt(0)] = 1.7159
    steepness: Annotated[float, Gt(0)] = 2 / 3

    def forward(self, u: jax.Array) -> jax.Array:
        return self.scale * jnp.tanh(self.steepness * u)

    def slope(self, read: jax.Array) -> jax.Array:
        return self.scale * self.steepness * (1 - (read / self.scale) ** 2)
