"""What each axis sets: a setting of the graph, of the optimizer, or of training.

    seed, batch_size, dtype, optimizer, initial_scale    of training
    learning_rate, weight_decay, ...                     of what makes the optimizer
    c1.features, drop.rate, layer.repeat, ...            of the declaration, by name
    depth, width, ...                                    of what makes the graph

A name that could be two of these is refused; `optimizer.NAME` always means the
optimizer's.
"""

import contextlib
import dataclasses
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from capsjax.compiler import Precision
from capsjax.graph import Graph, with_settings
from capsjax.graph.errors import brief, listing, nearest
from capsjax.graph.settings import known_settings
from capsjax.sweep.axes import Values
from capsjax.training.optimizers import Optimizer, optimizer_of

OF_TRAINING = ("seed", "batch_size", "dtype", "optimizer", "initial_scale")
_HEAD = "optimizer."
_KINDS = ("cap", "loss", "backward")
"""Last parts of the names of settings that are kinds, with settings of their own."""

Factory = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Setup:
    """What is common to the members of a sweep.

    Attributes:
        graph: A declaration; or a function of settings by name that gives one.
        optimizer: What makes the optimizer, where it is no axis.
        batch_size: Examples a step, where it is no axis.
        precision: The types to compute with, where they are no axis.
        initial_scale: Factor of initial weights, where it is no axis.
    """

    graph: Any
    optimizer: Any
    batch_size: int
    precision: Precision | None
    initial_scale: float


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What one member is made of.

    Attributes:
        number: Its row in the table.
        values: What it has, by axis.
        seed: Its seed.
        graph: Its declaration.
        optimizer: What makes its optimizer; settings that are no numbers are built in.
        numbers: Settings of the optimizer that are numbers.
        batch_size: Examples a step.
        precision: The types to compute with.
        scale: Factor of its initial weights.
    """

    number: int
    values: Values
    seed: int
    graph: Any
    optimizer: Optimizer
    numbers: Mapping[str, float]
    batch_size: int
    precision: Precision | None
    scale: float


class Roles:
    """Which axis sets what; makes members of values."""

    def __init__(self, setup: Setup, names: tuple[str, ...]):
        self.setup = setup
        self._graphs: dict[Any, Any] = {}
        self._known: dict[Any, Iterable[str]] = {}
        self._optimizers: dict[Any, Optimizer] = {}
        graph = isinstance(setup.graph, Graph) or hasattr(setup.graph, "typed")
        self._makes = {} if graph else _factory_of(setup.graph)
        self._made_by = not graph
        self._needed = [name for name, x in self._makes.items() if x.default is x.empty]
        self._names = names

    def chosen(self, number: int, values: Values, seed: int) -> Chosen:
        """A member, by its values.

        Raises:
            ValueError: An axis is unknown, or could be several things; or the member
                can't be made, with its number and the place of the fault.
        """
        optimizer = self._optimizer(values.get("optimizer", self.setup.optimizer))
        base = self._base(number, values)
        known = self._settings(number, values, base)
        role_of = {name: self._role(name, optimizer, known) for name in values}
        parted: dict[str, Values] = {"graph": {}, "optimizer": {}, "make": {}}
        for name, value in values.items():
            if role_of[name] != "training":
                key = name.removeprefix(_HEAD) if role_of[name] == "optimizer" else name
                if key in parted[role_of[name]]:
                    raise ValueError(
                        f"over: found the axes {key!r} and {_HEAD + key!r}, which are "
                        "one setting; expected one of them"
                    )
                parted[role_of[name]][key] = value
        graph = self._graph(number, values, base, parted["graph"])
        own, numbers = parted["optimizer"], {}
        for name in list(own):
            if is_number(own[name]):
                numbers[name] = own.pop(name)
        optimizer = optimizer.having(own)
        missing = [name for name in optimizer.missing if name not in numbers]
        if missing:
            raise ValueError(
                f"optimizer {optimizer.name}: found no {listing(missing)}; expected an "
                f"axis of this name in over, or a value: functools.partial("
                f"{optimizer.name}, {missing[0]}=...)"
            )
        return Chosen(
            number,
            values,
            _seed(seed),
            graph,
            optimizer,
            numbers,
            _whole(values.get("batch_size", self.setup.batch_size), "batch_size"),
            _precision(values, self.setup.precision),
            _positive(values.get("initial_scale", self.setup.initial_scale)),
        )

    def _optimizer(self, given: Any) -> Optimizer:
        key = id(given)
        if isinstance(given, str | Mapping):
            key = json.dumps(given, sort_keys=True, default=str)
        if key not in self._optimizers:
            self._optimizers[key] = optimizer_of(given)
        return self._optimizers[key]

    def _role(self, name: str, optimizer: Optimizer, settings: Iterable[str]) -> str:
        """What an axis sets, for a member whose graph has the settings."""
        roles = self._roles(name, optimizer, settings)
        if len(roles) == 1:
            return next(iter(roles))
        if roles:
            several = " and ".join(roles.values())
            prefixed = f"{_HEAD}{name} for the optimizer's, or "
            cure = f"{prefixed if 'optimizer' in roles else ''}rename the other"
            raise ValueError(
                f"over: found the axis {name!r}, which is {several}; expected one of "
                f"them; cure: {cure}"
            )
        known = [*OF_TRAINING, *optimizer.settings, *self._makes, *settings]
        otherwise = "name one of them"
        if "optimizer" in self._names:
            otherwise += ', or cj.axes.when({"optimizer": ...}, ...) for some alone'
        own = listing(optimizer.settings) or "whose settings are built in"
        making = f", of what makes the graph ({listing(self._makes)})"
        raise ValueError(
            f"over: found the axis {name!r}; expected a setting of training "
            f"({listing(OF_TRAINING)}), of the optimizer {optimizer.name} ({own})"
            f"{making if self._makes else ''}, or of the graph, such as c1.features; "
            f"{nearest(name, known, otherwise)}"
        )

    def _roles(
        self, name: str, optimizer: Optimizer, settings: Iterable[str]
    ) -> dict[str, str]:
        if name.startswith(_HEAD):
            known = name.removeprefix(_HEAD) in optimizer.settings
            return {"optimizer": "a setting of the optimizer"} if known else {}
        roles = {}
        if name in OF_TRAINING:
            roles["training"] = "a setting of training"
        if name in optimizer.settings:
            roles["optimizer"] = f"a setting of the optimizer {optimizer.name}"
        if name in self._makes:  # before the graph's, of which it may be one: backward
            roles["make"] = "a setting of what makes the graph"
        elif name in settings:
            roles["graph"] = "a setting of the graph"
        return roles

    def _settings(self, number: int, values: Values, base: Any) -> Iterable[str]:
        """The settings of a declaration, in which a member's kinds stand."""
        if not isinstance(base, Graph):
            return ()
        kinds = {n: v for n, v in values.items() if n.rpartition(".")[2] in _KINDS}
        key = id(base), json.dumps(kinds, sort_keys=True, default=repr)
        if key not in self._known:
            with _in_member(number, values):
                self._known[key] = known_settings(base, kinds)
        return self._known[key]

    def _base(self, number: int, values: Values) -> Any:
        """The declaration before settings by name; None if its maker lacks settings."""
        if not self._made_by:
            return self.setup.graph
        own = {name: values[name] for name in self._makes if name in values}
        if not own.keys() >= set(self._needed):
            return None
        key = json.dumps(own, sort_keys=True, default=repr)
        if key not in self._graphs:
            with _in_member(number, values):
                self._graphs[key] = self._made(own)
        return self._graphs[key]

    def _made(self, own: Values) -> Any:
        graph = self.setup.graph(**own)
        if not isinstance(graph, Graph) and not hasattr(graph, "typed"):
            raise ValueError(
                f"what makes the graph returned {brief(graph)}; expected a Graph, "
                "cj.graph(outputs...)"
            )
        return graph

    def _graph(self, number: int, values: Values, base: Any, settings: Values) -> Any:
        if base is None:
            missing = [name for name in self._needed if name not in values]
            raise ValueError(
                f"what makes the graph: found no {listing(missing)}; expected an axis "
                "of this name in over, or a default"
            )
        if not settings:
            return base
        key = id(base), json.dumps(settings, sort_keys=True, default=repr)
        if key not in self._graphs:
            with _in_member(number, values):
                self._graphs[key] = with_settings(base, settings)
        return self._graphs[key]


