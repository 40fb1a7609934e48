"""What is wrong with the activations, connections and numbers given for a network."""

from typing import Any

import numpy as np

import capsjax.caps  # noqa: F401  (enters the capsule functions in their table)
from capsjax.graph.errors import Problem, brief, listing, nearest
from capsjax.graph.kinds import CAPS, CapKind
from capsjax.neural.names import Names, Problems


def check_activations(
    given: Any, neurons: np.ndarray, problems: Problems
) -> tuple[tuple[CapKind, ...], np.ndarray]:
    """The distinct capsule functions, and which of them each neuron has."""
    count = len(neurons)
    if not hasattr(given, "__len__") or isinstance(given, str):
        record = _activation(given, "activations", problems)
        return ((record,) if count and record else ()), np.zeros(count, np.int32)
    each = given.tolist() if isinstance(given, np.ndarray) else list(given)
    if len(each) != count:
        problems.append(_wrong_length("activations", len(each), count, "neuron"))
        return (), np.zeros(0, np.int32)
    codes: dict[Any, int] = {}
    table: dict[CapKind | None, int] = {}
    activation_of = np.empty(count, np.int32)
    for number, one in enumerate(each):
        key = one if isinstance(one, str | CapKind) else id(one)
        code = codes.get(key)
        if code is None:
            place = f"activation of neuron {brief(neurons[number].item())}"
            record = _activation(one, place, problems)
            code = codes[key] = table.setdefault(record, len(table))
        activation_of[number] = code
    return tuple(each for each in table if each is not None), activation_of


def _activation(given: Any, place: str, problems: Problems) -> CapKind | None:
    usable = [name for name in CAPS if CAPS[name].elementwise]
    record, found = given, f"the capsule function {given}"
    cure = f"take one of {listing(sorted(usable), 20)}"
    if isinstance(given, str):
        found = brief(given)
        if given not in CAPS:
            cure = nearest(given, usable, cure)
        elif CAPS[given].elementwise or CAPS[given].draws:
            try:
                record = CAPS[given]()
            except TypeError:
                found = f"{given} without its settings"
                cure = f"give the record: capsjax.caps.{given}(...)"
    elif not isinstance(given, CapKind):
        found = brief(given)
        if isinstance(given, type) and issubclass(given, CapKind):
            found = f"the class {given.__name__}"
            cure = f"make a record of it: {given.__name__}()"
    if isinstance(record, CapKind):
        more = _beside_u(record)
        if record.elementwise and not more:
            return record
        found += more
    problems.append(
        Problem(
            ("activations",),
            place,
            found,
            "an elementwise capsule function: a neuron holds one number",
            cure,
        )
    )
    return None


def _beside_u(cap: CapKind) -> str:
    """What a capsule function needs that a neuron does not have, in words."""
    if cap.draws:
        return ", which draws in training"
    if cap.elementwise and cap.state_shapes(()):
        return ", which carries state"
    if cap.elementwise and cap.parameter_shapes(()):
        return ", which has parameters of its own"
    return ""


def check_edges(
    sources: Any, targets: Any, names: Names, problems: Problems
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both ends of the connections as numbers of nodes; None if they are not."""
    ends = []
    for what, given in (("sources", sources), ("targets", targets)):
        array = _array(given)
        if not array.size and array.ndim == 1:
            array = array.astype(np.int32)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            problems.append(
                Problem(
                    (what,),
                    what,
                    _kind(array, given),
                    "integers in one row",
                    "give the numbers of nodes, inputs first, from 0",
                )
            )
            continue
        wrong = np.flatnonzero((array < 0) | (array >= names.size))
        if wrong.size:
            at = int(wrong[0])
            problems.append(
                Problem(
                    (what, at),
                    what,
                    f"node {array[at]} in connection {at:,}{_more(wrong)}",
                    f"numbers from 0 to {names.size - 1:,}, for |S| + |H| = "
                    f"{len(names.inputs):,} + {len(names.neurons):,} nodes",
                    "nodes are numbered from 0, the inputs first",
                )
            )
            continue
        ends.append(_own(array, np.dtype(np.int32)))
    if len(ends) < 2:
        return None
    if len(ends[0]) != len(ends[1]):
        problems.append(
            Problem(
                ("targets",),
                "sources and targets",
                f"{len(ends[0]):,} sources and {len(ends[1]):,} targets",
                "as many of one as of the other",
                "give every connection a source and a target",
            )
        )
        return None
    return ends[0], ends[1]


def _array(given: Any) -> np.ndarray:
    """What is given as an array; an object if it is none, such as a ragged list."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError, OverflowError):
        return np.array(None, object)


def _kind(array: np.ndarray, given: Any) -> str:
    """What is given instead of numbers, for a message."""
    if array.dtype == object:
        return brief(given)
    return f"an array of {array.dtype}, shape {array.shape}"


def _more(wrong: np.ndarray) -> str:
    return f", and {wrong.size - 1:,} more such" if wrong.size > 1 else ""


def _own(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy, unless nobody can write to the array."""
    shared = array.dtype == dtype and array.flags.owndata and not array.flags.writeable
    return array if shared else array.astype(dtype)


def check_numbers(
    what: str, given: Any, count: int, noun: str, problems: Problems
) -> np.ndarray | None:
    """Weights or biases: finite numbers, as many as there are."""
    if given is None:
        return None
    array = _array(given)
    if array.ndim != 1 or (array.dtype.kind not in "iuf" and array.size):
        # bfloat16 and its like are no floats to NumPy.
        if array.ndim != 1 or not np.can_cast(array.dtype, np.float64, "safe"):
            problems.append(
                Problem(
                    (what,),
                    what,
                    _kind(array, given),
                    f"numbers, shape ({count:,},)",
                    f"give one number for each {noun}, or none at all to draw them",
                )
            )
            return None
    if len(array) != count:
        problems.append(_wrong_length(what, len(array), count, noun))
        return None
    numbers = _own(array, np.dtype(np.float64))
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        at = int(wrong[0])
        problems.append(
            Problem(
                (what, at),
                what,
                f"{numbers[at]} for {noun} {at:,}{_more(wrong)}",
                "finite numbers",
                "look for a division by zero or a diverged training where they come "
                "from",
            )
        )
    return numbers


def _wrong_length(what: str, found: int, count: int, noun: str) -> Problem:
    return Problem(
        (what,),
        what,
        f"{found:,}",
        f"{count:,}, one for each {noun}",
        f"give as many {what} as there are {noun}s",
    )
