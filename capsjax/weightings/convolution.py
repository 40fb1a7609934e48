"""conv: convolution over one, two or three axes, channels last."""

import math
from typing import Annotated, ClassVar, Literal

import jax
from annotated_types import Len

from capsjax.algorithms import Choice
from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, NonNegative, Shape
from capsjax.graph.windows import Padding, explicit_padding, output_sizes
from capsjax.materialize import materialize
from capsjax.weightings import convolution_algorithms as algorithms
from capsjax.weightings.base import Weighting, register_weighting
from capsjax.weightings.convolution_choice import Convolution, Geometry

Sizes = Annotated[tuple[Count, ...], Len(1, 3)]


def require_axes(shape: Shape, window: tuple[int, ...]) -> None:
    """Raises ShapeError unless a source has the window's axes, then channels."""
    rank = len(window)
    if len(shape) != rank + 1:
        raise ShapeError(
            f"shape {shape} under a window of {rank} axes",
            f"{rank} spatial axes, then channels",
            "reshape the source, or give the window as many axes as the source "
            "has before its channels",
        )


def window_axes(window: tuple[int, ...]) -> tuple[str, ...]:
    """What the axes of a window are called."""
    return ("depth", "height", "width")[-len(window) :]


@register_weighting("conv")
class Conv(Weighting):
    """`U[p, o] = sum over q, i of W[q, i, o] Y[stride p + dilation q - padding, i]`.

    Shapes:
        `Y [spatial..., in]`, `W [window..., in / groups, features] -> U
        [spatial'..., features]`.

    Laws:
        Commutes with shifts of Y by multiples of the stride, away from
        borders.
    """

    symbol: ClassVar[str] = "\N{ASTERISK}"

    features: Count
    window: Sizes
    stride: Sizes | None = None
    padding: Literal["SAME", "VALID"] | tuple[tuple[NonNegative, NonNegative], ...] = (
        "VALID"
    )
    dilation: Sizes | None = None
    groups: Count = 1

    def geometry(self, shape: Shape) -> Geometry:
        """Stride, padding and dilation, all explicit, for a source of this shape."""
        self._check(shape)
        stride = self.stride or (1,) * len(self.window)
        dilation = self.dilation or (1,) * len(self.window)
        pads = explicit_padding(shape[:-1], self.window, stride, self.padding, dilation)
        return Geometry(stride, pads, dilation, self.groups)

    def _check(self, shape: Shape) -> None:
        require_axes(shape, self.window)
        if shape[-1] % self.groups or self.features % self.groups:
            raise ShapeError(
                f"{shape[-1]} channels to {self.features} features in {self.groups} "
                "groups",
                "channels and features that are multiples of groups",
                "correct groups or features",
            )

    def contribution_shape(self, shape: Shape) -> Shape:
        geometry = self.geometry(shape)
        sizes = output_sizes(
            shape[:-1],
            self.window,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
        )
        return (*sizes, self.features)

    def weight_shape(self, shape: Shape) -> Shape:
        return (*self.window, shape[-1] // self.groups, self.features)

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return (*window_axes(self.window), "in", "out")

    def fan_in(self, shape: Shape) -> int:
        return math.prod(self.window) * shape[-1] // self.groups

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        geometry = self.geometry(y.shape[1:])
        return algorithms.forward(y, w, geometry, self.asked("forward"))

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        geometry = self.geometry(y.shape[1:])
        asked = self.asked("weight gradient")
        problem = Convolution(y.shape, tuple(w_shape), geometry)
        algorithm = algorithms.WEIGHT_GRADIENT.choose(problem, asked)
        if problem.taps > 1 and not algorithm.name.startswith("winograd"):
            # Kernels read both tap by tap or with axes exchanged, and XLA would compute
            # what is fused into such a read that way, too: a norm and a relu, or a sum
            # over many readers. DenseNet's step took 1.2 of the time. (Winograd's
            # transforms are written anyway; there it would cost 1.4 of the role's.)
            y, delta = materialize(y), materialize(delta)
        return algorithm.run(y, delta, problem.w_shape, geometry)

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        geometry = self.geometry(y_shape[1:])
        asked = self.asked("input gradient")
        return algorithms.input_gradient(w, delta, y_shape, geometry, asked)

    def choices(self, shape: Shape) -> dict[str, Choice]:
        w_shape = self.weight_shape(shape[1:])
        problem = Convolution(shape, w_shape, self.geometry(shape[1:]))
        return {
            "forward": Choice(algorithms.FORWARD, problem),
            "input gradient": Choice(algorithms.INPUT_GRADIENT, problem),
            "weight gradient": Choice(algorithms.WEIGHT_GRADIENT, problem),
        }

    def flops(self, shape: Shape) -> int:
        positions = math.prod(self.contribution_shape(shape)[:-1])
        return 2 * positions * self.features * self.fan_in(shape)


def conv(
    source: Node,
    features: int,
    window: tuple[int, ...],
    *,
    stride: tuple[int, ...] | None = None,
    padding: Padding = "VALID",
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
) -> Incoming:
    """Convolution (as the field says it: cross-correlation) over 1 to 3 axes.

    `U[p, o] = sum over q, i of W[q, i, o] Y[stride p + dilation q - padding, i]`

    Args:
        source: The input or capsule, shape [spatial..., channels].
        features: Number of output channels.
        window: Size of the kernel along each spatial axis; its length tells how many
            spatial axes there are.
        stride: Step along each spatial axis; 1 if left out.
        padding: "SAME", "VALID", or for each spatial axis the numbers of zeros before
            and behind.
        dilation: Distance of the kernel's taps along each spatial axis; 1 if left out.
        groups: Channels are convolved in this many separate groups.

    Returns:
        The edge. W has shape [window..., channels / groups, features].

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (28, 28, 1))
        >>> c1 = cj.capsule("c1", cj.conv(image, 6, (5, 5), padding="SAME"))
        >>> cj.compile(cj.graph(c1)).shapes["c1"].output
        (28, 28, 6)

    Source: LeCun, Bottou, Bengio & Haffner, Proceedings of the IEEE 86 (1998).
    """
    settings = Conv(features, window, stride, padding, dilation, groups)
    return edge(source, settings)
