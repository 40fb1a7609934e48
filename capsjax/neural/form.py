"""What a document says of neurons: its faults, each with its place and its cure."""

import dataclasses
from typing import Any

import numpy as np

from capsjax.graph import plain
from capsjax.graph.errors import (
    GraphError,
    Path,
    Problem,
    brief,
    format_path,
    nearest,
)
from capsjax.graph.kinds import LARGEST, CapKind
from capsjax.neural import arrays as files
from capsjax.neural.network import NeuralNetwork, network
from capsjax.neural.readout import readout

_KEYS = ("inputs", "neurons", "activations", *files.DTYPES, "arrays")
_PATH = ("neurons",)


def read(neurons: Any, source: str) -> tuple[NeuralNetwork | None, list[Problem]]:
    """The network that the part "neurons" of a document declares.

    Args:
        neurons: That part, as plain data.
        source: The file that the document was read from; empty, if it was from none.

    Returns:
        The network, None if anything is wrong with it; and what that is.
    """
    if not isinstance(neurons, dict):
        cure = 'write {"inputs": ..., "neurons": ..., "sources": [...], ...}'
        return None, [_problem(_PATH, brief(neurons), "an object", cure)]
    problems = judge_keys(neurons, _KEYS, ("inputs", "neurons", "activations"), _PATH)
    names = {key: neurons[key] for key in ("inputs", "neurons") if key in neurons}
    unsound = _judge_names(names)
    problems += unsound
    arrays, more = _arrays(neurons, source)
    problems += more
    activations, more = _activations(neurons.get("activations"))
    problems += more
    if len(names) == 2 and not unsound and "sources" in arrays:
        problems += _judge_size(names, len(arrays["sources"]))
    if "activations" in neurons and arrays:
        problems += _judge_activation_of(neurons, arrays, activations)
    if problems:
        return None, problems
    assert activations is not None
    of = arrays.pop("activation_of", None)
    each = activations[0] if of is None else [activations[number] for number in of]
    try:
        return network(**names, **arrays, activations=each), []
    except GraphError as error:
        return None, [
            dataclasses.replace(problem, path=(*_PATH, *problem.path))
            for problem in error.problems
        ]


def judge_keys(
    form: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...], path: Path
) -> list[Problem]:
    """Keys of an object that are unknown, and keys that are missing."""
    problems = []
    for key in form:
        if key not in known:
            found, expected = f"unknown key {brief(key)}", f"one of {', '.join(known)}"
            cure = nearest(key, known, "remove it")
            problems.append(_problem((*path, key), found, expected, cure))
    for key in required:
        if key not in form:
            found, expected = f"no key {key!r}", f"the key {key!r}"
            problems.append(_problem((*path, key), found, expected, "add it"))
    return problems


def _judge_names(names: dict[str, Any]) -> list[Problem]:
    """What is neither a count nor a list, and what can't be text in Unicode."""
    problems = [
        _problem(
            (*_PATH, key),
            brief(value),
            "how many there are, or their names",
            f"write a count such as 64, or a list such as ['{key[0]}1']",
        )
        for key, value in names.items()
        if type(value) is not int and not isinstance(value, list)
    ]
    for each in plain.clean(names)[1]:
        path = (*_PATH, *each.path)
        problems.append(dataclasses.replace(each, path=path, place=format_path(path)))
    return problems


def _judge_size(names: dict[str, Any], connections: int) -> list[Problem]:
    """Counts are judged before arrays of so many names are made."""
    counts = [n if isinstance(n, int) else len(n) for n in names.values()]
    if sum(counts) <= connections + 1:
        return []
    return [
        _problem(
            _PATH,
            f"|S| + |H| = {counts[0]:,} + {counts[1]:,} nodes, |W| = {connections:,}",
            f"at least {sum(counts) - 1:,} connections: the graph is connected",
            "correct the counts, or add the connections that are missing",
        )
    ]


