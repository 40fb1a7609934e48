"""Why a function was traced again: which shape, type or static value has changed.

`jax.jit` traces a function once for each signature of its arguments: their structure,
shapes and types, and the values of static ones. A signature that changes unnoticed (a
last batch that is smaller, a number for an array) costs a compilation each time.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax

from capsjax.compiler.jit import jit
from capsjax.graph.errors import brief

_LOG = logging.getLogger("capsjax")

Signature = dict[str, tuple[Any, str]]
"""By the place of an argument or leaf: what must be equal, and how to say it."""


class Explained:
    """A compiled function that says why it is traced again; see `explain_retraces`.

    Attributes:
        retraces: Each explanation so far.
    """

    def __init__(self, function: Callable[..., Any], settings: dict[str, Any]):
        self.retraces: list[str] = []
        self._function = function
        self._static = _static_names(function, settings)
        self._seen: list[tuple[Signature, dict[str, Any]]] = []
        self._traced = False
        self._jitted = jit(self._noting, **settings)
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        signature = self._signature(args, kwargs)
        self._traced = False
        result = self._jitted(*args, **kwargs)
        if self._traced:
            self._explain(signature)
        return result

    @functools.cached_property
    def _noting(self) -> Callable[..., Any]:
        """The function; it notes that it runs, which it does in a trace alone."""

        @functools.wraps(self._function)
        def noting(*args, **kwargs):
            self._traced = True
            return self._function(*args, **kwargs)

        return noting

    def _explain(self, signature: Signature) -> None:
        settings = dict(jax.config.values)
        if self._seen:
            found = [_differences(old, signature) for old, _ in self._seen]
            number = min(range(len(found)), key=lambda i: len(found[i]))
            lines = found[number] or _changed_settings(self._seen[number][1], settings)
            times = len(self._seen) + 1
            name = getattr(self._function, "__name__", repr(self._function))
            text = "\n    ".join([f"{name} was traced again (trace {times}):", *lines])
            self.retraces.append(text)
            _LOG.warning("%s", text)
        self._seen.append((signature, settings))

    def _signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature:
        found: Signature = {}
        for name, value, way in _named(self._function, args, kwargs):
            found[f"{name}, given"] = way, way
            if name in self._static:
                found[name] = value, f"{brief(value)} (static)"
                continue
            for path, leaf in jax.tree_util.tree_leaves_with_path(value):
                kind = _kind(leaf)
                found[name + jax.tree_util.keystr(path)] = kind, kind
        return found


def explain_retraces(function: Callable[..., Any], **settings: Any) -> Explained:
    """`jax.jit(function)` that says why it is traced again, whenever it is.

    Each explanation is a warning of the logger "capsjax", and stands in `retraces` of
    what is returned. It names the argument or the array in it, and what has changed
    since the call that was most alike. For finding out, not for keeps: each call costs
    a look at every array.

    Args:
        function: A pure function, such as a training step or `net.apply`.
        settings: Arguments of `jax.jit`, such as `static_argnames="train"`.

    Returns:
        The compiled function.

    Example:
        >>> import capsjax as cj, jax
        >>> net = cj.compile(cj.zoo.graph("mlp"))
        >>> params, state = net.init(jax.random.key(0))
        >>> apply = cj.explain_retraces(net.apply, static_argnames="train")
        >>> for size in (8, 8, 3):
        ...     outputs, _ = apply(params, state, {"x": jax.numpy.ones((size, 5))})
        >>> print(*apply.retraces)
        apply was traced again (trace 2):
            inputs['x']: float32[8, 5] -> float32[3, 5]
    """
    return Explained(function, settings)


def _named(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, Any, str]]:
    """Each argument: its name, its value, and how it was given."""
    names = _parameters(function)
    found = []
    for number, value in enumerate(args):
        name = names[number] if number < len(names) else f"argument {number}"
        found.append((name, value, "by position"))
    return found + [(name, value, "by name") for name, value in kwargs.items()]


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that may be given by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a function that is not written in Python
        return []
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [each.name for each in parameters if each.kind in kinds]


def _static_names(function: Callable[..., Any], settings: dict[str, Any]) -> set[str]:
    names = _parameters(function)
    numbers = _listed(settings.get("static_argnums"))
    static = {names[i] for i in numbers if i < len(names)}
    return static | set(_listed(settings.get("static_argnames")))


def _listed(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    return (given,) if isinstance(given, int | str) else tuple(given)


def _kind(leaf: Any) -> str:
    """The type of an array as far as a trace depends on it."""
    try:
        kind: Any = jax.typeof(leaf)
    except TypeError:
        return f"{brief(leaf)}, no array"
    weak = " (a Python number)" if getattr(kind, "weak_type", False) else ""
    return f"{kind.dtype}{list(kind.shape)}{weak}"


def _differences(old: Signature, new: Signature) -> list[str]:
    """A line for each place at which two signatures differ."""
    lines = []
    for place in dict.fromkeys([*old, *new]):
        before, after = old.get(place), new.get(place)
        if before is None or after is None:
            if place.endswith(", given") and _has_leaves(place, old, new):
                continue  # its arrays say so
            lines.append(f"{place}: {_said(before)} -> {_said(after)}")
        elif before[0] != after[0]:
            same = before[1] == after[1]
            now = "another that looks alike" if same else after[1]
            lines.append(f"{place}: {before[1]} -> {now}")
    return lines


def _has_leaves(place: str, *signatures: Signature) -> bool:
    name = place.removesuffix(", given")
    return any(
        each.startswith(name) and not each.endswith(", given")
        for signature in signatures
        for each in signature
    )


def _said(entry: tuple[Any, str] | None) -> str:
    return "nothing" if entry is None else entry[1]


def _changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A line for each setting of JAX that has changed."""
    lines = [
        f"JAX's setting {name}: {old.get(name)!r} -> {value!r}"
        for name, value in new.items()
        if old.get(name) != value
    ]
    return lines or [
        "no argument has changed, and no global setting of JAX: its caches were "
        "cleared, or a setting holds within a block, such as jax.enable_x64"
    ]
