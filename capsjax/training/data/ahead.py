"""Batches that are read ahead, while the device computes.

One thread of the standard library does it, and takes whole batches. Of what brings
MNIST from mapped files to LeNet-5 (`python -m bench.streaming`; 2 cores, batch 128,
where a step takes 20 ms of processor time), processor time for each batch, all threads:

    read when needed                               21 us
    one thread ahead, values checked (this)        77 us
    two threads ahead                              39 us, of values not checked
    grain, an item being a batch                  110 us
    torch's DataLoader, examples                  389 us
    grain, examples                             2,830 us

Libraries that read examples one by one take up to an eighth of the step. grain with
whole batches does no more than this thread, for 0.7 s of imports and six packages; what
else it does is not needed, since order and the place in an epoch are given. Its sources
are read as any other. Not reading ahead is cheapest while files are in the system's
cache, and would wait for every disk.
"""

import collections
import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

DEPTH = 4
"""Batches that are held ready, at most: so much memory they take."""


def read_ahead(
    read: Callable[[T], R], items: Iterable[T], depth: int = DEPTH
) -> Generator[R]:
    """`map(read, items)`, whose next results a thread makes in the meantime.

    Order, results and errors are those of `map`. One thread reads, so that sources
    need not be safe for several. It ends when the iterator is closed or exhausted;
    what it is about to finish is waited for.

    Args:
        read: What makes a result of an item.
        items: What is read, in this order.
        depth: Results that are made before they are asked for, at most.

    Example:
        >>> list(read_ahead(lambda x: x * x, [1, 2, 3]))
        [1, 4, 9]
    """
    rest = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="capsjax-data")
    try:
        first = itertools.islice(rest, depth)
        waiting = collections.deque(pool.submit(read, item) for item in first)
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(rest, 1):
                waiting.append(pool.submit(read, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
