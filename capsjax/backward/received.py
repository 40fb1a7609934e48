"""Rules for what a capsule receives as dL/dY, in place of what its readers send."""

from typing import Any, ClassVar

import jax

from capsjax.backward.base import BackwardRule, register_backward
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Place, Shape
from capsjax.normal import normal


@register_backward("direct_feedback_alignment")
class DirectFeedbackAlignment(BackwardRule):
    """`dL/dY_H = sum over outputs o of delta_o B_oH`: the outputs' errors, straight.

    The sum is over the outputs with a loss that H leads to. B_oH is a fixed matrix of
    shape [size of U_o, size of Y_H], drawn from a normal distribution with standard
    deviation 1 / sqrt(size of U_o); delta_o and Y_H are taken flat. For the whole graph
    the rule holds for every capsule with parameters that is no such output itself:
    what has none between them passes no error on that anything would hear.

    Shapes:
        `delta_o [size of U_o]`, `B_oH [size of U_o, size of Y_H] ->
        dL/dY_H` of Y_H.

    Laws:
        Linear in the outputs' deltas; reads no W.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (4,))
        >>> rule = "direct_feedback_alignment"
        >>> h = cj.capsule("h", cj.matmul(x, 3), cap="tanh", backward=rule)
        >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
        >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
        >>> params, state = net.init(jax.random.key(0))
        >>> [matrix.shape for matrix in jax.tree.leaves(state["h"])]
        [(2, 3)]

    Source: Nøkland, "Direct feedback alignment provides learning in deep neural
    networks", NeurIPS 2016, arXiv 1609.01596.
    """

    acts: ClassVar[Place] = "capsule"

    def outputs(self, own_loss: bool, reached: list[str]) -> list[str]:
        """The outputs whose error signals are taken."""
        if own_loss:
            raise ShapeError(
                "an output with a loss of its own",
                "a hidden capsule",
                "remove the rule: its error is the output's already",
            )
        if not reached:
            raise ShapeError(
                "no output with a loss that the capsule leads to",
                "at least one, whose error is sent",
                'declare a loss: cj.graph(..., losses={"digit": "cross_entropy"})',
            )
        return reached

    def initial_matrix(self, shape: Shape, key: jax.Array, dtype: Any) -> jax.Array:
        """B of one output."""
        return normal(key, shape, dtype) / shape[0] ** 0.5


@register_backward("local")
class Local(BackwardRule):
    """A capsule learns from its own loss alone: what its readers send is not heard.

    `dL/dY_H = dLoss(Y_H, T_H)/dY_H`.

    Shapes:
        `dL/dY_H [...]`, of Y_H.

    Laws:
        Does not read what readers send.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (4,))
        >>> h = cj.capsule("h", cj.matmul(x, 2), cap="softmax", backward="local")
        >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
        >>> losses = {"h": "cross_entropy", "y": "cross_entropy"}
        >>> net = cj.compile(cj.graph(h, y, losses=losses))

    Source: Nøkland & Eidnes, "Training neural networks with local error signals", ICML
    2019, arXiv 1901.06656.
    """

    acts: ClassVar[Place] = "capsule"

    def outputs(self, own_loss: bool, reached: list[str]) -> list[str]:
        """None."""
        if not own_loss:
            raise ShapeError(
                "no loss on the capsule",
                "an output with a loss of its own",
                "list it among the outputs, and give it a loss",
            )
        return []
