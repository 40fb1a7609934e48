"""Rules that change what an edge sends back, without weights of their own."""

from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt

from capsjax.backward.base import BackwardRule, Crossing, register_backward
from capsjax.graph.kinds import Place


@register_backward("exact")
class Exact(BackwardRule):
    """Universal backpropagation as it is: every signal is the true derivative.

    `dL/dY = input_gradient(W, delta)`.

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        The adjoint of the edge: `<delta, W (x) Y> = <dL/dY, Y>`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> edge = cj.backward.Crossing(cj.weightings.Matmul(1), (1, 2), None)
        >>> delta, w = jnp.array([[1.0]]), jnp.array([[3.0], [-4.0]])
        >>> edge.input_gradient(w, delta)
        Array([[ 3., -4.]], dtype=float32)

    Source: Li & Shan, arXiv 1805.03551, equations 4 and 5.
    """

    acts: ClassVar[Place] = "everywhere"


class _OnEdges(BackwardRule):
    reads: ClassVar[tuple[()]] = ()

    def changed(self, sent: jax.Array, key: Any) -> jax.Array:
        """What is sent in place of the exact signal."""
        raise TypeError(f"{type(self).__name__} declares no changed")

    def signal(
        self, delta: jax.Array, w: Any, y: Any, key: Any, edge: Crossing
    ) -> jax.Array:
        return self.changed(edge.input_gradient(w, delta), key)


@register_backward("stop")
class Stop(_OnEdges):
    """Nothing is sent back: what lies below does not learn from this edge.

    `dL/dY = 0`.

    Shapes:
        no signal.

    Laws:
        dL/dY of the edge is 0, and is not computed.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (4,))
        >>> h = cj.capsule("h", cj.matmul(x, 3))
        >>> y = cj.capsule("y", cj.with_backward(cj.matmul(h, 2), "stop"))
        >>> y.incoming[0].backward
        'stop'
    """

    silent: ClassVar[bool] = True


@register_backward("scale")
class Scale(_OnEdges):
    """`factor` times the exact signal; a negative one turns it round.

    `dL/dY = factor input_gradient(W, delta)`.

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        Linear in delta; with `factor = 1` it is exact.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> edge = cj.backward.Crossing(cj.weightings.Matmul(1), (1, 2), None)
        >>> delta, w = jnp.array([[1.0]]), jnp.array([[3.0], [-4.0]])
        >>> cj.backward.scale(0.5).signal(delta, w, None, None, edge)
        Array([[ 1.5, -2. ]], dtype=float32)

    Source: Ganin & Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML
    2015, arXiv 1409.7495, where the factor is negative.
    """

    factor: float

    def changed(self, sent: jax.Array, key: Any) -> jax.Array:
        return sent * self.factor


@register_backward("clip")
class Clip(_OnEdges):
    """The exact signal, of each example scaled down to an L2 norm of at most `norm`.

    `dL/dY = s min(1, norm / |s|)` with `s = input_gradient(W, delta)`.

    Error signals are of the mean over the batch: 1/B of what the example alone gives.

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        No example's signal is longer than `norm`; shorter ones are exact.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> edge = cj.backward.Crossing(cj.weightings.Matmul(1), (1, 2), None)
        >>> delta, w = jnp.array([[1.0]]), jnp.array([[3.0], [-4.0]])
        >>> cj.backward.clip(2.5).signal(delta, w, None, None, edge)
        Array([[ 1.5, -2. ]], dtype=float32)

    Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013, arXiv 1211.5063, there for gradients.
    """

    norm: Annotated[float, Gt(0)]

    def changed(self, sent: jax.Array, key: Any) -> jax.Array:
        wide = sent.astype(jnp.promote_types(sent.dtype, jnp.float32))
        axes = tuple(range(1, sent.ndim))
        squares = jnp.sum(wide**2, axis=axes, keepdims=True)
        limit = self.norm**2
        # The square root is taken where its derivative is finite.
        above = jnp.where(squares > limit, squares, limit)
        return sent * (self.norm / jnp.sqrt(above)).astype(sent.dtype)


@register_backward("noise")
class Noise(_OnEdges):
    """The exact signal and, in training, normal noise with a standard deviation.

    `dL/dY = input_gradient(W, delta) + deviation N`, N standard normal.

    Error signals are of the mean over the batch: 1/B of what the example alone gives.

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        The mean over draws is the exact signal; in inference it is exact.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> edge = cj.backward.Crossing(cj.weightings.Matmul(1), (1, 2), None)
        >>> delta, w = jnp.array([[1.0]]), jnp.array([[3.0], [-4.0]])
        >>> rule = cj.backward.noise(0.1)
        >>> rule.signal(delta, w, None, None, edge)          # inference: without a key
        Array([[ 3., -4.]], dtype=float32)

    Source: Neelakantan et al., "Adding gradient noise improves learning for very deep
    networks", arXiv 1511.06807, there for gradients.
    """

    draws: ClassVar[bool] = True

    deviation: Annotated[float, Ge(0)]

    def changed(self, sent: jax.Array, key: Any) -> jax.Array:
        if key is None:
            return sent
        return sent + self.deviation * jax.random.normal(key, sent.shape, sent.dtype)
