"""Optimizers: what makes them, and which of their settings are numbers to be given.

An optimizer of optax is a pair of functions in which every setting is built in. So what
is kept here is what *makes* one of its settings, a factory: called while a step is
traced, with traced numbers, it gives an optimizer whose settings are arguments of the
program. Factories are functions (`optax.adamw`, one of your own), or declared by name:

    {"kind": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-4, "clip_norm": 1.0}
    {"kind": "sgd", "learning_rate": {"kind": "cosine", "peak": 0.1, "steps": 500}}

Declared ones are plain data, which documents and other machines can be given. Their
kinds are those of optax in `OPTIMIZERS` and the schedules of `capsjax.schedules`; a
setting of a schedule is called `learning_rate.peak`.
"""

import dataclasses
import inspect
import json
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.graph.errors import brief, listing, nearest
from capsjax.training import schedules

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
    )
}
"""Kinds of schedules in documents."""

CLIP = "clip_norm"
"""Setting of declared optimizers: the largest norm of all gradients together."""

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

        Real numbers that are traced become weakly typed, as Python's are.
        """
        own = {name: weak(value) for name, value in settings.items()}
        return self.make(**{**self.given, **own})

    def having(self, settings: Settings) -> "Optimizer":
        """The same with settings built in."""
        given = {**self.given, **settings}
        return dataclasses.replace(self, given=given)

    @property
    def missing(self) -> list[str]:
        """Settings that have no value and no default."""
        if self.document is not None:
            return []
        found = inspect.signature(self.make).parameters.values()
        needed = [x.name for x in found if x.default is x.empty and x.kind in _NAMED]
        return [name for name in needed if name not in self.given]


def weak(value: Any) -> Any:
    """A traced real number as what a Python number would be: weakly typed."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):
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


def _declared(document: Mapping[str, Any]) -> Optimizer:
    """A factory from its declaration."""
    import optax

    kind = document.get("kind")
    if kind not in OPTIMIZERS:
        cure = nearest(kind, OPTIMIZERS, "name one of them")
        raise ValueError(
            f"optimizer: found the kind {brief(kind)}; expected one of "
            f"{', '.join(OPTIMIZERS)}; {cure}"
        )
    function = getattr(optax, str(kind))
    known = [*_numbers(function), CLIP]
    values = {"learning_rate": 1e-3, **document}
    del values["kind"]
    _check(f"optimizer {kind}", values, known)
    schedule, flat = None, {k: v for k, v in values.items() if k != "learning_rate"}
    rate = values["learning_rate"]
    names = [name for name in known if name != "learning_rate"]
    if isinstance(rate, Mapping):
        schedule = _schedule(f"optimizer {kind}: learning_rate", rate)
        parameters = inspect.signature(schedule).parameters
        flat |= {f"learning_rate.{k}": v for k, v in rate.items() if k != "kind"}
        names += [f"learning_rate.{name}" for name in parameters]
    else:
        flat["learning_rate"] = rate
        names.append("learning_rate")

    def make(**settings: Any) -> Any:
        clip = settings.pop(CLIP, None)
        head = "learning_rate."
        own = {k: v for k, v in settings.items() if not k.startswith(head)}
        if schedule is not None:
            rest = {
                k.removeprefix(head): v for k, v in settings.items() if k not in own
            }
            own["learning_rate"] = schedule(**rest)
        made = function(**own)
        if clip is None:
            return made
        return optax.chain(optax.clip_by_global_norm(clip), made)

    text = json.loads(json.dumps(document))
    return Optimizer(str(kind), make, tuple(names), flat, text)


def _schedule(place: str, rate: Mapping[str, Any]) -> Callable[..., Any]:
    kind = rate.get("kind")
    if kind not in SCHEDULES:
        cure = nearest(kind, SCHEDULES, "name one of them")
        raise ValueError(
            f"{place}: found the kind {brief(kind)}; expected a number, or a schedule: "
            f"{', '.join(SCHEDULES)}; {cure}"
        )
    schedule = SCHEDULES[str(kind)]
    parameters = inspect.signature(schedule).parameters
    values = {name: value for name, value in rate.items() if name != "kind"}
    _check(f"{place}, {kind}", values, list(parameters))
    needed = [n for n, x in parameters.items() if x.default is x.empty]
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(f"{place}, {kind}: found no {listing(missing)}; expected one")
    return schedule


def _numbers(function: Callable[..., Any]) -> Iterator[str]:
    """Parameters of an optimizer of optax that plain data can give."""
    for name, each in inspect.signature(function).parameters.items():
        optional = each.default is None and name in ("momentum", "clipping_threshold")
        if optional or isinstance(each.default, int | float) or name == "learning_rate":
            yield name


def _check(place: str, values: Mapping[str, Any], known: list[str]) -> None:
    for name, value in values.items():
        if name not in known:
            cure = nearest(name, known, "leave it out")
            raise ValueError(
                f"{place}: found the setting {brief(name)}; expected some of "
                f"{listing(known)}; {cure}"
            )
        if name != "learning_rate" and not isinstance(value, bool | int | float | None):
            raise ValueError(
                f"{place}, {name}: found {brief(value)}; expected a number, or true or "
                "false"
            )
        if name == "learning_rate" and not isinstance(value, int | float | Mapping):
            raise ValueError(
                f"{place}, {name}: found {brief(value)}; expected a number or a "
                'schedule, such as {"kind": "cosine", "peak": 0.1, "steps": 500}'
            )
