"""fit: train a network on data; one compiled step, data on the device, one seed."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.batch import require_loss
from capsjax.compiler.jit import jit
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
from capsjax.training.run import Run
from capsjax.training.step import optimizer_step

_LOOK_EVERY = 0.25  # seconds between two looks at the device for the progress bar


Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
Trace = Callable[[int, Any, Any], None]


def fit(
    net: Network,
    data: Data | Split | Mapping[str, Any],
    *,
    validation: Split | Mapping[str, Any] | None = None,
    optimizer: Any = None,
    epochs: int = 20,
    batch_size: int = 32,
    seed: int = 0,
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
        optimizer: An optax optimizer; `optax.adam(1e-3)` if left out.
        epochs: Number of passes over the data.
        batch_size: Examples per step; all of them, if there are fewer.
        seed: Decides initial parameters and order. The same seed on the same machine
            gives the same run, bit by bit.
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
    import optax  # here: it adds a quarter to the time of `import jax`

    return fit_by(
        lambda function: jit(function, donate_argnums=0),
        net,
        data,
        validation=validation,
        optimizer=optax.adam(1e-3) if optimizer is None else optimizer,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
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
    params: Any = None,
    progress: bool = True,
    trace: Trace | None = None,
) -> Run:
    """`fit`, whose programs are compiled by a given function.

    Args:
        compiled: `compiled(f)` compiles `f` and donates its first argument, to which
            the result is equal in structure; the name of `f` says what it is.
    """
    _check_settings(net, epochs, batch_size)
    given, test = split_of(data)
    train = bind(net, given, "data")
    test = validation if validation is not None else test
    held_out = None if test is None else bind(net, test, "validation")
    carry = _initial(net, optimizer, seed, params)
    step = compiled(_training_step(net, optimizer, train.on_device))
    evaluate = _evaluation(compiled, net, held_out, batch_size)
    size = min(batch_size, len(train))
    rows, start, steps = [], time.perf_counter(), 0
    if trace is not None:
        trace(0, carry["params"], carry["state"])
    with _Bar(epochs * (len(train) // size), progress) as bar:
        for epoch in range(1, epochs + 1):
            carry["sums"] = metrics.zero(net)
            order = permutation(len(train), size, seed, epoch)
            for feed in _feeds(train, order):
                carry = step(carry, *feed)
                steps += 1
                if trace is not None:
                    trace(steps, carry["params"], carry["state"])
                bar.advance(carry["sums"], epoch, size)
            row = _averages(carry["sums"], order.size)
            row |= {f"validation_{k}": v for k, v in evaluate(carry).items()}
            seconds = time.perf_counter() - start
            rows.append({"epoch": epoch, "seconds": round(seconds, 3), **row})
            bar.show(rows[-1])
    import pandas as pd  # here: the first step shall not wait for it

    return Run(net, carry["params"], carry["state"], pd.DataFrame(rows))


def _check_settings(net: Network, epochs: int, batch_size: int) -> None:
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    require_loss(net.graph)


def _initial(net: Network, optimizer: Any, seed: int, params: Any) -> dict[str, Any]:
    drawn, state = net.init(jax.random.key(seed))
    # A copy, since the step donates its buffers and the user's must stay whole.
    params = drawn if params is None else jax.tree.map(jnp.copy, params)
    return {
        "params": params,
        "state": state,
        "optimizer": optimizer.init(params),
        "key": jax.random.key(seed),
        "sums": metrics.zero(net),
    }


def _training_step(net: Network, optimizer: Any, on_device: bool) -> Callable[..., Any]:
    """`step(carry, batch)`; `step(carry, data, order, i)` with data on the device."""

    def training_step(carry, batch):
        key, own = jax.random.split(carry["key"])
        given = carry["params"], carry["state"], carry["optimizer"]
        params, state, inner, loss, outputs = optimizer_step(
            net, optimizer, *given, batch, own
        )
        sums = metrics.of_step(net, loss, outputs, batch)
        sums = {name: carry["sums"][name] + sums[name] for name in sums}
        return {
            "params": params,
            "state": state,
            "optimizer": inner,
            "key": key,
            "sums": sums,
        }

    def gathered(carry, data, order, i):
        return training_step(carry, take(data, order[i]))

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
    compiled: Compile, net: Network, data: Dataset | None, batch_size: int
) -> Callable[[Any], dict[str, float]]:
    """A function that measures the parameters in a carry on data."""
    if data is None:
        return lambda carry: {}
    indices, weights = covering(len(data), min(batch_size, len(data)))

    @compiled
    def evaluation_step(sums, params, state, batch, weights):
        losses, outputs = net.examples(params, state, batch)
        own = metrics.of_examples(net, losses, outputs, batch, weights)
        return {name: sums[name] + own[name] for name in own}

    def evaluate(carry):
        sums = metrics.zero(net, evaluation=True)
        for rows, weight in zip(indices, weights, strict=True):
            batch = {name: array[rows] for name, array in data.arrays.items()}
            sums = evaluation_step(sums, carry["params"], carry["state"], batch, weight)
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
