"""Data bound to a network: checked once, held on the device or fed batch by batch."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.training.binding import (
    Routes,
    apply_routes,
    given_inputs,
    routes_by_name,
    routes_by_shape,
)
from capsjax.training.data import Data, Named, Split
from capsjax.training.data.ahead import read_ahead
from capsjax.training.data.checks import check_batch
from capsjax.training.data.readers import ArrayReader, Reader, SourceReader, is_source
from capsjax.training.misfits import (
    count_faults,
    faults_by_name,
    label_faults,
    require_fit,
    value_faults,
)

Arrays = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples by name, rows along the first axis.

    Attributes:
        arrays: Inputs by input name and targets by output name. On the host they are
            as they were given, what `prepare` does to them still to be done; of a
            source of items there are none.
        on_device: Whether they are held on the device, so that a batch is gathered
            there, within the step.
        reader: What `feeds` reads by, where they are not.
        routes: How the arrays of a network come from what is read.
        what: What to call it in messages: "data", "validation".
    """

    arrays: Arrays
    on_device: bool
    reader: Reader | None = None
    routes: Routes = dataclasses.field(default_factory=dict)
    what: str = "data"

    def __len__(self) -> int:
        if self.reader is not None:
            return self.reader.count
        return len(next(iter(self.arrays.values())))

    def prepare(self, batch: Arrays) -> Arrays:
        """A batch by the names of the network, from one that `feeds` gave.

        A pure function, to be called within the step: bytes travel as bytes and become
        float32 in [0, 1] there, labels one-hot, pictures rows; what has two names
        travels once. Nothing is done to data on the device.
        """
        if self.on_device:
            return batch
        return {n: route.in_step(batch[route.column]) for n, route in self._routes}

    def feeds(
        self,
        order: np.ndarray,
        start: int = 0,
        place: Callable[[Arrays], Arrays] | None = None,
    ) -> Generator[Arrays]:
        """The batches of an epoch, for `prepare`; read ahead, checked as they arrive.

        A thread reads and checks. A compiled step brings arrays of the host to the
        device by itself, without waiting for the steps before, and far cheaper than
        `jax.device_put` does (150 us for two arrays on CPU): so they are given as they
        are, unless something else is asked for.

        Args:
            order: The examples of each step, indices [steps, batch size].
            start: The first step: those before it are not read.
            place: Brings arrays to devices, for instance sharded; called by the
                caller's thread.

        Yields:
            Arrays by column, [batch size, ...]. Closing the iterator ends its thread.

        Raises:
            DataError: An example can not be read, differs from the others in shape or
                type, or has a value that is not finite or a label out of range.
        """
        reader = self.reader
        if reader is None:
            raise ValueError(f"{self.what} is on the device; expected it on the host")
        used = {route.column for _, route in self._routes}
        known = [(r.labels.classes, r) for _, r in self._routes if r.labels]
        known.sort(key=lambda each: -each[0])  # of a column's readers the strictest
        labels = {r.column: r.labels for _, r in known if r.labels}

        def read(indices: np.ndarray) -> Arrays:
            batch = {n: x for n, x in reader.read(indices).items() if n in used}
            check_batch(self.what, batch, indices, labels)
            return batch

        with contextlib.closing(read_ahead(read, order[start:])) as batches:
            for batch in batches:
                yield batch if place is None else place(batch)

    @property
    def _routes(self) -> list[tuple[str, Any]]:
        return list(self.routes.items())


