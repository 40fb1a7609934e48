"""Memory of members: how many lanes fit."""

from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler.residuals import parse_bytes
from capsjax.sweep.program import Program
from capsjax.training.dataset import room

_SHARE = 0.5
"""Of the memory that is free, what lanes may take if no limit is given."""


def lane_bytes(program: Program) -> int:
    """Bytes that a member takes while it runs, computed from the plan.

    What it carries (parameters, state, the optimizer's state), the gradients, which are
    as large as the parameters, the updates, what the backward pass holds of the forward
    pass, and the batch.
    """
    net, size = program.learner.net, program.lengths.batch_size
    carried = _bytes(program.shapes)
    gradients = 2 * _bytes(program.shapes["params"])
    held = 0
    if net.backward != "autodiff":
        held = net.memory(size).peak
    examples = sum(
        size * array.nbytes // len(array) for array in program.train.values()
    )
    return carried + gradients + held + examples


def most_lanes(program: Program, limit: int | str | None, threads: int) -> int:
    """How many lanes a device has room for, at least one.

    Args:
        program: The program of a group.
        limit: The most bytes that all members that run at once may take on a device;
            half of the free memory, if left out.
        threads: How many programs run at once.

    Raises:
        ValueError: The limit is no number of bytes, or less than one member takes.
    """
    each = lane_bytes(program)
    if limit is None:
        return max(1, int(room() * _SHARE) // threads // each)
    most = parse_bytes(limit, "memory_limit")
    if most < each:
        raise ValueError(
            f"memory_limit: found {most:,} bytes; expected {each:,} at least, which a "
            f"member of network {program.learner.net.graph.name!r} takes at batch size "
            f"{program.lengths.batch_size}"
        )
    return max(1, most // threads // each)


def _bytes(tree: Any) -> int:
    return sum(
        leaf.size * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )
