"""Class weights: what each example counts in the loss, by its label.

    balanced    w_c = N / (K N_c)

for N examples, N_c of them of class c, and K classes that occur: so every class counts
the same, and weights have the mean 1.

Source:
    G. King and L. Zeng, Logistic regression in rare events data (2001); the formula is
    that of scikit-learn.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.graph.errors import brief
from capsjax.losses import holds_classes
from capsjax.training.dataset import Dataset, covering

Weights = Literal["balanced"] | Mapping[int, float]
ClassWeights = Weights | Mapping[str, Weights]

_ROWS = 1024  # examples read at once


def example_weights(
    net: Network, dataset: Dataset, class_weights: ClassWeights | None
) -> np.ndarray | None:
    """The weight of each example.

    Args:
        net: The network.
        dataset: Data bound to it. Labels of a source of items are read in one pass
            over all of its items.
        class_weights: None; "balanced"; weights by class, `{3: 10.0}`, where classes
            that are not named weigh 1; or one of these by the name of an output, which
            is needed where several have classes: `{"digit": "balanced"}`. Weights of
            several outputs are multiplied.

    Returns:
        float32 [N], or None where there are no class weights.

    Raises:
        ValueError: There is no output with one label an example, or not of that name;
            a class is unknown, or a weight is negative or not finite; or all examples
            weigh 0.

    Example:
        >>> import capsjax as cj, numpy as np
        >>> from capsjax.training.dataset import bind
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 2), cap="softmax")
        >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
        >>> given = {"x": np.zeros((4, 2), np.float32), "y": np.array([0, 0, 0, 1])}
        >>> data = bind(net, given, "data")
        >>> example_weights(net, data, "balanced").round(2)
        array([0.67, 0.67, 0.67, 2.  ], dtype=float32)
        >>> example_weights(net, data, {1: 5.0}).tolist()
        [1.0, 1.0, 1.0, 5.0]
    """
    if class_weights is None:
        return None
    found = np.ones(len(dataset))
    by_output = _by_output(net, class_weights)
    labels = _labels(net, dataset, list(by_output))
    for output, weights in by_output.items():
        classes = net.shapes[output].output[-1]
        found *= _table(output, weights, labels[output], classes)[labels[output]]
    if not found.any():
        raise ValueError("class_weights: found 0 for all examples; expected some above")
    return found.astype(np.float32)


def _by_output(net: Network, given: Any) -> dict[str, Any]:
    """Weights by the name of an output; outputs with one label an example."""
    losses: dict[str, Any] = dict(net.graph.losses)
    able = [
        name
        for name, loss in losses.items()
        if loss.classes and len(net.shapes[name].output) == 1
    ]
    named = isinstance(given, Mapping) and any(isinstance(key, str) for key in given)
    if named:
        for name in given:
            if name not in able:
                raise ValueError(
                    f"class_weights: found {brief(name)}; expected an output with one "
                    f"label an example: {', '.join(able) or 'there is none'}"
                )
        return dict(given)
    if len(able) != 1:
        raise ValueError(
            f"class_weights: found {len(able)} outputs with one label an example"
            f"{': ' + ', '.join(able) if able else ''}; expected one; cure: give "
            "weights by output, {'NAME': 'balanced'}"
        )
    return {able[0]: given}


def _table(output: str, given: Any, labels: np.ndarray, classes: int) -> np.ndarray:
    """The weight of each class."""
    place = f"class_weights of {output!r}"
    if isinstance(given, str):
        if given != "balanced":
            raise ValueError(
                f"{place}: found {given!r}; expected 'balanced', or weights by class"
            )
        counts = np.bincount(labels, minlength=classes)
        present = np.count_nonzero(counts)
        return len(labels) / (present * np.maximum(counts, 1))
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{place}: found {brief(given)}; expected 'balanced', or weights by class"
        )
    table = np.ones(classes)
    for label, weight in given.items():
        whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if not whole or not 0 <= label < classes:
            raise ValueError(
                f"{place}: found the class {brief(label)}; expected 0 to {classes - 1}"
            )
        number = isinstance(weight, int | float | np.number)
        if not number or not 0 <= weight < math.inf:
            raise ValueError(
                f"{place}, class {label}: found {brief(weight)}; expected a finite "
                "number of at least 0"
            )
        table[label] = weight
    return table


def _labels(net: Network, dataset: Dataset, outputs: list[str]) -> dict[str, Any]:
    """The label of each example by output."""
    if dataset.arrays:
        return {name: _as_labels(net, name, dataset.arrays[name]) for name in outputs}
    found: dict[str, list[np.ndarray]] = {name: [] for name in outputs}
    indices, _ = covering(len(dataset), min(_ROWS, len(dataset)))
    columns = {name: dataset.routes[name].column for name in outputs}
    for batch in dataset.feeds(indices):
        for name in outputs:
            found[name].append(_as_labels(net, name, batch[columns[name]]))
    return {name: np.concatenate(x)[: len(dataset)] for name, x in found.items()}


def _as_labels(net: Network, output: str, target: Any) -> np.ndarray:
    """Labels from labels, or from rows over classes."""
    loss: Any = dict(net.graph.losses)[output]
    shape = (target.shape[0], *net.shapes[output].output)
    if holds_classes(loss, target, shape):
        return np.asarray(jax.device_get(target)).astype(np.int64)
    return np.argmax(jax.device_get(target), axis=-1)
