"""Side conditions that the four rules have in common, and how a broken one is told."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from capsjax.graph.errors import GraphError, Problem, brief, listing
from capsjax.neural.names import is_name


def listed(rule: str, subset: str, given: Any) -> list[Any]:
    """Names as a list. A set has no order, which inputs and weights need."""
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise broken(
            rule,
            f"{subset} = {brief(given)}",
            "a list of names: inputs and weights have an order",
            f"write it as a list, such as [{brief(given)}]"
            if is_name(given)
            else "write it as a list, such as ['x1', 'h1']",
        )
    names = list(given)
    for each in names:
        if not is_name(each):
            raise broken(
                rule,
                f"{brief(each)} in {subset}",
                "names of nodes: strings or integers",
                "name nodes, such as 'x1'",
            )
    return names


def check_name(rule: str, name: Any) -> None:
    """A neuron may be called so."""
    if not is_name(name):
        raise broken(
            rule,
            f"h = {brief(name)}",
            "a name: a string or an integer",
            "name the neuron, such as 'h1'",
        )


def check_drawn(rule: str, what: str, given: Any, have: list[Any]) -> None:
    """Numbers are given for the whole of a network or drawn for the whole of it."""
    states = {each is None for each in [given, *have]}
    if len(states) > 1:
        old = "some of the networks" if len(have) > 1 else "the network"
        found = (
            f"{what} for the new neuron, but none in {old}"
            if given is not None
            else f"no {what} for the new neuron, but some in {old}"
        )
        if len({each is None for each in have}) > 1:
            found = f"networks with {what} and networks without"
        raise broken(
            rule,
            found,
            f"{what} everywhere, or nowhere: then they are drawn",
            f"give {what} everywhere",
        )


def not_new(rule: str, name: Any, what: str) -> GraphError:
    """The error of a neuron whose name is taken."""
    return broken(
        rule,
        f"h = {brief(name)} is not new: it is {what}",
        "h must be a new neuron",
        "choose another name",
    )


def repeated(rule: str, subset: str, names: list[Any]) -> GraphError:
    """The error of a node that a subset names twice."""
    again = dict.fromkeys(each for each in names if names.count(each) > 1)
    return broken(
        rule,
        f"{listing(map(brief, again), 8)} more than once in {subset}",
        f"{subset} must be a set",
        "name every node once",
    )


def broken(rule: str, found: str, expected: str, cure: str) -> GraphError:
    """The error of a condition that does not hold."""
    return GraphError(
        "network", [Problem((), f"rule of {rule}", found, expected, cure)]
    )
