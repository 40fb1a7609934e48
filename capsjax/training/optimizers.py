"""Optimizers: what makes them, and which of their settings are numbers to be given.

An optimizer of optax is a pair of functions in which every setting is built in. So what
is kept here is what *makes* one of its settings, a factory: called while a step is
traced, with traced numbers, it gives an optimizer whose settings are arguments of the
program. Factories are functions (`optax.adamw`, one of your own), or declared by name:

    {"kind": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-4, "clip_norm": 1.0}
    {"kind": "sgd", "learning_rate": {"kind": "cosine", "peak": 0.1, "steps": 500}}

Declared ones are plain data, which documents and other machines can be given. Their
kinds are those of optax in `OPTIMIZERS` and the schedules of `capsjax.schedules`; a
setting of a schedule is called `learning_rate.peak`. Beside its own settings each kind
has those of `COMMON`, which act in this order:

    accumulate    steps whose gradients are averaged for one update of the parameters
    clip_value    the largest absolute value of a gradient
    clip_norm     the largest norm of all gradients together
"""

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.graph.errors import brief, listing, nearest
from capsjax.training import schedules
from capsjax.training.accumulation import accumulated

OPTIMIZERS = (
    *("adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamaxw"),
    *("adamw", "adan", "amsgrad", "fromage", "lamb", "lars", "lion", "nadam", "nadamw"),
    *("novograd", "optimistic_gradient_descent", "radam", "rmsprop", "rprop", "sgd"),
    *("sign_sgd", "signum", "sm3", "yogi"),
)
"""Kinds of optimizers in documents, as optax calls them."""

SCHEDULES: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        schedules.constant,
        schedules.cosine,
        schedules.exponential,
        schedules.linear,
        schedules.one_cycle,
        schedules.piecewise,
        schedules.staircase,
        schedules.warmup_linear,
    )
}
"""Kinds of schedules in documents."""

CLIP = "clip_norm"
CLIP_VALUE = "clip_value"
ACCUMULATE = "accumulate"
COMMON = (CLIP, CLIP_VALUE, ACCUMULATE)
"""Settings of all declared optimizers."""

Settings = Mapping[str, Any]
NO_SETTINGS: Settings = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What makes an optimizer of its settings.

    Attributes:
        name: What it is called.
        make: `make(**settings)` gives an `optax.GradientTransformation`; names with a
            dot are settings of a schedule.
        settings: Names of the settings.
        given: Those that have values, by name.
        document: The declaration, if there is one.
    """

    name: str
    make: Callable[..., Any]
    settings: tuple[str, ...]
    given: Mapping[str, Any]
    document: Any = None

    def __call__(self, settings: Settings = NO_SETTINGS) -> Any:
        """The optimizer with these settings in place of those that it has.

        Real numbers that are arrays become weakly typed, as Python's are.
        """
        own = {name: weak(value) for name, value in settings.items()}
        return self.make(**{**self.given, **own})

    def having(self, settings: Settings) -> "Optimizer":
        """The same with settings built in.

        Raises:
            ValueError: A setting does not fit what is declared.
        """
        if self.document is None or not settings:
            return dataclasses.replace(self, given={**self.given, **settings})
        return _declared(_document(self.document, settings))

    @property
    def missing(self) -> list[str]:
        """Settings that have no value and no default."""
        if self.document is not None:
            return []
        found = inspect.signature(self.make).parameters.values()
        needed = [x.name for x in found if x.default is x.empty and x.kind in _NAMED]
        return [name for name in needed if name not in self.given]


def weak(value: Any) -> Any:
    """A real number, traced or not, as a Python number would be: weakly typed."""
    array = isinstance(value, jax.Array | np.ndarray)
    if array and jnp.issubdtype(value.dtype, jnp.floating):
        return jnp.full_like(0.0, value)
    return value


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def optimizer_of(given: Any) -> Optimizer:
    """What makes an optimizer, from all that may be given for one.

    Args:
        given: None, for Adam with learning rate 1e-3; the name of a kind; a mapping
            that declares one; a function of settings by name that returns an optimizer
            of optax, such as `optax.adamw`; or an optimizer, whose settings are fixed.

    Returns:
        The factory.

    Raises:
        ValueError: What is declared is unknown or does not fit, with the place.
        TypeError: It is nothing of these.
    """
    if isinstance(given, Optimizer):
        return given
    if given is None:
        given = "adam"
    if isinstance(given, str):
        given = {"kind": given}
    if isinstance(given, Mapping):
        return _declared(given)
    if hasattr(given, "init") and hasattr(given, "update"):
        return Optimizer(type(given).__name__, lambda: given, (), {})
    if callable(given):
        return _factory(given)
    raise TypeError(
        f"found the optimizer {brief(given)}; expected a function of optax, such as "
        'optax.adamw, its name, {"kind": "adamw", "weight_decay": 1e-4}, or an '
        "optimizer"
    )


def _factory(make: Callable[..., Any]) -> Optimizer:
    parameters = inspect.signature(make).parameters.values()
    names = tuple(x.name for x in parameters if x.kind in _NAMED)
    function = getattr(make, "func", make)  # of functools.partial
    name = getattr(function, "__name__", type(function).__name__)
    return Optimizer(name, make, names, {})


_RATE = "learning_rate"
_HEAD = f"{_RATE}."
"""Begins the names of a schedule's settings."""


