"""Arithmetic of sliding windows, shared by convolution and pooling."""

from typing import Literal

from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape

Pads = tuple[tuple[int, int], ...]
Padding = Literal["SAME", "VALID"] | Pads


def explicit_padding(
    sizes: Shape, window: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> Pads:
    """Padding as numbers before and behind, for each spatial axis.

    "SAME" gives `ceil(size / stride)` positions, the odd zero behind (as in XLA).

    Args:
        sizes: Spatial sizes of the source.
        window: Window sizes.
        stride: Steps.
        padding: As declared.
        dilation: Distances of the window's taps.

    Returns:
        Pairs of non-negative numbers.

    Raises:
        ShapeError: The settings differ in their number of axes.
    """
    rank = len(window)
    given = {"stride": len(stride), "dilation": len(dilation), "input": len(sizes)}
    if not isinstance(padding, str):
        given["padding"] = len(padding)
    for what, count in given.items():
        if count != rank:
            raise ShapeError(
                f"{what} of {count} axes, window {window}",
                f"as many as the window has: {rank}",
                f"correct {what} or the window",
            )
    if padding == "VALID":
        return ((0, 0),) * rank
    if padding == "SAME":
        pads = []
        for n, w, s, d in zip(sizes, window, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + (w - 1) * d + 1 - n, 0)
            pads.append((total // 2, total - total // 2))
        return tuple(pads)
    return tuple((before, behind) for before, behind in padding)


def output_sizes(
    sizes: Shape, window: Shape, stride: Shape, pads: Pads, dilation: Shape
) -> Shape:
    """Number of window positions along each spatial axis.

    Raises:
        ShapeError: A window does not fit into the padded source.
    """
    result = []
    each = zip(sizes, window, stride, pads, dilation, strict=True)
    for axis, (n, w, s, (before, behind), d) in enumerate(each):
        room = n + before + behind - ((w - 1) * d + 1)
        if room < 0:
            raise ShapeError(
                f"a window of {(w - 1) * d + 1} on axis {axis} of size {n} with "
                f"padding ({before}, {behind})",
                f"a window of at most {n + before + behind}",
                'a smaller window, or padding="SAME"',
            )
        result.append(room // s + 1)
    return tuple(result)
