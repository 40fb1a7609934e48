"""What the types of a document can't say: what its parts say of each other.

These read the document as plain data, of any form, so that what they find is said
together with what is wrong with its types.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from capsjax.graph.errors import Path, Problem, brief, listing, nearest
from capsjax.sweep.document.axis_form import DRAWN
from capsjax.sweep.document.faults import fault
from capsjax.sweep.document.form import KEYS
from capsjax.sweep.roles import is_number
from capsjax.training.documents.faults import exclusive
from capsjax.training.documents.optimizer_faults import optimizer_faults

_ALSO_AXES = ("batch_size", "dtype", "initial_scale", "optimizer")
_POSITIVE = ("log", "log_uniform", "log_integers")
_ORDERED = ("uniform", "log_uniform", "integers", "log_integers")


def checked(document: Any) -> list[Problem]:
    """What is wrong with a document beside its types."""
    if not isinstance(document, dict):
        return []
    return [
        problem
        for check in (_axes, _ranges, _zips, _conditions, _lengths, _drawing, _twice)
        for problem in check(document)
    ] + list(_optimizers(document))


def axes_of(document: Mapping[str, Any]) -> list[tuple[str, Path, Any]]:
    """Every axis: its name, its place, and what stands there."""
    over = document.get("over")
    found: list[tuple[str, Path, Any]] = []
    for name, given in over.items() if isinstance(over, dict) else ():
        found.append((name, ("over", name), given))
    for number, columns in enumerate(_zipped(document)):
        for name, given in columns.items():
            if name != "when":
                found.append((name, ("zip", number, name), given))
    return found


def _zipped(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    zipped = document.get("zip")
    entries = zipped if isinstance(zipped, list) else []
    return [each if isinstance(each, dict) else {} for each in entries]


def _axes(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Each axis stands once, and there is one at least."""
    axes = axes_of(document)
    if not axes and not isinstance(document.get("zip"), list):
        if isinstance(document.get("over", {}), dict):
            found = "no axis" if "over" in document else "no key 'over'"
            cure = "add one, such as learning_rate = { log = [1e-4, 1e-1], count = 8 }"
            yield fault(("over",), found, "one axis at least", cure)
    seen: set[str] = set()
    for name, path, _ in axes:
        if name in seen:
            found = f"the axis {brief(name)} a second time"
            yield fault(path, found, "each axis once", "leave one of them")
        seen.add(name)


