"""What is wrong with the arrays of a neural network, said so that it can be cured."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

import capsjax.caps  # noqa: F401  (enters the capsule functions in their table)
from capsjax.graph.errors import Problem, brief, listing, nearest
from capsjax.graph.kinds import CAPS, CapKind
from capsjax.graph.levels import components, cycle, group, levels

Problems = list[Problem]

_MOST_SHOWN = 8
_LONGEST_CYCLE = 12


class Names(NamedTuple):
    """Names of the nodes; a node's number is its position in `inputs + neurons`."""

    inputs: np.ndarray
    neurons: np.ndarray

    @property
    def size(self) -> int:
        return len(self.inputs) + len(self.neurons)

    def show(self, numbers: Iterable[int]) -> list[str]:
        """Nodes by name, for messages."""
        size = len(self.inputs)
        return [
            brief((self.inputs[n] if n < size else self.neurons[n - size]).item())
            for n in numbers
        ]

    def edges(self, sources: np.ndarray, targets: np.ndarray) -> str:
        """Connections by name, no more than a message can bear."""
        most = _MOST_SHOWN
        pairs = zip(self.show(sources[:most]), self.show(targets[:most]), strict=True)
        shown = [f"{source} -> {target}" for source, target in pairs]
        rest = len(sources) - len(shown)
        return ", ".join(shown + [f"and {rest:,} more"] * (rest > 0))


def check_names(inputs: Any, neurons: Any, problems: Problems) -> Names | None:
    """Names of inputs and neurons as arrays of one type; None if they are unusable."""
    columns, start, before = [], 0, len(problems)
    for what, given in (("inputs", inputs), ("neurons", neurons)):
        column = _names(what, given, start, problems)
        if column is None:
            return None
        columns.append(column)
        start += len(column)
    if not len(columns[0]):
        problems.append(
            Problem(
                ("inputs",),
                "inputs",
                "none",
                "at least one input: S is not empty",
                "declare the nodes that read nothing as inputs",
            )
        )
        return None
    kinds = {column.dtype.kind for column in columns if len(column)}
    if len(kinds) > 1:
        shown = [
            f"{brief(c[0].item())} among the {w}"
            for c, w in zip(columns, ("inputs", "neurons"), strict=True)
        ]
        problems.append(_mixed(("neurons",), "names", " and ".join(shown)))
        return None
    kind = columns[0].dtype
    names = Names(*(c if len(c) else c.astype(kind) for c in columns))
    if not (isinstance(inputs, int) and isinstance(neurons, int)):
        _check_unique(names, problems)
    return names if len(problems) == before else None


def _names(what: str, given: Any, start: int, problems: Problems) -> np.ndarray | None:
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        if 0 <= given <= 2**31 - 1 - start:
            return np.arange(start, start + int(given), dtype=np.int64)
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        problems.append(
            Problem(
                (what,),
                what,
                brief(given),
                "how many there are, or their names",
                f"give a count such as 64, or a list such as ['{what[0]}1']",
            )
        )
        return None
    each: list[Any] = np.asarray(given, object).tolist()
    types = {type(name) for name in each}
    integers = all(issubclass(t, int | np.integer) and t is not bool for t in types)
    if not integers and not all(issubclass(t, str) for t in types):
        strange = next((n for n in each if not _is_name(n)), None)
        if strange is not None or None in each:
            found = brief(strange)
        else:
            strings = next(n for n in each if isinstance(n, str))
            other = next(n for n in each if not isinstance(n, str))
            found = f"{brief(other)} and {brief(strings)}"
        problems.append(_mixed((what,), f"names of {what}", found))
        return None
    if integers:
        big = next((n for n in each if not -(2**63) <= n < 2**63), None)
        if big is None:
            return np.array(each, np.int64)
        problems.append(_mixed((what,), f"names of {what}", brief(big)))
        return None
    # Arrays of strings drop zero characters at the end, so that names would collide.
    if odd := next((n for n in each if "\0" in n), None):
        problems.append(
            Problem(
                (what,),
                f"names of {what}",
                brief(odd),
                "names without the character of number zero",
                "rename the node",
            )
        )
        return None
    return np.array(each, np.str_)


def _is_name(name: Any) -> bool:
    return isinstance(name, str | int | np.integer) and not isinstance(name, bool)


def _mixed(path: tuple[str, ...], place: str, found: str) -> Problem:
    return Problem(
        path,
        place,
        found,
        "names that are all strings, or all integers of 64 bits",
        "rename the nodes, such as 'x1', 'h1'",
    )


def _check_unique(names: Names, problems: Problems) -> None:
    each = names.inputs.tolist() + names.neurons.tolist()
    if len(set(each)) == len(each):
        return
    seen: set[Any] = set()
    repeated = {name: None for name in each if name in seen or seen.add(name)}
    problems.append(
        Problem(
            (),
            "names",
            f"{listing(map(brief, repeated), _MOST_SHOWN)} more than once",
            "a name of its own for every node: S and H are disjoint sets",
            "rename one of the nodes",
        )
    )


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
        elif CAPS[given].elementwise:
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
    if isinstance(record, CapKind) and record.elementwise:
        return record
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


