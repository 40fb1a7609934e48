"""depthwise_conv: a convolution of each channel by itself."""

from typing import ClassVar, Literal

import jax

from capsjax.algorithms import Choice
from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, NonNegative, Shape
from capsjax.graph.windows import Padding
from capsjax.weightings.base import Weighting, register_weighting
from capsjax.weightings.convolution import Conv, Sizes, window_axes


@register_weighting("depthwise_conv")
class DepthwiseConv(Weighting):
    """`U[p, o] = sum over q of W[q, 0, o] Y[stride p + dilation q - padding, o // m]`.

    It is `conv` with as many groups as the source has channels, which an edge learns
    only from its source; m is the multiplier.

    Shapes:
        `Y [spatial..., in]`, `W [window..., 1, in multiplier] -> U
        [spatial'..., in multiplier]`.

    Laws:
        Equal to `conv` with as many groups as channels.
    """

    symbol: ClassVar[str] = "\N{ASTERISK}\N{MODIFIER LETTER SMALL D}"

    window: Sizes
    multiplier: Count = 1
    stride: Sizes | None = None
    padding: Literal["SAME", "VALID"] | tuple[tuple[NonNegative, NonNegative], ...] = (
        "VALID"
    )
    dilation: Sizes | None = None

    def convolution(self, shape: Shape) -> Conv:
        """The same as a `conv`, for a source of this shape."""
        if not shape:
            raise ShapeError(
                "a scalar", "spatial axes, then channels", "reshape the source"
            )
        channels = shape[-1]
        convolution = Conv(
            channels * self.multiplier,
            self.window,
            self.stride,
            self.padding,
            self.dilation,
            channels,
        )
        return convolution.asking(self.algorithms)

    def contribution_shape(self, shape: Shape) -> Shape:
        return self.convolution(shape).contribution_shape(shape)

    def weight_shape(self, shape: Shape) -> Shape:
        return self.convolution(shape).weight_shape(shape)

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        # Each kernel reads one channel: there is nothing to divide.
        return (*window_axes(self.window), None, "out")

    def fan_in(self, shape: Shape) -> int:
        return self.convolution(shape).fan_in(shape)

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return self.convolution(y.shape[1:]).forward(w, y)

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        return self.convolution(y.shape[1:]).weight_gradient(y, delta, w_shape)

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        return self.convolution(y_shape[1:]).input_gradient(w, delta, y_shape)

    def choices(self, shape: Shape) -> dict[str, Choice]:
        return self.convolution(shape[1:]).choices(shape)

    def flops(self, shape: Shape) -> int:
        return self.convolution(shape).flops(shape)


def depthwise_conv(
    source: Node,
    window: tuple[int, ...],
    *,
    multiplier: int = 1,
    stride: tuple[int, ...] | None = None,
    padding: Padding = "VALID",
    dilation: tuple[int, ...] | None = None,
) -> Incoming:
    """Convolution of each channel by its own kernels, over 1 to 3 axes.

    `U[p, o] = sum over q of W[q, 0, o] Y[stride p + dilation q - padding, o // m]`

    with m the multiplier. It is `conv` with as many groups as channels. A separable
    convolution is this and then `conv` with a window of ones.

    Args:
        source: The input or capsule, shape [spatial..., channels].
        window: Size of the kernel along each spatial axis; its length tells how many
            spatial axes there are.
        multiplier: Number of output channels for each channel of the source.
        stride: Step along each spatial axis; 1 if left out.
        padding: "SAME", "VALID", or for each spatial axis the numbers of zeros before
            and behind.
        dilation: Distance of the kernel's taps along each spatial axis; 1 if left out.

    Returns:
        The edge. W has shape [window..., 1, channels * multiplier].

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (14, 14, 32))
        >>> each = cj.depthwise_conv(x, (3, 3), padding="SAME")
        >>> spatial = cj.capsule("spatial", each, cap="relu")
        >>> h = cj.capsule("h", cj.conv(spatial, 64, (1, 1)))
        >>> cj.compile(cj.graph(h)).parameter_count
        2432

    Source: Sifre, PhD thesis, Ecole Polytechnique 2014; Howard et al., arXiv
    1704.04861, section 3.1.
    """
    settings = DepthwiseConv(window, multiplier, stride, padding, dilation)
    return edge(source, settings)