@contextlib.contextmanager
def _in_member(number: int, values: Values) -> Iterator[None]:
    """What goes wrong inside is said of a member."""
    try:
        yield
    except Exception as error:  # code of the user's may raise anything
        place = f"member {number} ({in_words(values)})"
        raise ValueError(f"{place} can't be made: {error}") from error


def is_number(value: Any) -> bool:
    """Whether a setting is a number that a program may be given."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def in_words(values: Mapping[str, Any]) -> str:
    """Values by axis, for messages."""
    return ", ".join(f"{name}={shown(value)}" for name, value in values.items())


def shown(value: Any) -> str:
    """A value of an axis as text: what is no plain data, by its name."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return str(value)


def _factory_of(make: Any) -> dict[str, inspect.Parameter]:
    """The settings of what makes the graph, by name."""
    if not callable(make):
        raise TypeError(
            "cj.sweep takes a Graph, or a function that makes one of settings by name, "
            f"not {brief(make)}"
        )
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(make).parameters
    return {name: x for name, x in parameters.items() if x.kind in named}


def _whole(value: Any, name: str) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{name} is {brief(value)}; expected a number, 1 or more")
    return int(value)


def _seed(value: Any) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 0:
        raise ValueError(f"seed is {brief(value)}; expected a whole number, 0 or more")
    return int(value)


def _positive(value: Any) -> float:
    if not is_number(value) or not value > 0:
        raise ValueError(
            f"initial_scale is {brief(value)}; expected a number above zero"
        )
    return float(value)


def _precision(values: Values, default: Precision | None) -> Precision | None:
    if "dtype" not in values:
        return default
    given = values["dtype"]
    return given if isinstance(given, Precision) else Precision(given)