def check_edges(
    sources: Any, targets: Any, names: Names, problems: Problems
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both ends of the connections as numbers of nodes; None if they are not."""
    ends = []
    for what, given in (("sources", sources), ("targets", targets)):
        array = np.asarray(given)
        if not array.size and array.ndim == 1:
            array = array.astype(np.int32)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            problems.append(
                Problem(
                    (what,),
                    what,
                    f"an array of {array.dtype}, shape {array.shape}",
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
                    f"{what} of {wrong.size:,} connections",
                    f"node {array[at]} in connection {at:,}",
                    f"numbers from 0 to {names.size - 1:,}: {len(names.inputs):,} "
                    f"inputs, then {len(names.neurons):,} neurons",
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
    array = np.asarray(given)
    if array.ndim != 1 or (array.dtype.kind not in "iuf" and array.size):
        # bfloat16 and its like are no floats to NumPy.
        if array.ndim != 1 or not np.can_cast(array.dtype, np.float64, "safe"):
            problems.append(
                Problem(
                    (what,),
                    what,
                    f"an array of {array.dtype}, shape {array.shape}",
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
                f"{numbers[at]} for {noun} {at:,}, and {wrong.size:,} such in all",
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


def check_structure(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> np.ndarray | None:
    """A connected DAG, each pair once; the levels of the nodes if they were needed."""
    size = len(names.inputs)
    before = len(problems)
    loops = sources == targets
    if loops.any():
        problems.append(
            Problem(
                ("sources", int(np.argmax(loops))),
                "self loops",
                names.edges(sources[loops], targets[loops]),
                "connections between two nodes",
                "remove them: a neuron that reads itself is a cycle",
            )
        )
    entering = (targets < size) & ~loops
    if entering.any():
        problems.append(
            Problem(
                ("targets", int(np.argmax(entering))),
                "connections that enter an input",
                names.edges(sources[entering], targets[entering]),
                "connections that enter neurons: an input's value is given",
                "declare that node as a neuron, or turn the connection round",
            )
        )
    _check_duplicates(sources, targets, names, problems)
    if len(problems) > before:
        sound = ~(loops | entering)
        sources, targets = sources[sound], targets[sound]
    idle = np.flatnonzero(np.bincount(targets, minlength=names.size)[size:] == 0)
    if idle.size:
        shown = listing(names.show(idle[:_MOST_SHOWN] + size))
        rest = idle.size - _MOST_SHOWN
        problems.append(
            Problem(
                ("neurons", int(idle[0])),
                "neurons that read nothing",
                shown + (f", and {rest:,} more" if rest > 0 else ""),
                "at least one incoming connection for every neuron",
                "connect them, or declare them as inputs",
            )
        )
    found = _check_cycles(sources, targets, names, problems)
    _check_connected(sources, targets, names, problems)
    return found


def _check_duplicates(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> None:
    """Sorted by source, then by target, equal connections are neighbors."""
    order, _ = group(sources, names.size)
    order = order[group(targets[order], names.size)[0]]
    s, t = sources[order], targets[order]
    again = np.flatnonzero((s[1:] == s[:-1]) & (t[1:] == t[:-1])) + 1
    if again.size:
        problems.append(
            Problem(
                ("sources", int(order[again].min())),
                "duplicate connections",
                names.edges(s[again], t[again]),
                "at most one connection from a node to a node: W is a set",
                "remove the repetitions, or add their weights up",
            )
        )


def _check_cycles(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> np.ndarray | None:
    if np.all(sources < targets):
        return None  # declared in topological order
    found = levels(sources, targets, names.size)
    if found.min() < 0:
        path = cycle(sources, targets, found)
        head, tail = path, path[:0]
        if len(path) > _LONGEST_CYCLE:
            head, tail = path[: _LONGEST_CYCLE - 3], path[-3:]
        left_out = len(path) - len(head) - len(tail)
        middle = [f"... {left_out:,} more ..."] if left_out else []
        shown = [*names.show(head), *middle, *names.show(tail)]
        last = " -> ".join(names.show(path[-2:]))
        problems.append(
            Problem(
                (),
                "a cycle",
                " -> ".join(shown),
                "a graph without cycles",
                f"remove one of these connections, such as {last}",
            )
        )
    return found


def _check_connected(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> None:
    part = components(sources, targets, names.size)
    count = int(part.max()) + 1
    if count == 1:
        return
    sizes = np.bincount(part)
    shown = []
    for number in range(min(count, _MOST_SHOWN)):
        some = np.flatnonzero(part == number)[:_MOST_SHOWN]
        rest = int(sizes[number]) - len(some)
        inside = names.show(some) + [f"and {rest:,} more"] * (rest > 0)
        shown.append(f"{{{', '.join(inside)}}}")
    rest = [f"and {count - len(shown):,} more"] * (count > len(shown))
    problems.append(
        Problem(
            (),
            "the graph is not connected",
            f"{count:,} components: {'; '.join(shown + rest)}",
            "one connected graph",
            "join the components by a connection, or make each a network of its own",
        )
    )
