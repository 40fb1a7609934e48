"""fit: train a network on data; one compiled step, data on the device, one seed."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.batch import require_loss
from capsjax.compiler.jit import jit
from capsjax.graph.errors import brief
from capsjax.training import metrics
from capsjax.training.data import Data, Split
from capsjax.training.dataset import (
    Dataset,
    bind,
    covering,
    permutation,
    split_of,
    take,
)
from capsjax.training.learner import Learner, number
from capsjax.training.optimizers import optimizer_of
from capsjax.training.run import Run

_LOOK_EVERY = 0.25  # seconds between two looks at the device for the progress bar


Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
Trace = Callable[[int, Any, Any], None]


def fit(
    net: Network,
    data: Data | Split | Mapping[str, Any],
    *,
    validation: Split | Mapping[str, Any] | None = None,
    optimizer: Any = None,
    settings: Mapping[str, float] | None = None,
    epochs: int = 20,
    steps: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    initial_scale: float = 1.0,
    params: Any = None,
    progress: bool = True,
    trace: Trace | None = None,
) -> Run:
    """Trains a network.

    Each epoch visits the examples in a new order, in batches of one size; what does
    not fill a batch waits for the next epoch. The step is compiled once, its buffers
    are donated, and the data stays on the device if it takes less than half of the
    memory free there.

    Args:
        net: The network; its graph declares the loss.
        data: What `cj.load_data(...)` gives, whose arrays go where they fit: an input
            takes the images, or labels one-hot; an output's target is the labels, or
            the image where the output has its shape. Or arrays by input and output
            name, rows along the first axis.
        validation: Examples to measure on after each epoch; the test set, if `data`
            has one.
        optimizer: An optimizer of optax, such as `optax.adam(1e-3)`; or what makes one
            of its settings: `optax.adamw`, a function of your own, or a declaration,
            `{"kind": "adamw", "learning_rate": 1e-3}`, or its name. "adam", with that
            learning rate, if left out.
        settings: Numbers by name that are given to the program in place of being built
            into it: of what makes the optimizer, `{"learning_rate": 1e-3}`, and traced
            ones of the network, `{"drop.rate": 0.2}`. `cj.sweep` gives them so: a run
            with a member's settings is that member, bit by bit where members run one
            by one.
        epochs: Number of passes over the data.
        steps: Number of steps, in place of epochs: the last pass may be a part.
        batch_size: Examples per step; all of them, if there are fewer.
        seed: Decides initial parameters and order. The same seed on the same machine
            gives the same run, bit by bit.
        initial_scale: Factor of initial weights, as for `net.init`.
        params: Parameters to start from instead of initial ones; not donated.
        progress: Whether to show a progress bar.
        trace: What `cj.trace` gives; or any function, called as `trace(step, params,
            state)` before the first step and after each: it must not keep the arrays.

    Returns:
        The run: parameters, state, and the history as a table.

    Raises:
        ValueError: The data does not fit the network, by name; or a setting is out of
            range.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 1))
        >>> flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
        >>> digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
        >>> net = cj.compile(cj.graph(digit, losses={"digit": "cross_entropy"}))
        >>> run = cj.fit(net, cj.load_data("digits"), progress=False)
        >>> bool(run.history["validation_accuracy"].iloc[-1] > 0.9)
        True
    """
    return fit_by(
        lambda function: jit(function, donate_argnums=0),
        net,
        data,
        validation=validation,
        optimizer=optimizer,
        settings=settings,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        initial_scale=initial_scale,
        params=params,
        progress=progress,
        trace=trace,
    )


def fit_by(
    compiled: Compile,
    net: Network,
    data: Data | Split | Mapping[str, Any],
    *,
    optimizer: Any,
    epochs: int,
    batch_size: int,
    seed: int,
    validation: Split | Mapping[str, Any] | None = None,
    settings: Mapping[str, float] | None = None,
    steps: int | None = None,
    initial_scale: float = 1.0,
    params: Any = None,
    progress: bool = True,
    trace: Trace | None = None,
) -> Run:
    """`fit`, whose programs are compiled by a given function.

    Args:
        compiled: `compiled(f)` compiles `f` and donates its first argument, to which
            the result is equal in structure; the name of `f` says what it is.
    """
    check_lengths(net.graph, epochs=epochs, steps=steps, batch_size=batch_size)
    learner = Learner(net, optimizer_of(optimizer))
    numbers = learner.given(settings or {})
    learner.require_settings(numbers)
    numbers = jax.tree.map(number, numbers)
    given, test = split_of(data)
    train = bind(net, given, "data")
    test = validation if validation is not None else test
    held_out = None if test is None else bind(net, test, "validation")
    carry = learner.initial(seed, numbers, initial_scale, params)
    step = compiled(_training_step(learner, train.on_device))
    evaluate = _evaluation(compiled, learner, held_out, batch_size)
    size = min(batch_size, len(train))
    rows, start, taken = [], time.perf_counter(), 0
    if steps is None:
        steps = epochs * (len(train) // size)
    if trace is not None:
        trace(0, carry["params"], carry["state"])
    with _Bar(steps, progress) as bar:
        for epoch in itertools.count(1):
            carry["sums"] = metrics.zero(net)
            order = permutation(len(train), size, seed, epoch)[: steps - taken]
            for feed in _feeds(train, order):
                carry = step(carry, numbers, *feed)
                taken += 1
                if trace is not None:
                    trace(taken, carry["params"], carry["state"])
                bar.advance(carry["sums"], epoch, size)
            row = _averages(carry["sums"], order.size)
            row |= {f"validation_{k}": v for k, v in evaluate(carry, numbers).items()}
            seconds = time.perf_counter() - start
            rows.append({"epoch": epoch, "seconds": round(seconds, 3), **row})
            bar.show(rows[-1])
            if taken == steps:
                break
    import pandas as pd  # here: the first step shall not wait for it

    return Run(net, carry["params"], carry["state"], pd.DataFrame(rows))


def check_lengths(graph: Any, **lengths: int | None) -> None:
    """Raises `ValueError` where a number of epochs, steps or examples is no such."""
    for name, value in lengths.items():
        if value is None:
            continue
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name} is {brief(value)}; expected a whole number")
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    require_loss(graph)


def _training_step(learner: Learner, on_device: bool) -> Callable[..., Any]:
    """`step(carry, numbers, batch)`; `step(carry, numbers, data, order, i)` with data
    on the device."""

    def training_step(carry, numbers, batch):
        return learner.step(carry, batch, numbers)

    def gathered(carry, numbers, data, order, i):
        return learner.step(carry, take(data, order[i]), numbers)

    return gathered if on_device else training_step


def _feeds(data: Dataset, order: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """The arguments of each step of an epoch, behind the carry."""
    if data.on_device:
        placed = jax.device_put(order)
        for i in range(len(order)):
            yield data.arrays, placed, np.int32(i)
    else:
        for indices in order:
            yield ({name: array[indices] for name, array in data.arrays.items()},)


def _evaluation(
    compiled: Compile, learner: Learner, data: Dataset | None, batch_size: int
) -> Callable[[Any, Any], dict[str, float]]:
    """A function that measures the parameters in a carry on data."""
    if data is None:
        return lambda carry, numbers: {}
    indices, weights = covering(len(data), min(batch_size, len(data)))

    @compiled
    def evaluation_step(sums, carry, batch, weights, numbers):
        return learner.measured(sums, carry, batch, weights, numbers)

    def evaluate(carry, numbers):
        sums = metrics.zero(learner.net, evaluation=True)
        carry = {name: carry[name] for name in ("params", "state")}
        for rows, weight in zip(indices, weights, strict=True):
            batch = {name: array[rows] for name, array in data.arrays.items()}
            sums = evaluation_step(sums, carry, batch, weight, numbers)
        return _averages(sums, len(data))

    return evaluate


def _averages(sums: dict[str, jax.Array], count: int) -> dict[str, float]:
    """Means from sums, the loss first: JAX has sorted the names."""
    names = sorted(sums, key=lambda name: (name != "loss", name))
    return {name: float(sums[name]) / count for name in names}


class _Bar:
    """A progress bar in the terminal or the notebook, or none."""

    def __init__(self, steps: int, shown: bool):
        from tqdm.auto import tqdm

        self.bar = tqdm(total=steps, disable=not shown, unit="step")
        self.looked = time.perf_counter()
        self.waiting = 0
        self.epoch = 0
        self.seen = 0

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def advance(self, sums: dict[str, jax.Array], epoch: int, size: int) -> None:
        """Counts a step; now and then waits for the device and shows the loss."""
        if epoch != self.epoch:
            self.epoch, self.seen = epoch, 0
        self.seen += size
        self.waiting += 1
        now = time.perf_counter()
        if self.bar.disable or now - self.looked < _LOOK_EVERY:
            return
        loss = float(sums["loss"]) / self.seen
        self.bar.set_description(f"epoch {epoch}, loss {loss:.4f}", refresh=False)
        self._flush()

    def show(self, row: dict[str, Any]) -> None:
        """Shows the figures of an epoch."""
        figures = {k: f"{v:.4f}" for k, v in row.items() if k not in _NOT_SHOWN}
        self.bar.set_description(f"epoch {row['epoch']} done", refresh=False)
        self.bar.set_postfix(figures, refresh=False)
        self._flush()

    def _flush(self) -> None:
        self.bar.update(self.waiting)
        self.waiting, self.looked = 0, time.perf_counter()


_NOT_SHOWN = ("epoch", "seconds")