def _ranges(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Ranges run upward, and what has a logarithm lies above zero."""
    for _, path, given in axes_of(document):
        for key, ends in given.items() if isinstance(given, dict) else ():
            if not (isinstance(ends, list) and len(ends) == 2):
                continue
            if not all(map(is_number, ends)):
                continue
            place = (*path, key)
            if key in _POSITIVE and not min(ends) > 0:
                expected = "numbers above zero, which have logarithms"
                yield fault(place, brief(ends), expected, "correct the ends")
            elif key in _ORDERED and not ends[0] < ends[1]:
                cure = f"write {brief(ends[::-1])}"
                if ends[0] == ends[1]:
                    cure = f"for this value alone, write the list [{brief(ends[0])}]"
                yield fault(place, brief(ends), "the least value, then a larger", cure)


def _zips(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Columns of axes that are swept together are of one length."""
    for number, entry in enumerate(_zipped(document)):
        path = ("zip", number)
        columns = {name: each for name, each in entry.items() if name != "when"}
        if len(columns) < 2:
            found = listing(map(brief, columns)) or "no axis"
            cure = "add another, or move it to [over]"
            yield fault(path, found, "two axes at least, swept together", cure)
        lengths = {
            n: len(each) for n, each in columns.items() if isinstance(each, list)
        }
        if len(set(lengths.values())) > 1:
            found = listing(f"{count} of {name}" for name, count in lengths.items())
            expected = "as many values of each: the first belongs to the first, ..."
            yield fault(path, found, expected, "add what is missing, or leave some out")


def _conditions(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Conditions name other axes, and values that those have."""
    known = {name: _values(given) for name, _, given in axes_of(document)}
    conditions = [
        ((*path, "when"), given["when"], {name})
        for name, path, given in axes_of(document)
        if isinstance(given, dict) and "when" in given
    ]
    for number, entry in enumerate(_zipped(document)):
        if "when" in entry:
            conditions.append((("zip", number, "when"), entry["when"], set(entry)))
    for path, when, own in conditions:
        for name, wanted in when.items() if isinstance(when, dict) else ():
            place = (*path, name)
            if name not in known or name in own:
                cure = nearest(name, set(known) - own, "name another axis")
                yield fault(place, brief(name), "the name of another axis", cure)
                continue
            among = wanted if isinstance(wanted, list) else [wanted]
            for value in among if known[name] is not None else ():
                if value not in known[name]:
                    expected = (
                        f"a value of this axis: {listing(map(brief, known[name]))}"
                    )
                    names = [each for each in known[name] if isinstance(each, str)]
                    cure = nearest(value, names, "take one of them, or add it there")
                    yield fault(place, brief(value), expected, cure)


def _values(given: Any) -> Any:
    """The values of an axis, where they are listed; None where they are not."""
    if isinstance(given, dict):
        given = given.get("values", given.get("choice"))
    return given if isinstance(given, list) else None


def _lengths(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Epochs and steps exclude each other."""
    yield from exclusive(document, ("epochs", "steps"), fault)


def _drawing(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Ranges are drawn from so many times; lists are not."""
    drawn = [
        name
        for name, _, given in axes_of(document)
        if isinstance(given, dict) and any(key in given for key in DRAWN)
    ]
    samples, search = document.get("samples"), document.get("search")
    kind = search.get("kind") if isinstance(search, dict) else search
    if kind == "bayesian":
        if samples is not None:
            found = f"samples = {brief(samples)} beside a Bayesian search"
            cure = "remove it; search.trials says how many settings are tried"
            yield fault(("samples",), found, "no samples: the search proposes", cure)
    elif drawn and samples is None:
        found = f"no key 'samples', with {listing(map(brief, drawn))} to draw from"
        yield fault(("samples",), found, "how many points to draw", "add samples = 64")
    elif samples is not None and not drawn:
        expected = f"an axis to draw from, with one of {', '.join(DRAWN)}"
        found = f"samples = {brief(samples)} without one"
        yield fault(("samples",), found, expected, "remove it, or add one")


def _twice(document: Mapping[str, Any]) -> Iterator[Problem]:
    """What is an axis is not said a second time."""
    names = {name for name, _, _ in axes_of(document)}
    keys = {key: key for key in _ALSO_AXES} | {"seeds": "seed"}
    for key, name in keys.items():
        if name in names and document.get(key) is not None:
            found = f"{key} = {brief(document[key])} beside the axis {name!r}"
            yield fault((key,), found, "one of them", "remove one of them")
    seeds = document.get("seeds")
    if isinstance(seeds, list):
        several = [seed for i, seed in enumerate(seeds) if seed in seeds[:i]]
        if several:
            found = f"{brief(several[0])} twice"
            yield fault(("seeds",), found, "each seed once", "leave one of them")


def _optimizers(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Declared optimizers: by themselves, and as values of an axis."""
    if document.get("optimizer") is not None:
        given = document["optimizer"]
        yield from optimizer_faults(given, ("optimizer",), fault, KEYS)
    for name, path, given in axes_of(document):
        if name == "optimizer":
            for key in ("values", "choice"):
                if isinstance(given, dict) and isinstance(given.get(key), list):
                    given, path = given[key], (*path, key)
            for number, each in enumerate(given if isinstance(given, list) else ()):
                yield from optimizer_faults(each, (*path, number), fault, KEYS)
