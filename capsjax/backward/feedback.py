"""Rules with feedback weights: B in place of W where the error signal goes back.

    exact    dL/dY_Z = delta_P . dU_P/dY_Z at W    = input_gradient(W, delta_P)
    these    dL/dY_Z = delta_P . dU_P/dY_Z at B    = input_gradient(B, delta_P)

B has the shape of W. Since (x) is bilinear, dU/dY depends on the weight alone, so the
rules serve for every operation with a weight: products, convolutions, votes, scales.
B is a constant of the backward pass, not differentiated.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le

from capsjax.backward.base import BackwardRule, Crossing, register_backward
from capsjax.graph.kinds import Shape


class _Feedback(BackwardRule):
    """Sends the error signal back over feedback weights."""

    weighted: ClassVar[bool] = True
    swaps_weight: ClassVar[bool] = True
    reads: ClassVar[tuple[()]] = ()

    def weights(self, w: jax.Array, feedback: Any, fan_in: Any) -> jax.Array:
        """The feedback weights B, from W and what is carried."""
        raise TypeError(f"{type(self).__name__} declares no weights")

    def constant(self, w: jax.Array, feedback: Any, fan_in: Any) -> jax.Array:
        """The same as a constant of the backward pass, in the type of W."""
        b = jax.lax.stop_gradient(self.weights(w, feedback, fan_in))
        return b.astype(w.dtype)

    def signal(
        self, delta: jax.Array, w: Any, y: Any, key: Any, edge: Crossing
    ) -> jax.Array:
        fan_in = edge.weighting.fan_in(edge.shape[1:])
        return edge.input_gradient(self.constant(w, edge.feedback, fan_in), delta)


@register_backward("feedback_alignment")
class FeedbackAlignment(_Feedback):
    """Feedback weights B that are drawn like W, and stay as they are.

    `dL/dY = input_gradient(B, delta)`.

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        Linear in delta; does not read W.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> b = jnp.array([[2.0], [5.0]])                   # fixed, in the state
        >>> edge = cj.backward.Crossing(cj.weightings.Matmul(1), (1, 2), b)
        >>> delta, w = jnp.array([[1.0]]), jnp.array([[3.0], [-4.0]])
        >>> cj.backward.feedback_alignment().signal(delta, w, None, None, edge)
        Array([[2., 5.]], dtype=float32)

    Source: Lillicrap, Cownden, Tweed & Akerman, "Random synaptic feedback weights
    support error backpropagation for deep learning", Nature Communications 7, 2016.
    """

    def feedback_shape(self, weight_shape: Shape | None) -> Shape | None:
        return weight_shape

    def weights(self, w: jax.Array, feedback: Any, fan_in: Any) -> jax.Array:
        return feedback


@register_backward("sign_symmetric")
class SignSymmetric(_Feedback):
    """Feedback weights B = sign(W) / sqrt(fan-in): the signs of W alone.

    The factor is the standard deviation with which W is drawn, without the gain.

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        Linear in delta; reads the signs of W alone.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> edge = cj.backward.Crossing(cj.weightings.Matmul(1), (1, 4), None)
        >>> delta, w = jnp.array([[1.0]]), jnp.array([[3.0], [-4.0], [0.1], [0.0]])
        >>> cj.backward.sign_symmetric().signal(delta, w, None, None, edge)
        Array([[ 0.5, -0.5,  0.5,  0. ]], dtype=float32)

    Source: Liao, Leibo & Poggio, "How important is weight symmetry in
    backpropagation?", AAAI 2016, arXiv 1510.05067.
    """

    def weights(self, w: jax.Array, feedback: Any, fan_in: Any) -> jax.Array:
        return jnp.sign(w) / fan_in**0.5


@register_backward("kolen_pollack")
class KolenPollack(_Feedback):
    """Feedback weights that learn: W and B get the same update and the same decay.

    In the publication, with a step -eta G for W,

        W[t + 1] = (1 - decay) W[t] - eta G[t]
        B[t + 1] = (1 - decay) B[t] - eta G[t]

    so that B - W shrinks by (1 - decay) at every step, whatever the update was. The
    state carries that difference D, drawn so that B is at first independent of W, and
    B = W + D. The decay of W is the optimizer's: the same number makes both equal to
    the publication (`optax.adamw`'s is multiplied by the learning rate).

    Shapes:
        `delta` of U of the reader `-> dL/dY` of Y of the source.

    Laws:
        Linear in delta; with `D = 0` it is exact.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> rule, difference = cj.backward.kolen_pollack(decay=0.5), jnp.array([4.0])
        >>> rule.next_feedback(difference)
        Array([2.], dtype=float32)

    Source: Akrout, Wilson, Humphreys, Lillicrap & Tweed, "Deep learning without weight
    transport", NeurIPS 2019, arXiv 1904.05391; Kolen & Pollack, 1994.
    """

    learns: ClassVar[bool] = True

    decay: Annotated[float, Ge(0), Le(1)] = 0.001

    def feedback_shape(self, weight_shape: Shape | None) -> Shape | None:
        return weight_shape

    def initial_feedback(
        self, drawn: Callable[[], jax.Array], weight: Callable[[], jax.Array]
    ) -> jax.Array:
        return drawn() - weight()

    def next_feedback(self, feedback: jax.Array) -> jax.Array:
        return (1 - self.decay) * feedback

    def weights(self, w: jax.Array, feedback: Any, fan_in: Any) -> jax.Array:
        return w + feedback
