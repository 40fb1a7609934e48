"""Units, results and jobs as bytes: safetensors with plain data beside the arrays.

What other processes are given, and what they give back, is read without running code.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.graph.errors import brief
from capsjax.sweep.program import Program
from capsjax.sweep.unit import Member, Result, Unit
from capsjax.training.learner import number


def result_bytes(program: Program, result: Result) -> bytes:
    """A result as bytes.

    Args:
        program: The program of the unit's group.
        result: The result.
    """
    arrays = {f"table/{name}": own for name, own in result.table.items()}
    for index, carry in enumerate(result.carries or ()):
        for leaf, array in _own(program, carry):
            arrays[f"carry/{index}/{leaf}"] = np.asarray(array)
    carried = None if result.carries is None else len(result.carries)
    faulty = list(result.faulty)
    return write(arrays, {"block": result.block, "faulty": faulty, "carried": carried})


def result_of(program: Program, content: bytes, place: str) -> Result:
    """The inverse of `result_bytes`.

    Raises:
        ValueError: The content is no result of this program; names the place.
    """
    arrays, head = read(content, place)
    try:
        table = {name: arrays[f"table/{name}"] for name in program.metric_names}
        carries = None
        if head["carried"] is not None:
            numbers = range(head["carried"])
            carries = tuple(_whole(program, arrays, index) for index in numbers)
        return Result(int(head["block"]), tuple(head["faulty"]), table, carries)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{place}: found no {error}; expected the result of a unit of this sweep; "
            "cure: remove the file, and its members are trained again"
        ) from None


def _own(program: Program, carry: Any) -> list[tuple[str, Any]]:
    """A member's own leaves of what it carries, by place: not the wiring of neurons."""
    leaves = jax.tree_util.tree_leaves_with_path(carry)
    held = jax.tree.leaves(program.held_by_all)
    return [
        (jax.tree_util.keystr(path), leaf)
        for (path, leaf), shared in zip(leaves, held, strict=True)
        if not shared
    ]


def _whole(program: Program, arrays: Mapping[str, np.ndarray], index: int) -> Any:
    """What a member carries, the wiring of neurons among it."""
    wiring = program.learner.net.program.wiring()

    def leaf(path: Any, shape: Any, held: bool) -> Any:
        if held:
            found: Any = {"state": wiring}
            for key in path:
                found = found[getattr(key, "key", getattr(key, "idx", None))]
            return np.asarray(found)
        array = arrays[f"carry/{index}/{jax.tree_util.keystr(path)}"]
        if array.shape != shape.shape:
            raise KeyError(
                f"array of shape {shape.shape} for {jax.tree_util.keystr(path)}"
            )
        return array

    return jax.tree_util.tree_map_with_path(leaf, program.shapes, program.held_by_all)


def carries_bytes(program: Program, carries: Sequence[Any] | None) -> bytes | None:
    """What members carry, as bytes."""
    if carries is None:
        return None
    table = {name: np.zeros((0, 0), np.float32) for name in program.metric_names}
    return result_bytes(program, Result(0, (), table, tuple(carries)))


def carries_of(program: Program, content: bytes | None) -> Sequence[Any] | None:
    """The inverse of `carries_bytes`."""
    if content is None:
        return None
    return result_of(program, content, "what members carry").carries


def unit_text(unit: Unit) -> str:
    """A unit as JSON."""
    members = [member.plain() for member in unit.members]
    return json.dumps([unit.group, members, unit.lanes, unit.start, unit.stop])


def unit_of(text: str) -> Unit:
    """The inverse of `unit_text`; what members have by axis is left out."""
    group, members, lanes, start, stop = json.loads(text)
    made = tuple(
        Member(row, {}, seed, jax.tree.map(number, given), scale)
        for row, seed, scale, given in members
    )
    return Unit(group, made, lanes, start, stop)


def write(arrays: Mapping[str, np.ndarray], head: Any) -> bytes:
    """Arrays and plain data as bytes."""
    import safetensors.numpy

    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # The format knows halves, but its reader for numpy does not.
    halves = {name for name, array in whole.items() if array.dtype == jnp.bfloat16}
    whole |= {name: whole[name].view(np.uint16) for name in halves}
    text = {"capsjax": json.dumps(head), "bfloat16": json.dumps(sorted(halves))}
    return safetensors.numpy.save(whole, text)


def read(content: bytes, place: str) -> tuple[dict[str, np.ndarray], Any]:
    """The inverse of `write`.

    Raises:
        ValueError: The content is damaged, or something else; names the place.
    """
    import safetensors
    import safetensors.numpy

    try:
        arrays = safetensors.numpy.load(content)
        size = int.from_bytes(content[:8], "little")
        texts = json.loads(content[8 : 8 + size])["__metadata__"]
        halves = json.loads(texts["bfloat16"])
        arrays |= {name: arrays[name].view(jnp.bfloat16) for name in halves}
        return arrays, json.loads(texts["capsjax"])
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{place}: found {brief(str(error))}; expected a whole file of this sweep; "
            "cure: remove it, and what it held is computed again"
        ) from None
