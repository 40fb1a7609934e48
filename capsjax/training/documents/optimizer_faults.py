"""What is wrong with a declared optimizer, setting by setting."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from capsjax.graph.errors import Path, Problem, brief, listing, nearest
from capsjax.training.documents.faults import MISPLACED, Fault
from capsjax.training.optimizers import LISTS, OPTIMIZERS, SCHEDULES, optimizer_of


def optimizer_faults(
    given: Any, path: Path, fault: Fault, keys: Sequence[str]
) -> Iterator[Problem]:
    """What is wrong with the declaration of an optimizer.

    Args:
        given: The declaration: plain data of any form.
        path: Where it stands.
        fault: Makes the problems.
        keys: Those of the document, which may have got among the settings.
    """
    if isinstance(given, str):
        given = {"kind": given}
    elif isinstance(given, dict):
        path = (*path, "kind")
    else:
        expected = 'the name of an optimizer, or an object, { kind = "adamw" }'
        yield fault(path, brief(given), expected, "name one")
        return
    kind = given.get("kind")
    if kind not in OPTIMIZERS:
        found = f"unknown kind {brief(kind)}" if "kind" in given else "no key 'kind'"
        cure = nearest(kind, OPTIMIZERS, "name one of them")
        yield fault(path, found, f"one of {', '.join(OPTIMIZERS)}", cure)
        return
    judge = _Judge(fault, keys)
    known = optimizer_of(kind).settings
    for name, value in given.items():
        place = (*path[:-1], name)
        if name == "learning_rate" and isinstance(value, dict):
            yield from judge.schedule(kind, value, place)
        elif name != "kind":
            own = {"kind": kind, name: value}
            yield from judge.setting(own, value, place, known)


class _Judge:
    def __init__(self, fault: Fault, keys: Sequence[str]):
        self.fault, self.keys = fault, keys

    def schedule(
        self, optimizer: str, given: dict[str, Any], path: Path
    ) -> Iterator[Problem]:
        """What is wrong with a schedule of the learning rate."""
        kind, place = given.get("kind"), (*path, "kind")
        if not isinstance(kind, str) or kind not in SCHEDULES:
            has = "kind" in given
            found = f"unknown kind {brief(kind)}" if has else "no key 'kind'"
            cure = nearest(kind, SCHEDULES, "name one of them")
            yield self.fault(place, found, f"one of {', '.join(SCHEDULES)}", cure)
            return
        parameters = inspect.signature(SCHEDULES[kind]).parameters
        needed = [name for name, x in parameters.items() if x.default is x.empty]
        found = []
        for name, value in given.items():
            if name != "kind":
                length = len(value) if isinstance(value, list) else 1
                alike = {n: [1.0] * length if n in LISTS else 1.0 for n in needed}
                rate = {"kind": kind, **alike, name: value}
                own = {"kind": optimizer, "learning_rate": rate}
                found += self.setting(own, value, (*path, name), tuple(parameters))
        for name in needed:
            if name not in given:
                text = f"no key {name!r}"
                key = f"the key {name!r}"
                found.append(self.fault((*path, name), text, key, "add it"))
        if not found:  # each by itself is sound: are they together?
            whole = {"kind": optimizer, "learning_rate": given}
            found += self.setting(whole, given, path, (str(path[-1]),))
        yield from found

    def setting(
        self, declared: dict[str, Any], value: Any, path: Path, known: tuple[str, ...]
    ) -> Iterator[Problem]:
        """A setting of an optimizer or a schedule, judged in a declaration."""
        name = path[-1]
        if name not in known:
            near = nearest(name, known, "leave it out")
            found = f"unknown setting {brief(name)}"
            expected = f"some of {listing(known)}"
            cure = MISPLACED if name in self.keys else near
            yield self.fault(path, found, expected, cure)
            return
        try:
            optimizer_of(declared)
        except ValueError as error:
            expected = str(error).partition("expected ")[2].partition("; ")[0]
            yield self.fault(path, brief(value), expected, "correct the value")
