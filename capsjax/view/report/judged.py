"""How well a run does on data: confusion of classes, and the worst examples."""

import io
from typing import Any, NamedTuple

import numpy as np

from capsjax.view.report.pictures import address

_MOST_CLASSES = 20
_MOST_PAIRS = 15
_WORST, _WORST_UNSEEN = 24, 8
_SIDE = 128


class Cell(NamedTuple):
    """A count of a confusion matrix, and its share of the row."""

    times: int
    share: float


class Confusion(NamedTuple):
    """How often examples of a class are taken for another one.

    Attributes:
        output: The capsule that tells the class.
        right: The share of examples whose class is told.
        rows: Counts by class and by what it is taken for; None, if there are many.
        image: The same as an image, where they are many.
        pairs: Of the most frequent errors: the class, what it is taken for, how often.
    """

    output: str
    right: str
    rows: list[list[Cell]] | None
    image: str | None
    pairs: list[tuple[int, int, int]]


class Example(NamedTuple):
    """An example of a large loss.

    Attributes:
        number: Its place in the data.
        loss: Its loss.
        image: Its picture; None, if it is none.
        classes: By output: the class, what it is taken for, and the largest Y.
    """

    number: int
    loss: str
    image: str | None
    classes: list[tuple[str, int, int, str]]


class Examined(NamedTuple):
    """All of it.

    Attributes:
        examples: How many there are.
        confusions: One for each output whose loss is over classes.
        worst: Examples of the largest loss, the largest first.
    """

    examples: int
    confusions: list[Confusion]
    worst: list[Example]


def examined(run: Any, data: Any) -> Examined:
    """Judges a run on data.

    Raises:
        ValueError: The data does not fit the network.
    """
    import capsjax as cj  # here: while it is imported, this file may be

    judged = cj.judge(run, data)
    confusions = [_confusion(judged, name) for name in judged.truth]
    if not confusions:
        return Examined(len(judged), [], [])
    images = _images(run, data, judged)
    low, high = (0.0, 1.0) if images is None else _range(images)
    worst = []
    for number in judged.worst(_WORST_UNSEEN if images is None else _WORST):
        classes = [
            (
                name,
                int(truth[number]),
                int(judged.predicted[name][number]),
                f"{judged.scores[name][number]:.2f}",
            )
            for name, truth in judged.truth.items()
        ]
        image = None if images is None else _image(images[number], low, high)
        loss = f"{judged.loss[number]:.3g}"
        worst.append(Example(int(number), loss, image, classes))
    return Examined(len(judged), confusions, worst)


def _confusion(judged: Any, output: str) -> Confusion:
    counts = judged.confusion(output)
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / total
    rows = image = None
    if len(counts) > _MOST_CLASSES:
        image = _matrix(shares)
    else:
        rows = [
            [Cell(int(n), round(float(s), 3)) for n, s in zip(*own, strict=True)]
            for own in zip(counts, shares, strict=True)
        ]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    pairs = [(int(a), int(b), int(wrong[a, b])) for a, b in places if wrong[a, b]]
    right = np.trace(counts) / max(counts.sum(), 1)
    return Confusion(output, f"{right:.2%}", rows, image, pairs)


def _matrix(shares: np.ndarray) -> str:
    """A matrix as an image, a pixel a cell, see-through where there is nothing."""
    pixels = np.empty((*shares.shape, 4))
    pixels[..., :3] = np.array([0xC2, 0x4A, 0x03]) / 255
    own = np.eye(len(shares), dtype=bool)
    pixels[own, :3] = np.array([0x3A, 0x78, 0xB5]) / 255
    pixels[..., 3] = np.sqrt(shares)
    return _png(pixels)


def _images(run: Any, data: Any, judged: Any) -> np.ndarray | None:
    """Images among the examples: as the data has them, or as the network takes them."""
    names = [each.name for each in run.net.graph.inputs]
    given = getattr(getattr(data, "test", data), "inputs", None)
    found = [given, *(judged.arrays[name] for name in names if name in judged.arrays)]
    for array in found:
        if array is not None and len(array) == len(judged) and _are_images(array):
            return np.asarray(array)
    return None


def _are_images(array: Any) -> bool:
    deep = np.ndim(array) == 4 and np.shape(array)[-1] in (1, 3)
    flat = np.ndim(array) == 3
    return (deep or flat) and min(np.shape(array)[1:3]) >= 4


def _range(images: np.ndarray) -> tuple[float, float]:
    """What is black, and what is white."""
    sample = images[:1000]
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    if 0 <= low and high <= 1:
        return 0.0, 1.0
    return low, max(high, low + 1e-6)


def _image(array: np.ndarray, low: float, high: float) -> str:
    step = -(-max(array.shape[:2]) // _SIDE)
    own = array[::step, ::step].astype(np.float64)
    pixels = np.clip(np.nan_to_num((own - low) / (high - low)), 0, 1)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    return _png(pixels)


def _png(pixels: np.ndarray) -> str:
    """Colors in [0, 1] as an image."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png")
    return address(buffer.getvalue(), "png")