def bind(net: Network, given: Any, what: str, stream: bool | None = None) -> Dataset:
    """Checks data against a network and brings it to the device where it fits.

    Args:
        net: The network.
        given: A `Split`, whose arrays go where they fit (see `routes_by_shape`);
            arrays by input and output name, in memory or mapped into it; or a source
            of items (see `readers`), whose names or pairs go where arrays would.
        what: What to call it in messages: "data", "validation".
        stream: Whether it is fed batch by batch; if None, where it takes more than
            half of the memory free on the device, and always from a source.

    Returns:
        The data, ready to be fed.

    Raises:
        ValueError: All that does not fit the network, by name.
        TypeError: It is nothing of these.
    """
    reader, paired = _reader(net, given, what)
    specs = reader.specs
    by_shape = paired and {"inputs", "targets"} == set(specs)
    routes = (
        routes_by_shape(net, specs, what) if by_shape else routes_by_name(net, specs)
    )
    faults = faults_by_name(
        net, {name: route.spec(specs) for name, route in routes.items()}
    )
    if not isinstance(reader, ArrayReader):
        require_fit(net, what, faults)
        return Dataset({}, False, reader, routes, what)
    columns = reader.columns
    faults += label_faults(routes, columns) + count_faults(routes, columns)
    require_fit(net, what, faults)
    # What has two names, an image and its reconstruction's target, is held once.
    sizes = {route: route.spec(specs).nbytes for route in routes.values()}
    on_device = not stream and sum(sizes.values()) * reader.count < room() // 2
    read = [n for n in columns if on_device or n not in reader.mapped]
    require_fit(net, what, value_faults(routes, {n: columns[n] for n in read}))
    if on_device:
        arrays = apply_routes(routes, columns)
        once = jax.device_put({id(array): array for array in arrays.values()})
        arrays = {name: once[id(array)] for name, array in arrays.items()}
        return Dataset(arrays, True, routes=routes, what=what)
    arrays = {name: columns[route.column] for name, route in routes.items()}
    return Dataset(arrays, False, reader, routes, what)


def split_of(data: Any) -> tuple[Any, Any]:
    """Training and validation data in what `fit` is given; the latter may be None.

    A mapping of whole sets by "train" and "validation" or "test", as Hugging Face
    gives one, is parted, too.
    """
    if isinstance(data, Data):
        return data.train, data.test
    if isinstance(data, Mapping) and _is_examples(data.get("train")):
        held_out = [data[name] for name in ("validation", "test") if name in data]
        return data["train"], held_out[0] if held_out else None
    return data, None


def _is_examples(given: Any) -> bool:
    named = isinstance(given, Mapping | Split | Named)
    return named or (is_source(given) and not isinstance(given, list | tuple))


def _reader(net: Network, given: Any, what: str) -> tuple[Reader, bool]:
    """What reads data, and whether its columns are inputs and targets."""
    first = given_inputs(net)[0].name
    wanted = (
        "what cj.load_data(...) gives, or arrays by name, such as "
        f"{{{first!r}: array, ...}}"
    )
    if isinstance(given, Split):
        columns = {"inputs": given.inputs, "targets": given.targets}
        return ArrayReader({n: _array(x) for n, x in columns.items()}), True
    if isinstance(given, Named):
        given = given.arrays
    if isinstance(given, Mapping) and given:
        once = {id(array): _array(array) for array in given.values()}
        return ArrayReader({n: once[id(array)] for n, array in given.items()}), False
    if is_source(given):
        reader = SourceReader(given, what, wanted)
        return reader, reader.pairs
    raise TypeError(f"{what} must be {wanted}, not {type(given).__name__}")


def _array(given: Any) -> np.ndarray:
    array = given if isinstance(given, np.ndarray) else np.asarray(given)
    return array if array.ndim else array[None]  # a single number is no rows: named so


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


def permutation_padded(
    count: int, batch_size: int, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """All examples of an epoch, shuffled: indices and weights [steps, batch size].

    Begins with the steps of `permutation`. Where the last batch is short, it is filled
    up from the beginning of the order, with weight 0.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    steps = -(-count // batch_size)
    shape = (steps, batch_size)
    weights = np.arange(steps * batch_size) < count
    indices = np.resize(order, shape).astype(np.int32)
    return indices, weights.astype(np.float32).reshape(shape)


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