def _arrays(
    neurons: dict[str, Any], source: str
) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """The arrays, which stand in the document or in a file beside it."""
    inside = [key for key in files.DTYPES if key in neurons]
    if "arrays" in neurons:
        if not inside:
            return files.read(neurons["arrays"], source)
        path = (*_PATH, "arrays")
        found = f"a file of arrays, and {', '.join(inside)} in the document"
        return {}, [_problem(path, found, "one of both", "remove one of both")]
    arrays, problems = {}, []
    for key in files.REQUIRED:
        if key not in neurons:
            expected = f"the key {key!r}, or arrays in a file: 'arrays'"
            path = (*_PATH, key)
            problems.append(_problem(path, f"no key {key!r}", expected, "add it"))
    for key in inside:
        array, problem = _array(key, neurons[key])
        problems += [] if problem is None else [problem]
        if array is not None:
            arrays[key] = array
    return arrays, problems


def _array(key: str, given: Any) -> tuple[np.ndarray | None, Problem | None]:
    """A list of the document as an array, or the first thing that is wrong with it."""
    floats = files.DTYPES[key].kind == "f"
    expected = "a number" if floats else "an integer, of 32 bits"
    path: Path = (*_PATH, key)
    if not isinstance(given, list):
        return None, _problem(path, brief(given), "a list", "write a list")
    types = (int, float) if floats else (int,)
    for number, each in enumerate(given):
        sound = type(each) in types
        if sound and type(each) is int:
            sound = abs(each) <= (2**53 if floats else LARGEST)
        if not sound:
            place = (*path, number)
            return None, _problem(place, brief(each), expected, "correct the value")
    return np.array(given, files.DTYPES[key]), None


def _activations(given: Any) -> tuple[list[CapKind] | None, list[Problem]]:
    """The capsule functions, one or a list, as records."""
    forms = given if isinstance(given, list) else [{"kind": "identity"}]
    if isinstance(given, dict):
        forms = [given]
    elif given is not None and not isinstance(given, list):
        word = given if isinstance(given, str) else "tanh"
        return None, [
            _problem(
                (*_PATH, "activations"),
                brief(given),
                'a capsule function, {"kind": ...}, or a list of them',
                f'write {{"kind": {brief(word)}}}'.replace("'", '"'),
            )
        ]
    graph, problems = readout(1, {}, forms)
    if graph is not None:
        return [capsule.cap for capsule in graph.capsules[1:]], []
    if isinstance(given, dict):  # there is no list to count along
        for number, each in enumerate(problems):
            path = (*each.path[:2], *each.path[3:])
            place = format_path(path)
            problems[number] = dataclasses.replace(each, path=path, place=place)
    return None, problems


def _judge_activation_of(
    neurons: dict[str, Any],
    arrays: dict[str, np.ndarray],
    activations: list[CapKind] | None,
) -> list[Problem]:
    """Several capsule functions need to be told apart, one needs not."""
    several = isinstance(neurons.get("activations"), list)
    of = arrays.get("activation_of")
    path = (*_PATH, "activation_of")
    if several != (of is not None):
        found = "a list of activations" if several else "one activation for all neurons"
        found += "" if of is not None else ", but no activation_of"
        expected = "activation_of beside a list of activations, and only there"
        cure = "say by activation_of which of them each neuron has"
        cure = cure if several else "remove activation_of, or write a list"
        return [_problem(path, found, expected, cure)]
    if of is not None and activations is not None:
        count = len(activations)
        wrong = np.flatnonzero((of < 0) | (of >= count))
        if wrong.size:
            at = int(wrong[0])
            expected = f"places in the list activations, from 0, below {count}"
            found = f"{of[at]} for neuron {at:,}, and {wrong.size:,} such in all"
            return [_problem((*path, at), found, expected, "correct the number")]
    return []


def _problem(path: Path, found: str, expected: str, cure: str) -> Problem:
    return Problem(path, format_path(path), found, expected, cure)
