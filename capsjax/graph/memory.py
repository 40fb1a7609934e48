"""Sizes against the machine's memory, before anything is allocated.

Python integers throughout: a declared size may exceed what a float can hold.
"""

import math
from collections.abc import Mapping

from capsjax.graph.errors import Problem, quoted
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup

BYTES_PER_NUMBER = 4  # float32


def check_memory(typed: TypedGraph, position: Mapping[str, int]) -> list[Problem]:
    """Compares the sizes of parameters and of one example with the machine's memory.

    Args:
        typed: The graph, or what could be typed of it.
        position: Each capsule's position in the document.

    Returns:
        A problem if all parameters together do not fit, and one for each input or
        capsule of which one example does not.
    """
    import psutil  # here: importing it reads the machine's state, which takes a while

    memory = psutil.virtual_memory().total
    most = f"at most {gibibytes(memory)}, the memory of this machine"
    problems = []
    count = typed.parameter_count
    size = count * BYTES_PER_NUMBER
    if size > memory:
        counts = [_numbers(typed, capsule) for capsule in typed.unfolded]
        largest = max(counts)
        name = typed.unfolded[counts.index(largest)].name
        problems.append(
            Problem(
                ("capsules", position[name]) if name in position else ("inputs",),
                f"graph {quoted(typed.graph.name)}, parameters",
                f"{count:,} parameters, {gibibytes(size)}; the most, {largest:,}, in "
                f"capsule {quoted(name)}",
                most,
                f"fewer features in {quoted(name)}, or a larger machine",
            )
        )
    for i, (name, shape) in enumerate(typed.inputs):
        size = math.prod(shape or ()) * BYTES_PER_NUMBER
        if size > memory:
            found = f"shape {shape} takes {gibibytes(size)} for one example"
            place = f"input {quoted(name)}"
            problems.append(
                Problem(("inputs", i, "shape"), place, found, most, "a smaller shape")
            )
    for capsule in typed.unfolded:
        if isinstance(capsule, TypedGroup) or not capsule.terms:
            continue  # made by a pass, or of arrays that are in memory already
        numbers = math.prod(capsule.total_input) + math.prod(capsule.output)
        size = numbers * BYTES_PER_NUMBER
        if size > memory:
            problems.append(
                Problem(
                    ("capsules", position[capsule.name]),
                    f"capsule {quoted(capsule.name)}",
                    f"U {capsule.total_input} and Y {capsule.output} take "
                    f"{gibibytes(size)} for one example",
                    most,
                    "smaller shapes",
                )
            )
    return problems


def _numbers(typed: TypedGraph, capsule: TypedCapsule | TypedGroup) -> int:
    """Numbers of a capsule's parameters, shared weights with the first that reads."""
    shared = typed.shared.values()
    own = [edge.weight_shape or () for first, edge in shared if first is capsule]
    return capsule.parameter_count + sum(map(math.prod, own))


def gibibytes(size: int) -> str:
    """A size in GiB, rounded down to a tenth."""
    return f"{size // 2**30:,}.{size % 2**30 * 10 // 2**30} GiB"
