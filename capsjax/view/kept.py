"""What the backward pass keeps of each capsule, for tables and drawings."""

from capsjax.compiler import Network
from capsjax.compiler.plan import copy_bytes, residual_bytes


def kept_bytes(net: Network) -> tuple[dict[str, int], int]:
    """Bytes kept per example for the backward pass, by capsule, and in all."""
    typed, plan = net.program.typed, net.program.plan
    found = residual_bytes(typed, plan)
    whole = sum(found.values())
    for run in typed.runs:
        own = copy_bytes(run, plan.runs[run.name])
        for names in run.copies:
            for capsule, name in zip(run.body.capsules, names, strict=True):
                found[name] = own.get(capsule.name, 0)
    return found, whole
