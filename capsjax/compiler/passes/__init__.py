"""The pipeline: which passes run, in which order, and why in that order.

A pass is a pure function `TypedGraph -> (TypedGraph, notes)`. Each stands in a file of
its own. The notes say what it did, for `explain`. Every pass may rely on the invariants
of `capsjax.compiler.verify`, and must keep them.
"""

from collections.abc import Callable
from typing import NamedTuple

from capsjax.compiler.passes.batch import batch
from capsjax.compiler.passes.concatenate import concatenate
from capsjax.compiler.passes.drop_identities import drop_identities
from capsjax.compiler.passes.drop_unneeded import drop_unneeded
from capsjax.compiler.passes.pair_losses import pair_losses
from capsjax.compiler.verify import verify
from capsjax.graph.typed import TypedGraph


class Pass(NamedTuple):
    """One pass of the pipeline.

    Attributes:
        run: The function.
        observable: Whether every capsule that an output needs is still there
            afterwards. Only such passes run before `Network.deltas` and
            `Network.activations`, which name them all.
    """

    run: Callable[[TypedGraph], tuple[TypedGraph, list[str]]]
    observable: bool

    @property
    def name(self) -> str:
        """The function's name."""
        return self.run.__name__


class Stage(NamedTuple):
    """What a pass made of the graph, and what it said."""

    name: str
    typed: TypedGraph
    notes: tuple[str, ...]


PIPELINE = (
    # First: nothing else need look at what is thrown away.
    Pass(drop_unneeded, observable=True),
    # Before concatenate, so that concatenations read the real sources.
    Pass(drop_identities, observable=False),
    # Any time after slots are resolved; last of those that rewrite terms, so that
    # the others see plain edges only.
    Pass(concatenate, observable=True),
    # After identities are gone, which would stand between members of a group.
    Pass(batch, observable=True),
    # Independent of the others; required, since log_softmax with cross_entropy has
    # no other form.
    Pass(pair_losses, observable=True),
)


def run_passes(typed: TypedGraph, *, observable: bool, check: bool) -> list[Stage]:
    """Runs the pipeline.

    Args:
        typed: What inference made of the declaration.
        observable: Leave out passes that remove capsules which an output needs.
        check: Verify the graph before the first pass and after each.

    Returns:
        A stage per pass run, the last one the result; the first is the given graph.
    """
    stages = [Stage("infer", typed, ())]
    if check:
        verify(typed, "infer")
    for each in PIPELINE:
        if observable and not each.observable:
            continue
        typed, notes = each.run(typed)
        if check:
            verify(typed, each.name)
        stages.append(Stage(each.name, typed, tuple(notes)))
    return stages
