"""From an operation's name in XLA to the capsule that it is of.

Each capsule's operations stand in a `jax.named_scope` of its name, those that go back
through it in one of `name/backward`, an output's loss in `name/loss`; a run's copies
stand in the run's. JAX joins the scopes, wraps them in the transformations that it
applied, and XLA keeps the text beside each operation:

    jit(gradient)/transpose(jvp(r0 to r2/backward))/while/body/r0+2/backward/dot_general
"""

import re
from collections.abc import Collection

_FUNCTION = re.compile(r"\bp?jit\([^()]*\)")
_TRANSFORMATION = re.compile(r"\w+\(|\)")
BACKWARD = "backward"


def scope(op_name: str) -> str:
    """The named scopes around an operation, `h/backward`; empty if there are none.

    Args:
        op_name: What stands in XLA's metadata as `op_name`.
    """
    around, _, last = op_name.rpartition("/")
    if "(" in last or ")" in last:  # the slash stands within a transformation
        around = op_name
    path = _TRANSFORMATION.sub("", _FUNCTION.sub("", around))
    return "/".join(part for part in path.split("/") if part)


def capsule_of(op_name: str, names: Collection[str]) -> tuple[str | None, bool]:
    """The innermost capsule that an operation is of, and whether it goes back.

    Args:
        op_name: What stands in XLA's metadata as `op_name`.
        names: The capsules' names, which may have slashes.

    Returns:
        The capsule, or None; and whether the operation is of the backward pass.
    """
    parts = scope(op_name).split("/")
    longest = max((name.count("/") + 1 for name in names), default=0)
    found, back = None, "transpose(" in op_name
    place = 0
    while place < len(parts):
        length = 0
        if found is not None and parts[place] == BACKWARD:
            back = True  # not a capsule of this name: none stands within another
        else:
            length = _matched(parts[place:], names, longest)
            found = "/".join(parts[place : place + length]) if length else found
        place += max(length, 1)
    return found, back


def _matched(parts: list[str], names: Collection[str], longest: int) -> int:
    """How many parts, from the first on, are a name; 0 if they are none."""
    for length in range(min(longest, len(parts)), 0, -1):
        if "/".join(parts[:length]) in names:
            return length
    return 0
