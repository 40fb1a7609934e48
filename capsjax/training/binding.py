"""What of a data set each input and each target of a network is.

Data has arrays, its *columns*. Each array that a network wants takes one of them, by
a *route*. Where columns have the names of inputs and outputs, the names say which.
Where there are two, inputs, such as images, and targets, such as labels, their shapes
say it:

    an input     takes the inputs, if they fit it; else the targets
    an output's  target is the targets, if they fit or the loss is over classes;
                 else the inputs, which it then reconstructs

An array fits if its examples have the shape that is asked for; or lack only its channel
axis of 1; or are as many numbers and a row is asked for. Labels also fit an input that
is a row: one-hot. So CapsNet with its decoder learns from a plain set of labelled
images, as an autoencoder does.

Bytes (uint8) stand for pictures: an input of real numbers, and a target that is a
picture or an input too, take them as float32 in [0, 1], x / 255 exactly rounded.

Two faults are refused. Where two inputs would take the same array, nobody can know
which is meant. And where the inputs would go nowhere, a network whose input has the
wrong size would learn labels from labels.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.graph.kinds import Shape
from capsjax.losses import holds_classes
from capsjax.training.data.checks import Labels
from capsjax.training.data.spec import Spec, Specs
from capsjax.training.data.split import unit_interval

Routes = Mapping[str, "Route"]


@dataclasses.dataclass(frozen=True)
class Route:
    """How an array of a network comes from a column of the data.

    Attributes:
        column: The column's name.
        shape: The shape of an example in the network.
        unit: Whether bytes become float32 in [0, 1].
        one_hot: Whether labels become one-hot rows of float32.
        labels: Which labels the column may hold, if it holds labels.
    """

    column: str
    shape: Shape
    unit: bool = False
    one_hot: bool = False
    labels: Labels | None = None

    def spec(self, specs: Specs) -> Spec:
        """What an example is in the network."""
        changed = self.unit or self.one_hot
        dtype = np.dtype(np.float32) if changed else specs[self.column].dtype
        return Spec(self.shape, dtype)

    def on_host(self, array: np.ndarray) -> np.ndarray:
        """The network's array from the whole column; a view of it where it can be.

        Raises:
            ValueError: Labels that become one-hot are out of range.
        """
        if self.one_hot:
            if self.labels is not None and (fault := self.labels.fault(array)):
                raise ValueError(fault)
            return np.eye(self.shape[0], dtype=np.float32)[array]
        if self.unit:
            array = unit_interval(array)
        same = array.shape[1:] == self.shape
        return array if same else array.reshape(len(array), *self.shape)

    def in_step(self, array: jax.Array) -> jax.Array:
        """The same of a batch, within a program; bit by bit as on the host."""
        if self.one_hot:
            return jax.nn.one_hot(array, self.shape[0], dtype=jnp.float32)
        if self.unit:
            array = unit_in_step(array)
        return array.reshape(array.shape[0], *self.shape)


def unit_in_step(values: jax.Array) -> jax.Array:
    """Turns bytes into float32 in [0, 1], within a program.

    By a table, since compilers turn x / 255 into x * (1 / 255), which rounds 126 of
    the 256 bytes otherwise, and join products and sums that follow into one rounding.
    """
    table = jnp.asarray(unit_interval(np.arange(256, dtype=np.uint8)))
    return table.at[values].get(mode="promise_in_bounds")


def given_inputs(net: Network) -> list[Any]:
    """The inputs that data must give: those that are not learned."""
    return [x for x in net.graph.inputs if not getattr(x, "learned", False)]


def apply_routes(routes: Routes, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays by the names of a network; what has two names is made once."""
    made = {route: route.on_host(columns[route.column]) for route in routes.values()}
    return {name: made[route] for name, route in routes.items()}


