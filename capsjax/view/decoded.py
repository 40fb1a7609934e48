"""reconstructions and perturbations: what a decoder makes of a network's vectors."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.graph import Graph, Input
from capsjax.view.picture import Picture
from capsjax.view.style import INK, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 2  # pixels between two images
_INCH = 0.55  # of an image's side
_LEFT = 1.1  # inches, for names


def reconstructions(
    net: Network,
    params: Any,
    state: Any,
    inputs: Mapping[str, Any],
    *,
    image: str = "image",
    output: str = "reconstruction",
    ax: "Axes | None" = None,
) -> Picture:
    """Draws images, and below each what the network makes of it.

    Args:
        net: A network with an output that reconstructs an input.
        params: Parameters.
        state: State.
        inputs: Some examples by input name, as `net.apply` takes them. What CapsNet
            reconstructs is what its input "label" says, one-hot.
        image: Name of the input.
        output: Name of the output.
        ax: Axes to draw into; those of a figure of its own, if left out.

    Returns:
        The picture: shows itself in a notebook; has `.axes`, `.figure`, `.svg`,
        `.png` and `.save(path)`.

    Raises:
        ValueError: There is no such input or output, it holds no images, or the inputs
            do not fit the network.

    Example:
        >>> import capsjax as cj, jax
        >>> graph = cj.zoo.graph("autoencoder", shape=(8, 8, 1), sizes=(16, 4))
        >>> net = cj.compile(graph)
        >>> params, state = net.init(jax.random.key(0))
        >>> images = cj.load_data("digits").test.inputs[:8]
        >>> cj.view.reconstructions(net, params, state, {"image": images})
        <picture of 5.6 x 1.3 inches>

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, Figure 3.
    """
    _require(net, output, image)
    outputs, _ = jax.jit(net.apply)(params, state, inputs)
    rows = [np.asarray(inputs[image]), np.asarray(outputs[output])]
    axes, (_, down) = _grid(rows, ax, below=0.1)
    axes.set_yticks(down, [image, output])
    axes.set_xticks([])
    return finish([axes], ax)


def perturbations(
    net: Network,
    params: Any,
    state: Any,
    inputs: Mapping[str, Any],
    *,
    capsule: str = "vectors",
    output: str = "reconstruction",
    dimensions: Sequence[int] | None = None,
    span: float = 0.25,
    steps: int = 11,
    ax: "Axes | None" = None,
) -> Picture:
    """Draws what the decoder makes of a vector, one of whose dimensions is changed.

    Each row changes one dimension, by amounts from -span to span; in the middle is the
    reconstruction as it is. Where a capsule holds several vectors the dimension is
    changed in all of them; of CapsNet's, the label leaves one.

    Args:
        net: A network with an output that is an image.
        params: Parameters.
        state: State.
        inputs: One example by input name, with its batch axis, as `net.apply` takes it.
        capsule: Name of the capsule whose vectors are changed, along their last axis.
        output: Name of the output.
        dimensions: Which dimensions, counted from 0; all, if left out.
        span: The largest change.
        steps: Images in a row.
        ax: Axes to draw into; those of a figure of its own, if left out.

    Returns:
        The picture: shows itself in a notebook; has `.axes`, `.figure`, `.svg`,
        `.png` and `.save(path)`.

    Raises:
        ValueError: There is no such capsule, output or dimension, there are several
            examples, or the inputs do not fit the network.

    Example:
        >>> import capsjax as cj, jax
        >>> graph = cj.zoo.graph("autoencoder", shape=(8, 8, 1), sizes=(16, 4))
        >>> net = cj.compile(graph)
        >>> params, state = net.init(jax.random.key(0))
        >>> image = {"image": cj.load_data("digits").test.inputs[:1]}
        >>> cj.view.perturbations(net, params, state, image, capsule="code", span=1.0)
        <picture of 7.2 x 2.6 inches>

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, Figure 4.
    """
    _require(net, output)
    names = [each.name for each in net.graph.capsules]
    if capsule not in names:
        raise ValueError(
            f"network {net.graph.name!r} has no capsule {capsule!r}; it has "
            + ", ".join(map(repr, names))
        )
    vector = net.activations(params, state, inputs)[capsule]["Y"]
    if vector.ndim < 2 or len(vector) != 1:
        raise ValueError(
            f"found {capsule!r} of shape {vector.shape}; expected one example, and "
            "vectors along the last axis"
        )
    size = vector.shape[-1]
    chosen = range(size) if dimensions is None else dimensions
    wrong = [each for each in chosen if not 0 <= each < size]
    if wrong or steps < 2:
        raise ValueError(
            f"found dimensions {list(chosen)} and {steps} steps; expected dimensions "
            f"from 0 to {size - 1}, and 2 steps or more"
        )
    amounts = np.linspace(-span, span, steps)
    changes = amounts[:, None] * np.eye(size)[list(chosen)][:, None]
    changed = np.asarray(vector) + changes.reshape(-1, *[1] * (vector.ndim - 2), size)
    images = _decode(net, params, state, inputs, capsule, output, changed)
    rows = list(images.reshape(len(chosen), steps, *images.shape[1:]))

    axes, (across, down) = _grid(rows, ax, below=0.3)
    axes.set_yticks(down, [f"dimension {each}" for each in chosen])
    axes.set_xticks(across, [f"{amount:+.2f}" for amount in amounts])
    return finish([axes], ax)


def _decode(
    net: Network,
    params: Any,
    state: Any,
    inputs: Mapping[str, Any],
    capsule: str,
    output: str,
    vectors: np.ndarray,
) -> np.ndarray:
    """The output for each vector in place of the capsule's Y."""
    behind = _behind(net, capsule, output)
    decoder = compile_graph(behind)
    own = {each.name for each in behind.capsules}
    own |= {each.name for each in behind.inputs if each.learned}
    own |= {e.weight for each in behind.capsules for e in each.edges if e.weight}
    named = {name: it for name, it in net.named(params).items() if name in own}
    state = {name: it for name, it in state.items() if name in own}
    given = {
        each.name: np.repeat(np.asarray(inputs[each.name]), len(vectors), 0)
        for each in behind.inputs
        if each.name in inputs
    }
    given[capsule] = vectors.astype(np.float32)
    outputs, _ = jax.jit(decoder.apply)(decoder.from_named(named), state, given)
    return np.asarray(outputs[output])


