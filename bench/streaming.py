"""Training from disk beside training from memory: `python -m bench.streaming`.

LeNet-5 on MNIST, batch 128, Adam. Images lie as bytes in `.npy` files that are mapped
into memory. Each row of the table is one way to bring batches to the step; blocks of
steps take turns, and each ratio is of two blocks of one round. grain and torch take
part where they are installed.

    device              the data is on the device: what streaming is measured by
    host floats         float32 in the memory of the host, in place of bytes on disk
    capsjax             what `cj.fit` does: one thread reads ahead
    none ahead          the same, read when it is needed
    threads 2           the same with two threads
    grain batches       grain reads ahead; an item of its source is our batch
    grain examples      grain reads single examples and makes the batches
    torch examples      torch's DataLoader, in its own thread's place: no workers

Throughput is by the clock; the inverse ratio of processor time beside it says the same
on a machine that is busy with other things. Then what augmentation adds to the step,
and what batches alone cost.
"""

import argparse
import collections
import importlib.util
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

import capsjax as cj
from capsjax.compiler.jit import jit
from capsjax.training import augment
from capsjax.training.dataset import Dataset, bind, permutation, take
from capsjax.training.learner import NOTHING, Learner
from capsjax.training.optimizers import optimizer_of

BATCH = 128
Feed = Callable[[Dataset, np.ndarray], Iterator[Any]]


class Batches:
    """A source whose items are whole batches, for what reads items ahead."""

    def __init__(self, data: Dataset, order: np.ndarray):
        self.data, self.order = data, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> Any:
        return _reader(self.data).read(self.order[step])


class Examples:
    """A source of single examples."""

    def __init__(self, data: Dataset):
        self.columns: Any = _reader(data)._plain

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> Any:
        return {name: array[index] for name, array in self.columns.items()}


def _reader(data: Dataset) -> Any:
    return data.reader


def ours(data: Dataset, order: np.ndarray) -> Iterator[Any]:
    yield from data.feeds(order)


def none_ahead(data: Dataset, order: np.ndarray) -> Iterator[Any]:
    batches = Batches(data, order)
    return (batches[step] for step in range(len(order)))


def two_threads(data: Dataset, order: np.ndarray) -> Iterator[Any]:
    read, waiting = _reader(data).read, collections.deque()
    with ThreadPoolExecutor(2) as pool:
        for rows in order:
            waiting.append(pool.submit(read, rows))
            if len(waiting) > 4:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def grain_batches(data: Dataset, order: np.ndarray) -> Iterator[Any]:
    import grain  # type: ignore[import-not-found]

    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    source = grain.MapDataset.source(Batches(data, order))
    yield from source.to_iter_dataset(options)


def grain_examples(data: Dataset, order: np.ndarray) -> Iterator[Any]:
    import grain  # type: ignore[import-not-found]

    flat = grain.MapDataset.source(order.ravel().tolist())
    examples = Examples(data)
    batches = flat.map(examples.__getitem__).batch(BATCH)
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    yield from batches.to_iter_dataset(options)


def torch_examples(data: Dataset, order: np.ndarray) -> Iterator[Any]:
    import torch.utils.data as loading  # type: ignore[import-not-found]

    def collate(items: list[Any]) -> Any:
        return {name: np.stack([x[name] for x in items]) for name in items[0]}

    rows = [list(map(int, each)) for each in order]
    loader: Any = loading.DataLoader(
        Examples(data),  # type: ignore[arg-type]
        batch_sampler=rows,
        collate_fn=collate,
    )
    yield from loader


WAYS: dict[str, Feed] = {
    "capsjax": ours,
    "none ahead": none_ahead,
    "threads 2": two_threads,
    "grain batches": grain_batches,
    "grain examples": grain_examples,
    "torch examples": torch_examples,
}


def known(way: str) -> bool:
    """Whether what a way needs is installed."""
    library = way.split()[0]
    needed = library in ("grain", "torch")
    return not needed or importlib.util.find_spec(library) is not None


def stored(folder: pathlib.Path, mnist: str) -> Any:
    """MNIST's training set as `.npy` files, mapped into memory."""
    train = cj.load_data(mnist).train
    np.save(folder / "image.npy", np.rint(train.inputs * 255).astype(np.uint8))
    np.save(folder / "digit.npy", train.targets)
    return cj.load_data(folder)