def _declared(given: Mapping[str, Any]) -> Optimizer:
    """A factory from its declaration."""
    import optax

    document = _plain(given)
    kind = document.get("kind")
    if kind not in OPTIMIZERS:
        cure = nearest(kind, OPTIMIZERS, "name one of them")
        raise ValueError(
            f"optimizer: found the kind {brief(kind)}; expected one of "
            f"{', '.join(OPTIMIZERS)}; {cure}"
        )
    function = getattr(optax, kind)
    own = {name: value for name, value in document.items() if name != "kind"}
    rate = own.pop(_RATE, 1e-3)
    known = {**_settings(function), **dict.fromkeys(COMMON)}
    _check(f"optimizer {kind}", own, known, more=[_RATE])
    if isinstance(rate, Mapping):
        schedule = _schedule(f"optimizer {kind}: {_RATE}", rate)
        names = [_HEAD + name for name in inspect.signature(schedule).parameters]
        own |= {_HEAD + name: rate[name] for name in rate if name != "kind"}
    else:
        if not _is_number(rate):
            raise ValueError(
                f"optimizer {kind}, {_RATE}: found {brief(rate)}; expected a number or "
                'a schedule, such as {"kind": "cosine", "peak": 0.1, "steps": 500}'
            )
        schedule, names = None, [_RATE]
        own[_RATE] = rate

    def make(**settings: Any) -> Any:
        around = {name: settings.pop(name, None) for name in COMMON}
        if schedule is not None:
            of_schedule = [name for name in settings if name.startswith(_HEAD)]
            rates = {n.removeprefix(_HEAD): settings.pop(n) for n in of_schedule}
            settings[_RATE] = schedule(**rates)
        return _with_common(function(**settings), around)

    return Optimizer(kind, make, (*known, *names), own, document)


def _with_common(made: Any, settings: Settings) -> Any:
    """An optimizer with the settings that all have."""
    import optax

    value, norm, steps = settings[CLIP_VALUE], settings[CLIP], settings[ACCUMULATE]
    before = [] if value is None else [optax.clip(value)]
    before += [] if norm is None else [optax.clip_by_global_norm(norm)]
    made = optax.chain(*before, made) if before else made
    return made if steps is None else accumulated(made, steps)


def _document(document: Settings, settings: Settings) -> dict[str, Any]:
    """A declaration with other settings by name, those of its schedule among them."""
    made = dict(document)
    for name, value in settings.items():
        if name.startswith(_HEAD) and isinstance(made.get(_RATE), Mapping):
            made[_RATE] = {**made[_RATE], name.removeprefix(_HEAD): value}
        else:
            made[name] = value
    return made


def _plain(value: Any) -> Any:
    """A declaration as plain data: numpy's numbers as Python's, each table a dict."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _schedule(place: str, rate: Mapping[str, Any]) -> Callable[..., Any]:
    kind = rate.get("kind")
    if not isinstance(kind, str) or kind not in SCHEDULES:
        cure = nearest(kind, SCHEDULES, "name one of them")
        raise ValueError(
            f"{place}: found the kind {brief(kind)}; expected a number, or a schedule: "
            f"{', '.join(SCHEDULES)}; {cure}"
        )
    schedule = SCHEDULES[kind]
    parameters = inspect.signature(schedule).parameters
    values = {name: value for name, value in rate.items() if name != "kind"}
    empty = inspect.Parameter.empty
    known = {n: 0.0 if x.default is empty else x.default for n, x in parameters.items()}
    known |= {name: () for name in LISTS if name in known}
    _check(f"{place}, {kind}", values, known)
    needed = [name for name, x in parameters.items() if x.default is empty]
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(f"{place}, {kind}: found no {listing(missing)}; expected one")
    try:
        schedule(**values)
    except ValueError as error:
        raise ValueError(f"{place}, {error}") from None
    return schedule


LISTS = ("boundaries", "factors")
"""Settings of schedules that may be lists of numbers, then of one length."""

_MOST = 100  # of a list: each is a part of the program

_NUMBERS_IF_ANY = ("momentum", "weight_decay_rate")
"""Settings of optax that are numbers, or None, which is the default."""


def _settings(function: Callable[..., Any]) -> dict[str, Any]:
    """Settings of an optimizer of optax that plain data can give, with defaults."""
    found = {}
    for name, each in inspect.signature(function).parameters.items():
        optional = each.default is None and name in _NUMBERS_IF_ANY
        if name != _RATE and (optional or isinstance(each.default, int | float)):
            found[name] = each.default
    return found


def _check(
    place: str, values: Settings, known: Settings, more: Sequence[str] = ()
) -> None:
    """Raises where a setting is unknown, or of another type than its default."""
    for name, value in values.items():
        if name not in known:
            names = [*more, *known]
            cure = nearest(name, names, "leave it out")
            raise ValueError(
                f"{place}: found the setting {brief(name)}; expected some of "
                f"{listing(names)}; {cure}"
            )
        default = known[name]
        fits, expected = _is_number(value), "a number"
        if isinstance(default, bool):
            fits, expected = isinstance(value, bool), "true or false"
        elif default == ():
            fits, expected = fits or _are_numbers(value), "a number, or a list of some"
        elif name == ACCUMULATE:
            fits = value is None or (type(value) is int and value >= 1)
            expected = "a whole number of at least 1, or null"
        elif default is None:
            fits, expected = fits or value is None, "a number, or null"
        if not fits:
            raise ValueError(
                f"{place}, {name}: found {brief(value)}; expected {expected}"
            )


def _are_numbers(value: Any) -> bool:
    few = isinstance(value, Sequence) and 0 < len(value) <= _MOST
    return few and not isinstance(value, str) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
