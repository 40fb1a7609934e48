"""Data bound to a network: arrays by its names, checked once, fed by index."""

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.losses import holds_classes
from capsjax.training.binding import bind_split, given_inputs
from capsjax.training.data import Data, Split

Arrays = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Examples by name, rows along the first axis.

    Attributes:
        arrays: Inputs by input name and targets by output name.
        on_device: Whether they are held on the device, so that a batch is gathered
            there, within the step.
    """

    arrays: Arrays
    on_device: bool

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def feeds(self, order: np.ndarray, start: int) -> Generator[Arrays]:
        """The batches of an epoch from a step on, of data on the host.

        Args:
            order: The examples of each step, by index: [steps, batch size].
            start: The first step.
        """
        for indices in order[start:]:
            yield {name: array[indices] for name, array in self.arrays.items()}


def bind(net: Network, given: Split | Mapping[str, Any], what: str) -> Dataset:
    """Checks data against a network and brings it to the device where it fits.

    Args:
        net: The network.
        given: A `Split`, whose arrays go where they fit (see `bind_split`); or arrays
            by input and output name.
        what: What to call it in messages: "data", "validation".

    Returns:
        The data, ready to be fed.

    Raises:
        ValueError: All that does not fit the network, by name.
    """
    named = _by_name(net, given, what)
    arrays = {name: np.asarray(array) for name, array in named.items()}
    faults = _faults(net, arrays)
    if faults:
        name, lines = net.graph.name, "\n    ".join(faults)
        raise ValueError(f"{what} does not fit network {name!r}:\n    {lines}")
    # What has two names, an image and its reconstruction's target, is held once.
    once = {id(array): array for array in arrays.values()}
    on_device = sum(array.nbytes for array in once.values()) < room() // 2
    if on_device:
        once = jax.device_put(once)
        arrays = {name: once[id(array)] for name, array in arrays.items()}
    return Dataset(arrays, on_device)


def split_of(data: Any) -> tuple[Any, Any]:
    """Training and validation data in what `fit` is given; the latter may be None."""
    return (data.train, data.test) if isinstance(data, Data) else (data, None)


def _by_name(net: Network, given: Any, what: str) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    if not isinstance(given, Split):
        first = given_inputs(net)[0].name
        raise TypeError(
            f"{what} must be what cj.load_data(...) gives, or arrays by name, such as "
            f"{{{first!r}: array, ...}}, not {type(given).__name__}"
        )
    return bind_split(net, given, what)


def _faults(net: Network, arrays: Mapping[str, np.ndarray]) -> list[str]:
    inputs = {each.name: each.shape for each in given_inputs(net)}
    losses = dict(net.graph.losses)
    faults = [
        f"{name!r}: unknown; expected {', '.join([*inputs, *losses])}"
        for name in arrays
        if name not in inputs and name not in losses
    ]
    faults += [
        f"{name!r}: missing" for name in [*inputs, *losses] if name not in arrays
    ]
    for name, array in arrays.items():
        if name in inputs and array.shape[1:] != inputs[name]:
            faults.append(
                f"input {name!r}: found examples of shape {array.shape[1:]}; "
                f"expected {inputs[name]}"
            )
        if name in losses:
            faults += _target_faults(net, name, array)
    counts = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(counts.values())) > 1:
        faults.append(f"the numbers of examples differ: {counts}")
    if 0 in counts.values():
        faults.append("there are no examples")
    return faults


def _target_faults(net: Network, name: str, array: np.ndarray) -> list[str]:
    shape = net.shapes[name].output
    if array.shape[1:] == shape:
        return []
    loss: Any = dict(net.graph.losses)[name]
    if not holds_classes(loss, array, (len(array), *shape)):
        also = f", or integers of shape {shape[:-1]}" if loss.classes else ""
        return [
            f"target of {name!r}: found {array.dtype} of shape {array.shape[1:]} per "
            f"example; expected {shape}{also}"
        ]
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high >= shape[-1]:
        return [
            f"target of {name!r}: found classes from {low} to {high}; expected 0 to "
            f"{shape[-1] - 1}, as the capsule has {shape[-1]}"
        ]
    return []


def room() -> int:
    """Bytes free on the device."""
    stats = jax.local_devices()[0].memory_stats()
    if not stats or "bytes_limit" not in stats:
        import psutil  # here: reading the machine's state takes a while

        return psutil.virtual_memory().available
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def permutation(count: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The examples of each step of an epoch, shuffled: indices [steps, batch size].

    The last short batch is left out, so that every step has one shape; which examples
    that are changes with every epoch.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    steps = count // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)


def covering(count: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """All examples in order, for evaluation: indices and weights [steps, batch size].

    The last batch is filled up with an example of weight 0.
    """
    steps = -(-count // batch_size)
    indices = np.zeros(steps * batch_size, np.int32)
    indices[:count] = np.arange(count)
    weights = np.zeros(steps * batch_size, np.float32)
    weights[:count] = 1
    shape = (steps, batch_size)
    return indices.reshape(shape), weights.reshape(shape)


def take(arrays: Arrays, indices: jax.Array) -> Arrays:
    """A batch by indices."""
    return {name: jnp.take(array, indices, axis=0) for name, array in arrays.items()}