class Block:
    """A run of training steps, fed in one way."""

    def __init__(self, net: Any, data: Dataset, feed: Feed | None, change: Any = None):
        self.data, self.feed = data, feed
        self.learner = learner = Learner(net, optimizer_of("adam"))
        self.carry = learner.initial(0)
        self.key = jax.random.key(1)

        def altered(batch: Any, key: Any) -> Any:
            return batch if change is None else change(key, batch, True)

        def gathered(carry: Any, arrays: Any, order: Any, i: Any, key: Any) -> Any:
            batch = altered(take(arrays, order[i]), key)
            return learner.step(carry, batch, NOTHING)

        def fed(carry: Any, batch: Any, key: Any) -> Any:
            batch = altered(data.prepare(batch), key)
            return learner.step(carry, batch, NOTHING)

        self.step = jit(gathered if feed is None else fed, donate_argnums=0)

    def seconds(self, order: np.ndarray) -> tuple[float, float]:
        """For each step, the result waited for; the start of threads included.

        Returns:
            By the clock, and of the processor in all threads.
        """
        start, used = time.perf_counter(), time.process_time()
        if self.feed is None:
            placed = jax.device_put(order)
            for i in range(len(order)):
                arguments = self.data.arrays, placed, np.int32(i), self.key
                self.carry = self.step(self.carry, *arguments)
        else:
            for batch in self.feed(self.data, order):
                self.carry = self.step(self.carry, batch, self.key)
        jax.block_until_ready(self.carry)
        clock, processor = time.perf_counter() - start, time.process_time() - used
        return clock / len(order), processor / len(order)


def compared(blocks: dict[str, Block], steps: int, rounds: int) -> None:
    """Prints a line for each block, the first being what others are measured by."""
    count = len(next(iter(blocks.values())).data)
    order = permutation(count, BATCH, 0, 1)[:steps]
    for block in blocks.values():
        block.seconds(order[:3])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in blocks}
    names = list(blocks)
    for number in range(rounds):
        order = permutation(count, BATCH, 0, 1 + number)[:steps]
        for name in itertools.islice(
            itertools.cycle(names), number, number + len(names)
        ):
            found[name].append(blocks[name].seconds(order))
    print(
        f"{'':20} {'ms a step':>10} {'throughput':>11} {'quartiles':>15}"
        f" {'processor ms':>13} {'inverse ratio':>14}"
    )
    for name, times in found.items():
        clock, processor = (_ratios(found[names[0]], times, k) for k in (0, 1))
        low, middle, high = statistics.quantiles(clock, n=4, method="inclusive")
        print(
            f"{name:20} {1e3 * statistics.median(x for x, _ in times):10.3f} "
            f"{middle:11.3f}  {low:.3f} to {high:.3f} "
            f"{1e3 * statistics.median(x for _, x in times):13.3f} "
            f"{statistics.median(processor):14.3f}",
            flush=True,
        )


def _ratios(base: Any, times: Any, which: int) -> list[float]:
    return [b[which] / t[which] for b, t in zip(base, times, strict=True)]


def alone(data: Dataset, steps: int, rounds: int) -> None:
    """Prints the processor time, of all threads, that batches take by themselves."""
    order = permutation(len(data), BATCH, 0, 1)[:steps]
    print(f"{'batches alone':24} {'us a batch':>10}")
    for name, feed in WAYS.items():
        if known(name):
            times = []
            for _ in range(rounds):
                start = time.process_time()
                collections.deque(feed(data, order), maxlen=0)
                times.append((time.process_time() - start) / len(order))
            print(f"{name:24} {1e6 * statistics.median(times):10.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", required=True, help="a folder of MNIST's idx files")
    parser.add_argument("--steps", type=int, default=150, help="steps of a block")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    cj.keep_memory()
    net = cj.compile(cj.zoo.graph("lenet-5"))
    with tempfile.TemporaryDirectory() as folder:
        given = stored(pathlib.Path(folder), options.mnist).train.arrays
        (image,), (output,) = net.graph.inputs, net.graph.losses
        given = {image.name: given["image"], output[0]: given["digit"]}
        held = bind(net, given, "data", stream=False)
        mapped = bind(net, given, "data", stream=True)
        real = {name: np.asarray(array) for name, array in held.arrays.items()}
        floats = bind(net, real, "data", stream=True)
        blocks = {
            "device": Block(net, held, None),
            "host floats": Block(net, floats, ours),
        }
        ways = {name: feed for name, feed in WAYS.items() if known(name)}
        blocks |= {name: Block(net, mapped, feed) for name, feed in ways.items()}
        compared(blocks, options.steps, options.rounds)
        changes = {
            "no augmentation": None,
            "shift(2)": augment.shift(2),
            "crop(2)": augment.crop(2),
            "flip": augment.flip(),
            "normalize": augment.normalize(0.13, 0.31),
            "mixup": augment.mixup(0.2).of_network(net),
        }
        blocks = {name: Block(net, held, None, each) for name, each in changes.items()}
        compared(blocks, options.steps, options.rounds)
        alone(mapped, options.steps, options.rounds)


if __name__ == "__main__":
    main()
