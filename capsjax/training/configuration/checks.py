"""What the types of a run configuration can't say.

These read the document as plain data, of any form, so that what they find is said
together with what is wrong with its types.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from capsjax.graph.errors import Path, Problem, brief, listing, nearest
from capsjax.training.configuration.faults import fault
from capsjax.training.configuration.form import KEYS
from capsjax.training.documents.faults import MISPLACED, exclusive
from capsjax.training.documents.optimizer_faults import optimizer_faults

_CLASS = re.compile("0|[1-9][0-9]{0,8}")


def checked(document: Any) -> list[Problem]:
    """What is wrong with a document beside its types."""
    if not isinstance(document, dict):
        return []
    return [
        problem
        for check in (_lengths, _optimizer, _classes, _augment, _best, _mesh)
        for problem in check(document)
    ]


def _lengths(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Epochs and steps exclude each other."""
    yield from exclusive(document, ("epochs", "steps"), fault)


def _optimizer(document: Mapping[str, Any]) -> Iterator[Problem]:
    """The optimizer is a known one, and accumulation is said once."""
    given, path = document.get("optimizer"), ("optimizer",)
    if given is None:
        return
    yield from optimizer_faults(given, path, fault, KEYS)
    steps = document.get("accumulate")
    own = given.get("accumulate") if isinstance(given, dict) else None
    if steps is not None and own is not None:
        found = f"accumulate = {brief(steps)} beside {brief(own)} of the optimizer"
        yield fault(("accumulate",), found, "one of them", "remove one of them")


def _classes(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Weights stand at numbers of classes, and some are above zero."""
    given = document.get("class_weights")
    if not isinstance(given, dict):
        return
    path: Path = ("class_weights",)
    yield from _weights(given, path)
    for name, inner in given.items():
        if isinstance(inner, dict):
            yield from _weights(inner, (*path, name))


def _weights(given: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    numbers = [value for value in given.values() if _is_number(value)]
    for name, value in given.items():
        if _is_number(value) and not _CLASS.fullmatch(name):
            cure = "write the number, from 0 on; for an output, a table or 'balanced'"
            yield fault((*path, name), brief(name), "the number of a class", cure)
    if not given or (len(numbers) == len(given) and not any(numbers)):
        found = "only zeros" if given else "no weight"
        cure = "correct them, or leave them out"
        yield fault(path, found, "a weight above zero", cure)


def _augment(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Augmentations are of known kinds, with settings that fit."""
    given = document.get("augment")
    for number, each in enumerate(given if isinstance(given, list) else ()):
        if isinstance(each, dict):
            yield from augmentation_faults(each, ("augment", number))


def augmentation_faults(given: dict[str, Any], path: Path) -> Iterator[Problem]:
    """What is wrong with the declaration of an augmentation, by the registry of them.

    Args:
        given: The declaration.
        path: Where it stands.
    """
    if not isinstance(given.get("kind"), str):
        found = (
            f"the kind {brief(given['kind'])}" if "kind" in given else "no key 'kind'"
        )
        cure = 'name the kind, { kind = "shift", pixels = 2 }'
        yield fault((*path, "kind"), found, "the name of an augmentation", cure)
        return
    misplaced = [name for name in given if name in KEYS]
    if misplaced:
        place, found = (*path, misplaced[0]), f"unknown setting {misplaced[0]!r}"
        yield fault(place, found, "settings of the augmentation", MISPLACED)
        return
    from capsjax.training.augment import augmentation_of

    try:
        augmentation_of(given)
    except (ValueError, TypeError) as error:
        text = str(error)
        found = text.partition("found ")[2].partition("; ")[0] or brief(given)
        expected, _, cure = text.partition("expected ")[2].partition("; ")
        cure = cure or "correct the value"
        yield fault(path, found, expected or text[:200], cure)


def _best(document: Mapping[str, Any]) -> Iterator[Problem]:
    """What is not kept by a metric has no direction."""
    given = document.get("checkpoints")
    if not isinstance(given, dict) or given.get("best") is not None:
        return
    if given.get("maximize") is not None:
        found = f"maximize = {brief(given['maximize'])} without best"
        expected = 'the metric that is meant, best = "validation_accuracy"'
        yield fault(
            ("checkpoints", "maximize"), found, expected, "add it, or remove this"
        )


def _mesh(document: Mapping[str, Any]) -> Iterator[Problem]:
    """One size is open at most, and rules lead to axes of the mesh."""
    mesh = document.get("mesh")
    axes = mesh.get("axes") if isinstance(mesh, dict) else None
    if not isinstance(mesh, dict) or not isinstance(axes, dict):
        return
    free = [name for name, size in axes.items() if _is_number(size) and size == -1]
    if len(free) > 1:
        found = f"-1 for {listing(map(brief, free))}"
        yield fault(("mesh", "axes"), found, "-1 for one at most", "write the others")
    rules = mesh.get("rules")
    for name, onto in rules.items() if isinstance(rules, dict) else ():
        several = isinstance(onto, list)
        for number, axis in enumerate(onto if several else [onto]):
            if isinstance(axis, str) and axis not in axes:
                path = ("mesh", "rules", name, *([number] if several else []))
                expected = f"an axis of the mesh: {listing(map(brief, axes))}"
                cure = nearest(axis, axes, "take one of them, or add it there")
                yield fault(path, brief(axis), expected, cure)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
