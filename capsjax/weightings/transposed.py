"""conv_transpose: the adjoint of a convolution, from few positions to many."""

import math
from typing import ClassVar, Literal

import jax

from capsjax.algorithms import Choice
from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, NonNegative, Shape
from capsjax.graph.windows import Padding, explicit_padding
from capsjax.weightings import convolution_algorithms as algorithms
from capsjax.weightings.base import Weighting, register_weighting
from capsjax.weightings.convolution import Sizes, require_axes, window_axes
from capsjax.weightings.convolution_choice import Convolution, Geometry


@register_weighting("conv_transpose")
class ConvTranspose(Weighting):
    """`U[t, o] = sum of W[q, o, i] Y[p, i] where stride p + q - padding = t`.

    Forward is the input gradient of the convolution from U to Y, and the other way
    around; in the weight gradient the two change places.

    Shapes:
        `Y [spatial..., in]`, `W [window..., features, in] -> U
        [spatial'..., features]`.

    Laws:
        Equal to the input gradient of the `conv` from U to Y.
    """

    symbol: ClassVar[str] = "\N{ASTERISK}\N{MODIFIER LETTER CAPITAL T}"

    features: Count
    window: Sizes
    stride: Sizes | None = None
    padding: Literal["SAME", "VALID"] | tuple[tuple[NonNegative, NonNegative], ...] = (
        "VALID"
    )

    def _geometry(self, shape: Shape) -> tuple[Shape, Geometry]:
        """U's shape, and the convolution from it to a source of this shape."""
        rank = len(self.window)
        require_axes(shape, self.window)
        ones = (1,) * rank
        stride = self.stride or ones
        many = tuple(n * s for n, s in zip(shape, stride, strict=False))
        pads = explicit_padding(many, self.window, stride, self.padding, ones)
        if self.padding != "SAME":
            each = zip(shape, self.window, stride, pads, strict=False)
            many = tuple((n - 1) * s + k - low - high for n, k, s, (low, high) in each)
        if min(many) < 1:
            raise ShapeError(
                f"padding {pads} with a window of {self.window} and stride {stride} on "
                f"shape {shape}",
                "padding that leaves at least one position on each axis",
                "less padding: here it is cut off the result",
            )
        return (*many, self.features), Geometry(stride, pads, ones)

    def contribution_shape(self, shape: Shape) -> Shape:
        return self._geometry(shape)[0]

    def weight_shape(self, shape: Shape) -> Shape:
        return (*self.window, self.features, shape[-1])

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return (*window_axes(self.window), "out", "in")

    def fan_in(self, shape: Shape) -> int:
        """On average over the positions of U that have any."""
        stride = self.stride or (1,) * len(self.window)
        pairs = list(zip(self.window, stride, strict=True))
        return shape[-1] * math.prod(map(max, pairs)) // math.prod(stride)

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        shape, geometry = self._geometry(y.shape[1:])
        x_shape = (y.shape[0], *shape)
        asked = self.asked("forward")
        return algorithms.input_gradient(w, y, x_shape, geometry, asked)

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        _, geometry = self._geometry(y.shape[1:])
        asked = self.asked("weight gradient")
        return algorithms.weight_gradient(delta, y, w_shape, geometry, asked)

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        _, geometry = self._geometry(y_shape[1:])
        return algorithms.forward(delta, w, geometry, self.asked("input gradient"))

    def choices(self, shape: Shape) -> dict[str, Choice]:
        many, geometry = self._geometry(shape[1:])
        w_shape = self.weight_shape(shape[1:])
        problem = Convolution((shape[0], *many), w_shape, geometry)
        return {
            "forward": Choice(algorithms.INPUT_GRADIENT, problem),
            "input gradient": Choice(algorithms.FORWARD, problem),
            "weight gradient": Choice(algorithms.WEIGHT_GRADIENT, problem),
        }

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(shape) * math.prod(self.window) * self.features


def conv_transpose(
    source: Node,
    features: int,
    window: tuple[int, ...],
    *,
    stride: tuple[int, ...] | None = None,
    padding: Padding = "VALID",
) -> Incoming:
    """Transposed convolution over 1 to 3 axes: each source position paints a window.

    `U[t, o] = sum of W[q, o, i] Y[p, i] over p, q, i where stride p + q - padding = t`

    It is the adjoint of `conv` with the same window, stride and padding, from the
    result's shape to the source's. Along an axis of n positions the result has

        "VALID"          (n - 1) stride + window
        "SAME"           n stride
        (low, high)      (n - 1) stride + window - low - high

    positions. PyTorch's `padding=p, output_padding=r` is `(p, p - r)` here.

    Args:
        source: The input or capsule, shape [spatial..., channels].
        features: Number of output channels.
        window: Size of the kernel along each spatial axis; its length tells how many
            spatial axes there are.
        stride: Step of the window in the result along each spatial axis; 1 if left
            out.
        padding: "SAME", "VALID", or for each spatial axis how many positions are cut
            off the result before and behind.

    Returns:
        The edge. W has shape [window..., features, channels].

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (7, 7, 16))
        >>> up = cj.conv_transpose(x, 8, (3, 3), stride=(2, 2), padding="SAME")
        >>> cj.compile(cj.graph(cj.capsule("h", up))).shapes["h"].output
        (14, 14, 8)

    Source: Zeiler, Krishnan, Taylor & Fergus, CVPR 2010; Dumoulin & Visin, arXiv
    1603.07285, chapter 4.
    """
    return edge(source, ConvTranspose(features, window, stride, padding))
