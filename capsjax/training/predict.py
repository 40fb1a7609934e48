"""predict: outputs of a network for inputs whose targets nobody knows."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.graph.errors import listing
from capsjax.training.binding import given_inputs


def predict(
    net: Network,
    params: Any,
    state: Any,
    inputs: Mapping[str, np.ndarray],
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    """What a network gives out, as far as the inputs decide it.

    A network that is told the class in training, to reconstruct the image by, has an
    output that does not need it: the class.

    Args:
        net: The network.
        params: Parameters.
        state: State.
        inputs: Some inputs by name, or all, [N, ...].
        batch_size: Examples that are evaluated together.

    Returns:
        Y by name of those outputs that depend on nothing else than what is given.

    Raises:
        ValueError: Every output needs an input that is not given; or an input does not
            fit, says which.
    """
    known = [each.name for each in given_inputs(net)]
    needs = _needs(net, known)
    names = [each for each in net.graph.outputs if needs[each] <= inputs.keys()]
    if not names:
        missing = [name for name in known if name not in inputs]
        raise ValueError(
            f"network {net.graph.name!r}: found no {listing(missing)} among "
            f"{listing(inputs) or 'nothing'}; every output needs it; cure: an .npz "
            f"file with the arrays {listing(known)}"
        )
    count = len(next(iter(inputs.values())))
    batch_size = min(batch_size, count)
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        batch = {
            name: _filled(array[start : start + size], batch_size)
            for name, array in inputs.items()
        }
        for each in given_inputs(net):  # what those outputs do not look at
            if each.name not in batch:
                kind = np.int32 if each.name in net.typed.integers else np.float32
                batch[each.name] = np.zeros((batch_size, *each.shape), kind)
        own = net.activations(params, state, batch, only=names)
        for name in names:
            found[name].append(jax.device_get(own[name]["Y"])[:size])
    return {name: np.concatenate(own) for name, own in found.items()}


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """A batch of one size, so that there is one program: the last row, repeated."""
    return rows[np.minimum(np.arange(size), len(rows) - 1)]


def _needs(net: Network, inputs: list[str]) -> dict[str, set[str]]:
    """The inputs that each capsule depends on, in topological order."""
    found = {name: {name} for name in inputs}
    for capsule in net.typed.unfolded:
        own = (found.get(source, set()) for source in capsule.sources)
        found[capsule.name] = set().union(*own)
    return found
