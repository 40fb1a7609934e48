"""The deep autoencoder of Hinton & Salakhutdinov: images through a bottleneck."""

import math

import capsjax as cj
from capsjax.graph import Graph
from capsjax.zoo.registry import network


@network("autoencoder")
def autoencoder(
    *,
    shape: tuple[int, ...] = (28, 28, 1),
    sizes: tuple[int, ...] = (1000, 500, 250, 30),
) -> Graph:
    """The deep autoencoder 784-1000-500-250-30 and back: 2,837,314 parameters.

    Logistic units but for the code, which is linear; the decoder mirrors the encoder,
    with weights of its own, as after the paper's unrolling. The paper trains layer by
    layer first; here all layers are trained at once.

    Args:
        shape: Shape of an image, its numbers in [0, 1].
        sizes: Neurons of the encoder's layers; the last is the code.

    Returns:
        The graph: input "image", capsules "encoder1", ..., "code", "decoder1", ...,
        output "reconstruction" of the image's shape, for binary cross-entropy with the
        image itself.

    Raises:
        ValueError: There are no sizes.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("autoencoder"))
        >>> net.parameter_count, net.shapes["code"].output
        (2837314, (30,))

    Source: Hinton & Salakhutdinov, Reducing the dimensionality of data with neural
        networks, Science 313 (2006).
    """
    if not sizes:
        raise ValueError("an autoencoder has a code; sizes is (): give one or more")
    image = cj.input("image", shape)
    layer = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    for i, size in enumerate(sizes[:-1], 1):
        layer = cj.capsule(f"encoder{i}", cj.matmul(layer, size), cap="sigmoid")
    layer = cj.capsule("code", cj.matmul(layer, sizes[-1]))
    for i, size in enumerate(reversed(sizes[:-1]), 1):
        layer = cj.capsule(f"decoder{i}", cj.matmul(layer, size), cap="sigmoid")
    pixels = cj.capsule("pixels", cj.matmul(layer, math.prod(shape)))
    back = cj.reshape(pixels, shape)
    reconstruction = cj.capsule("reconstruction", back, cap="sigmoid", bias=None)
    losses = {"reconstruction": "binary_cross_entropy"}
    return cj.graph(reconstruction, name="autoencoder", losses=losses)