def _behind(net: Network, capsule: str, output: str) -> Graph:
    """The graph from a capsule, made an input, to an output."""
    capsules = {each.name: each for each in net.graph.capsules if each.name != capsule}
    inputs = {each.name: each for each in net.graph.inputs}
    inputs[capsule] = Input(capsule, net.shapes[capsule].output)
    needed, waiting = {output}, [output]
    while waiting:
        each = capsules.get(waiting.pop())
        fresh = {edge.source for edge in each.edges} - needed if each else set()
        needed |= fresh
        waiting += fresh
    if capsule not in needed:
        raise ValueError(f"output {output!r} does not read capsule {capsule!r}")
    return dataclasses.replace(
        net.graph,
        inputs=tuple(each for name, each in inputs.items() if name in needed),
        capsules=tuple(each for name, each in capsules.items() if name in needed),
        outputs=(output,),
        losses=(),
        declared="",
        uses=(),
    )


def _require(net: Network, output: str, image: str | None = None) -> None:
    """Raises unless the names are those of images."""
    shapes = {name: net.shapes[name].output for name in net.graph.outputs}
    given = {each.name: each.shape for each in net.graph.inputs}
    asked = [("output", output, shapes)]
    asked += [] if image is None else [("input", image, given)]
    for what, name, known in asked:
        shape = known.get(name)
        if shape is None or len(shape) != 3 or shape[2] not in (1, 3):
            found = "none of that name" if shape is None else f"shape {shape}"
            raise ValueError(
                f"{what} {name!r} of network {net.graph.name!r}: found {found}; "
                "expected an image, [height, width, channels] with 1 or 3 channels; "
                f"it has {', '.join(f'{key!r} {known[key]}' for key in known)}"
            )


def _grid(
    rows: Sequence[np.ndarray], ax: "Axes | None", below: float
) -> "tuple[Axes, tuple[np.ndarray, np.ndarray]]":
    """Rows of images on one sheet, and where their middles are: across, down.

    `below` is the room for names under the columns, in inches.
    """
    count, height, width, _ = rows[0].shape
    high, wide = height + _GAP, width + _GAP
    sheet = np.ones((len(rows) * high - _GAP, count * wide - _GAP, 3))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            place = (
                slice(i * high, i * high + height),
                slice(j * wide, j * wide + width),
            )
            sheet[place] = np.clip(image, 0, 1)
    inner = _INCH * count, _INCH * len(rows) * height / width
    axes = _placed(inner, below) if ax is None else ax
    axes.imshow(sheet, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    across = np.arange(count) * wide + (width - 1) / 2
    down = np.arange(len(rows)) * high + (height - 1) / 2
    return axes, (across, down)


def _placed(inner: tuple[float, float], below: float) -> "Axes":
    """Axes of a figure of their own, so many inches wide and high.

    Placed by hand: a layout engine would move an image a little with each drawing.
    """
    from matplotlib.figure import Figure

    size = inner[0] + _LEFT + 0.1, inner[1] + below + 0.1
    figure = Figure(figsize=size, facecolor="white")
    place = _LEFT / size[0], below / size[1], inner[0] / size[0], inner[1] / size[1]
    return figure.add_axes(place)
