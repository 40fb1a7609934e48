"""A backward rule: how the error signal travels, in one place of the graph.

Universal backpropagation (Li & Shan, arXiv 1805.03551, equations 4 and 5) sends

    dL/dY_H = sum over P in OUT(H) of delta_P . dU_P/dY_H        over the edges
    delta_H = dL/dY_H . dcap_H/dU_H                              through the function

A rule takes the place of one of the three: of a term of the sum (`acts = "edge"`), of
the product with dcap/dU (`acts = "function"`), or of the sum (`acts = "capsule"`). The
gradients dL/dW = delta . dU/dW and dL/dB = delta are always those of the paper, with
the delta that the rules made.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import jax

from capsjax.graph.kinds import BACKWARDS, BackwardKind, Registry, Shape
from capsjax.weightings.base import Weighting


class Crossing(NamedTuple):
    """The edge over which an error signal travels back.

    Attributes:
        weighting: The operation.
        shape: Shape of Y of the source, batch axis first.
        feedback: What the rule carries for this edge in the state, or None.
    """

    weighting: Weighting
    shape: Shape
    feedback: Any

    def input_gradient(self, w: Any, delta: jax.Array) -> jax.Array:
        """`delta . dU/dY` with the given W: the exact rule, if it is the edge's own."""
        return self.weighting.input_gradient(w, delta, self.shape)


class BackwardRule(BackwardKind):
    """Base of every backward rule: see the module's docstring.

    A rule on edges declares `signal`, one on functions `through`. Settings are its
    fields.
    """

    reads: ClassVar[tuple[Literal["Y"], ...]] = ("Y",)
    """Of rules on edges: whether Y is read, which must then be kept. Of an edge with a
    weight it is kept anyway."""

    exact_within: ClassVar[bool] = True
    """Of rules on functions: whether the exact rule is asked for."""

    def signal(
        self, delta: jax.Array, w: Any, y: Any, key: Any, edge: Crossing
    ) -> jax.Array:
        """What an edge Z -> P sends back: its term of dL/dY_Z.

        Args:
            delta: Error signal of P, batch axis first.
            w: W of the edge; None if it has none.
            y: Y of Z, if the rule reads it, else None.
            key: A random key of this edge's own; None in inference, and for rules that
                do not draw.
            edge: The edge.

        Returns:
            An array of the shape of Y of Z, `edge.shape`.
        """
        raise TypeError(f"{type(self).__name__} declares no signal")

    def through(
        self, dy: jax.Array, exact: Callable[[jax.Array], jax.Array]
    ) -> jax.Array:
        """delta = dL/dU of a capsule from dL/dY.

        Args:
            dy: dL/dY, batch axis first.
            exact: The exact rule, `dL/dY -> dL/dY . dcap/dU`.

        Returns:
            An array of the shape of U.
        """
        raise TypeError(f"{type(self).__name__} declares no through")

    def initial_feedback(
        self, drawn: Callable[[], jax.Array], weight: Callable[[], jax.Array]
    ) -> jax.Array:
        """What a rule on an edge carries, before the first step.

        Args:
            drawn: Draws an array as the edge's weight is drawn, but another one.
            weight: Gives the initial weight.
        """
        return drawn()

    def next_feedback(self, feedback: jax.Array) -> jax.Array:
        """What is carried after a step of training, if the rule learns."""
        raise TypeError(f"{type(self).__name__} declares no next_feedback")


def register_backward(kind: str):
    """Enters a backward rule of your own in the table, as a class decorator.

    It is then valid in Python (`cj.backward` names, records) and in documents.

    Args:
        kind: The name in documents, an identifier.

    Returns:
        The decorator, for a subclass of `cj.BackwardRule` that declares `signal`, and
        `draws = True` if it takes a key.

    Raises:
        ValueError: Another record has the name already.

    Example:
        >>> import capsjax as cj, jax
        >>> @cj.register_backward("doctest_only_positive")
        ... class OnlyPositive(cj.BackwardRule):
        ...     def signal(self, delta, w, y, key, edge):
        ...         return edge.input_gradient(abs(w), delta)
        >>> x = cj.input("x", (3,))
        >>> h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
        >>> y = cj.capsule("y", cj.matmul(h, 2), backward="doctest_only_positive")
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
    """
    table: Registry[Any] = BACKWARDS
    return table.register(kind)
