"""evaluate: what training measures on validation data, for any parameters and data."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from capsjax.compiler import Network
from capsjax.compiler.batch import require_loss
from capsjax.compiler.jit import jit
from capsjax.graph.errors import brief
from capsjax.training import metrics
from capsjax.training.data import Data, Split
from capsjax.training.dataset import Dataset, bind, covering
from capsjax.training.learner import Learner, number
from capsjax.training.optimizers import optimizer_of
from capsjax.training.run import Run

Compile = Callable[[Callable[..., Any]], Callable[..., Any]]


def evaluate(
    net: Network | Run,
    data: Data | Split | Mapping[str, Any],
    *,
    params: Any = None,
    state: Any = None,
    batch_size: int = 256,
    settings: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Measures a network on data: the loss, and the accuracy of classes.

    These are the metrics that `cj.fit` reports with the prefix `validation_`, averaged
    over all examples; with the batch size of training, the same bit by bit.

    Args:
        net: A run; or a network, with parameters.
        data: What `cj.load_data(...)` gives, whose test examples are taken; or
            examples; or arrays by input and output name.
        params: Parameters; `run.evaluated`, if left out: the moving average where one
            was kept.
        state: State; that of the run, if left out, or of a network that has none.
        batch_size: Examples that are evaluated together.
        settings: Traced settings of the network by name, as for `cj.fit`.

    Returns:
        Means over the examples by name, `loss` first.

    Raises:
        ValueError: The data, the parameters or the state do not fit the network, by
            name; or it declares no loss.
        TypeError: There is a network, but there are no parameters.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 1))
        >>> flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
        >>> digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
        >>> net = cj.compile(cj.graph(digit, losses={"digit": "cross_entropy"}))
        >>> data = cj.load_data("digits")
        >>> run = cj.fit(net, data, epochs=2, progress=False)
        >>> found = cj.evaluate(run, data, batch_size=32)
        >>> found["loss"] == run.history["validation_loss"].iloc[-1]
        np.True_
    """
    net, carry = parts(net, params, state)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(
            f"batch_size is {brief(batch_size)}; expected a whole number of at least 1"
        )
    learner = Learner(net, optimizer_of(None))
    numbers = jax.tree.map(number, learner.given(settings or {}))
    held_out = bind(net, examples_of(data), "data")
    measure = evaluation(_compiled, learner, held_out, batch_size)
    return measure(carry, numbers)


def parts(net: Network | Run, params: Any, state: Any) -> tuple[Network, Any]:
    """A network that declares a loss, and its parameters and state as a carry."""
    if isinstance(net, Run):
        params = net.evaluated if params is None else params
        state = net.state if state is None else state
        net = net.net
    elif params is None:
        raise TypeError(
            "found a network and no parameters; expected a run, or params= and state= "
            "beside the network"
        )
    require_loss(net.graph)
    return net, {"params": params, "state": {} if state is None else state}


def examples_of(data: Any) -> Any:
    """The examples to judge by, in what `cj.fit` or `cj.evaluate` is given."""
    return data.test if isinstance(data, Data) else data


def evaluation(
    compiled: Compile, learner: Learner, data: Dataset | None, batch_size: int
) -> Callable[[Any, Any], dict[str, float]]:
    """A function that measures the parameters in a carry on data.

    Args:
        compiled: `compiled(f)` compiles `f` and donates its first argument.
        learner: What knows the network.
        data: The examples; without, nothing is measured.
        batch_size: Examples of one call of the program.

    Returns:
        `evaluate(carry, numbers)`, which gives means by name.
    """
    if data is None:
        return lambda carry, numbers: {}
    indices, weights = covering(len(data), min(batch_size, len(data)))
    learner = prepared(learner, data)

    def batches() -> Iterator[Any]:
        if not data.on_device:
            yield from data.feeds(indices)
            return
        for rows in indices:
            yield {name: array[rows] for name, array in data.arrays.items()}

    @compiled
    def evaluation_step(sums, carry, batch, weights, numbers):
        return learner.measured(sums, carry, batch, weights, numbers)

    def evaluate(carry, numbers):
        sums = metrics.zero(learner.net, evaluation=True)
        used = ("params", "average", "state")
        carry = {name: carry[name] for name in used if name in carry}
        for batch, weight in zip(batches(), weights, strict=True):
            sums = evaluation_step(sums, carry, batch, weight, numbers)
        return averages(sums, len(data))

    return evaluate


def prepared(learner: Learner, data: Dataset) -> Learner:
    """The learner of what this data feeds."""
    own = None if data.on_device else data.prepare
    return dataclasses.replace(learner, prepare=own)


def averages(sums: dict[str, jax.Array], count: int) -> dict[str, float]:
    """Means from sums, the loss first: JAX has sorted the names."""
    names = sorted(sums, key=lambda name: (name != "loss", name))
    return {name: float(sums[name]) / count for name in names}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return jit(function, donate_argnums=0)
