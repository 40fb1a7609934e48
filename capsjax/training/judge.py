"""judge: what a network makes of each example, where `evaluate` gives means."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.jit import jit
from capsjax.displayed import Displayed
from capsjax.training.data import Data, Split
from capsjax.training.dataset import bind, covering
from capsjax.training.evaluate import examples_of, parts
from capsjax.training.run import Run


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Judged(Displayed):
    """What a network makes of each of N examples.

    Attributes:
        arrays: Inputs and targets by name, [N, ...].
        losses: By output, L of each example, without the loss's weight, [N].
        loss: The total loss of each example, [N].
        truth: By output whose loss is over classes, the class of each example, [N].
        predicted: The same, of the largest entry of Y.
        scores: The same, that entry: a probability, where Y is one.
        classes: The same, the number of classes.
    """

    arrays: Mapping[str, np.ndarray]
    losses: Mapping[str, np.ndarray]
    loss: np.ndarray
    truth: Mapping[str, np.ndarray]
    predicted: Mapping[str, np.ndarray]
    scores: Mapping[str, np.ndarray]
    classes: Mapping[str, int]

    def confusion(self, output: str) -> np.ndarray:
        """How often examples of a class (row) are taken for a class (column).

        Args:
            output: The name of an output whose loss is over classes.

        Returns:
            Counts, [classes, classes].
        """
        size = self.classes[output]
        counts = np.zeros((size, size), np.int64)
        np.add.at(counts, (self.truth[output], self.predicted[output]), 1)
        return counts

    def worst(self, count: int) -> np.ndarray:
        """The examples of the largest total loss, the largest first.

        Args:
            count: How many, at most.

        Returns:
            Their numbers; one whose loss is not a number comes before all others.
        """
        keys = np.where(np.isnan(self.loss), np.inf, self.loss)
        return np.argsort(-keys, kind="stable")[:count]

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        return f"Judged({len(self)} examples, mean loss {self.loss.mean():.4g})"


def judge(
    net: Network | Run,
    data: Data | Split | Mapping[str, Any],
    *,
    params: Any = None,
    state: Any = None,
    batch_size: int = 256,
) -> Judged:
    """Evaluates a network on each example of data.

    Args:
        net: A run; or a network, with parameters.
        data: As for `cj.evaluate`: of a training and a test set, the test set.
        params: Parameters; `run.evaluated`, if left out: the moving average where one
            was kept.
        state: State; that of the run, if left out, or of a network that has none.
        batch_size: Examples that are evaluated together.

    Returns:
        Losses, and classes: for a confusion matrix, and for the worst examples.

    Raises:
        ValueError: As for `cj.evaluate`.
        TypeError: There is a network, but there are no parameters.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.identity(x), cap="softmax", bias=None)
        >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
        >>> data = {"x": np.eye(2, dtype="float32"), "y": np.array([0, 0])}
        >>> judged = cj.judge(net, data, params={}, state={})
        >>> judged.confusion("y").tolist(), judged.worst(1).tolist()
        ([[1, 1], [0, 0]], [1])
    """
    net, carry = parts(net, params, state)
    dataset = bind(net, examples_of(data), "data")
    arrays = {name: np.asarray(array) for name, array in dataset.arrays.items()}
    kept = [
        name
        for name, loss in net.graph.losses
        if loss.classes and len(net.shapes[name].output) == 1
    ]

    def examples(carry: Any, batch: Any) -> Any:
        losses, outputs = net.examples(carry["params"], carry["state"], batch)
        return losses, {name: outputs[name] for name in kept}

    program, count, found = jit(examples), len(dataset), []
    for rows in covering(count, min(batch_size, count))[0]:
        batch = {name: array[rows] for name, array in arrays.items()}
        found.append(jax.device_get(program(carry, batch)))
    losses, outputs = jax.tree.map(lambda *own: np.concatenate(own)[:count], *found)
    weights = {name: loss.weight for name, loss in net.graph.losses}
    total = sum((weights[name] * own for name, own in losses.items()), np.zeros(count))
    return Judged(
        arrays=arrays,
        losses=losses,
        loss=total,
        truth={name: _class_of(arrays[name]) for name in kept},
        predicted={name: _class_of(outputs[name]) for name in kept},
        scores={name: outputs[name].max(axis=1) for name in kept},
        classes={name: outputs[name].shape[1] for name in kept},
    )


def _class_of(array: np.ndarray) -> np.ndarray:
    """Classes as they are, or those of the largest entries."""
    return array if array.ndim == 1 else array.argmax(axis=1)
