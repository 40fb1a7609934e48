"""The table of known networks: a name, and the function that declares its graph."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from capsjax.graph import Graph

_NETWORKS: dict[str, Callable[..., Graph]] = {}


def network(name: str):
    """Enters a function that declares a graph, as a decorator.

    All its parameters are keyword-only and have defaults: they are the options.
    """

    def enter(function: Callable[..., Graph]) -> Callable[..., Graph]:
        _NETWORKS[name] = function
        return function

    return enter


def names() -> tuple[str, ...]:
    """The names of all known networks.

    Returns:
        Names that `graph` takes.

    Example:
        >>> import capsjax as cj
        >>> cj.zoo.names()[:3]
        ('mlp', 'cnn', 'figure-12')
    """
    return tuple(_NETWORKS)


def graph(name: str, **options: Any) -> Graph:
    """Declares a known network.

    Args:
        name: One of `names()`.
        **options: What the network leaves open, such as `cap="tanh"`; see the
            network's own function, or `options_of(name)`.

    Returns:
        The graph.

    Raises:
        ValueError: There is no such network; offers the nearest name.
        TypeError: The network has no such option; says which it has.
        GraphError: The options make no sound graph.

    Example:
        >>> import capsjax as cj
        >>> cj.zoo.graph("lenet-5", cap="tanh")
        Graph('lenet-5', 1 inputs, 8 capsules, outputs ['digit'])
    """
    known = options_of(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise TypeError(
            f"network {name!r} has no option {unknown[0]!r}; it has "
            + ", ".join(f"{key}={value!r}" for key, value in known.items())
        )
    return _NETWORKS[name](**options)


def options_of(name: str) -> dict[str, Any]:
    """The options of a known network, with their defaults.

    Args:
        name: One of `names()`.

    Returns:
        Options by name.

    Raises:
        ValueError: There is no such network; offers the nearest name.

    Example:
        >>> import capsjax as cj
        >>> cj.zoo.options_of("lenet-5")
        {'cap': 'relu', 'classes': 10}
    """
    parameters = inspect.signature(_function(name)).parameters
    return {key: each.default for key, each in parameters.items()}


def source_of(name: str) -> str:
    """Where a known network was published, as its function's docstring says.

    Args:
        name: One of `names()`.

    Returns:
        One line.

    Raises:
        ValueError: There is no such network; offers the nearest name.

    Example:
        >>> import capsjax as cj
        >>> cj.zoo.source_of("vgg-16")
        'Simonyan & Zisserman, arXiv 1409.1556, Table 1.'
    """
    text = inspect.getdoc(_function(name)) or ""
    _, _, source = text.partition("Source: ")
    return " ".join(source.split())


def _function(name: str) -> Callable[..., Graph]:
    if name not in _NETWORKS:
        near = difflib.get_close_matches(name, _NETWORKS, n=1)
        cure = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(names())
        raise ValueError(f"no network {name!r} in the zoo; {cure}")
    return _NETWORKS[name]
