"""The rows of a matrix behind a flattened map: channels first, or last.

A map [height, width, channels] flattens with its channels last; a framework that keeps
maps as [channels, height, width] flattens them with their channels first. The matrix
behind it has the same rows in another order.
"""

from collections.abc import Mapping

import numpy as np

from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedEdge

_MAPS = {"conv", "depthwise_conv", "conv_transpose"}
_KEEPING = {"identity", "place", "scale", "channel_scale", "upsample", "flip"}


def rows_channels_last(
    capsules: Mapping[str, TypedCapsule], edge: TypedEdge, matrix: np.ndarray
) -> np.ndarray:
    """A matrix [in, out] with its rows in our order, if it reads a flattened map.

    Args:
        capsules: The capsules by name.
        edge: The edge that the matrix belongs to.
        matrix: Its rows are in the order of channels first.

    Returns:
        The same rows, channels last; the matrix itself if it reads no flattened map.
    """
    shape = _flattened(capsules, edge.source)
    if shape is None or len(matrix) != np.prod(shape):
        return matrix
    *spatial, channels = shape
    return np.moveaxis(matrix.reshape(channels, *spatial, -1), 0, -2).reshape(
        len(matrix), -1
    )


def _flattened(capsules: Mapping[str, TypedCapsule], name: str) -> Shape | None:
    """Shape of the map whose numbers a capsule's vector holds, in their order."""
    while name in capsules and len(capsules[name].output) == 1:
        capsule = capsules[name]
        if capsule.total_input != capsule.output or len(capsule.edges) != 1:
            return None
        edge = capsule.edges[0]
        if edge.weighting.kind == "reshape" and len(edge.source_shape) > 1:
            shape = edge.source_shape
            return shape if is_map(capsules, edge.source, shape) else None
        if edge.weighting.kind not in ("identity", "reshape"):
            return None
        name = edge.source
    return None


def is_map(capsules: Mapping[str, TypedCapsule], name: str, shape: Shape) -> bool:
    """Whether Y of a capsule has spatial axes and then channels.

    It has if a convolution made it, over edges and capsule functions that keep its axes
    apart; or if it is an input of three axes, an image.

    Args:
        capsules: The capsules by name.
        name: The capsule or input.
        shape: Shape of its Y.
    """
    while name in capsules and capsules[name].edges:
        edges = capsules[name].edges
        kinds = {edge.weighting.kind for edge in edges}
        if kinds & _MAPS:
            return True
        if not kinds <= _KEEPING or len(edges[0].source_shape) != len(shape):
            return False
        name = edges[0].source
    return name not in capsules and len(shape) == 3