def routes_by_name(net: Network, specs: Specs) -> dict[str, Route]:
    """Routes where columns have the names of inputs and outputs, or unknown ones."""
    inputs = {each.name: each for each in given_inputs(net)}
    losses = dict(net.graph.losses)
    found = {}
    for name, spec in specs.items():
        if name in inputs:
            found[name] = _to_input(inputs[name], name, spec)
        elif name in losses:
            found[name] = _to_target(net, name, losses[name], name, spec)
        else:
            found[name] = Route(name, spec.shape)
    return found


def routes_by_shape(net: Network, specs: Specs, what: str) -> dict[str, Route]:
    """Routes of the two columns "inputs" and "targets".

    Raises:
        ValueError: Two inputs would take the same column.
    """
    inputs, losses = given_inputs(net), net.graph.losses
    sources = {each.name: _source(each, specs) for each in inputs}
    targets = {name: _target(net, name, loss, specs) for name, loss in losses}
    reconstructed = any(route.column == "inputs" for route in targets.values())
    if "inputs" not in sources.values() and not reconstructed:
        sources[inputs[0].name] = "inputs"
    routes, taken = {}, {}
    for each in inputs:
        source = sources[each.name]
        if source in taken:
            names = [*sources, *targets]
            raise ValueError(
                f"network {net.graph.name!r}: inputs {taken[source]!r} and "
                f"{each.name!r} would both take the {source} of the {what}; give "
                f"{what} as arrays by name, {', '.join(map(repr, names))}"
            )
        taken[source] = each.name
        routes[each.name] = _to_input(each, source, specs[source])
    return routes | targets


def _source(each: Any, specs: Specs) -> str:
    """Which column an input takes; the inputs, if neither fits."""
    if fits(specs["inputs"].shape, each.shape):
        return "inputs"
    labels = _are_labels(specs["targets"]) and len(each.shape) == 1
    if labels or fits(specs["targets"].shape, each.shape):
        return "targets"
    return "inputs"


def _to_input(each: Any, column: str, spec: Spec) -> Route:
    if fits(spec.shape, each.shape):
        unit = spec.holds_bytes and each.dtype == "float"
        return Route(column, each.shape, unit=unit)
    if column == "targets" and _are_labels(spec) and len(each.shape) == 1:
        (classes,) = each.shape
        why = f"it has {classes} numbers, one for each class"
        labels = Labels(f"input {each.name!r}", classes, why)
        return Route(column, each.shape, one_hot=True, labels=labels)
    return Route(column, spec.shape)


def _target(net: Network, name: str, loss: Any, specs: Specs) -> Route:
    shape = net.shapes[name].output
    targets = loss.classes or specs["targets"].shape == shape
    column = "inputs" if not targets and fits(specs["inputs"].shape, shape) else None
    column = column or "targets"
    return _to_target(net, name, loss, column, specs[column])


def _to_target(net: Network, name: str, loss: Any, column: str, spec: Spec) -> Route:
    shape = net.shapes[name].output
    if holds_classes(loss, _Batch(spec), (1, *shape)):
        labels = Labels(
            f"target of {name!r}", shape[-1], f"the capsule has {shape[-1]}"
        )
        return Route(column, spec.shape, labels=labels)
    fitting = not loss.classes and fits(spec.shape, shape)
    picture = column == "inputs" or len(spec.shape) >= 2
    unit = spec.holds_bytes and picture and not loss.classes
    return Route(column, shape if fitting else spec.shape, unit=unit)


class _Batch:
    """A batch of one, as what looks at shape and type alone sees it."""

    def __init__(self, spec: Spec):
        self.shape, self.dtype = (1, *spec.shape), spec.dtype


def _are_labels(spec: Spec) -> bool:
    return spec.shape == () and spec.holds_integers


def fits(found: Shape, wanted: Shape) -> bool:
    """Whether examples can be taken as they are; flattened, row-major, as a row.

    Networks of single neurons and of dense layers have no notion of an image's axes.
    """
    if found == wanted or (*found, 1) == wanted:
        return True
    return len(wanted) == 1 and math.prod(found) == wanted[0]
