"""The pipeline: which passes run, in which order, and why in that order.

A pass is a pure function `TypedGraph -> (TypedGraph, notes)`. Each stands in a file of
its own. The notes say what it did, for `explain`. Every pass may rely on the invariants
of `capsjax.compiler.verify`, and must keep them.

`cj.passes` is this module: `cj.compile(graph, passes=...)` takes fewer passes than the
`PIPELINE`, or others, such as one of your own (see `Pass`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from capsjax.compiler.passes.batch import batch as batch
from capsjax.compiler.passes.concatenate import concatenate as concatenate
from capsjax.compiler.passes.drop_identities import drop_identities as drop_identities
from capsjax.compiler.passes.drop_unneeded import drop_unneeded as drop_unneeded
from capsjax.compiler.passes.fold import fold as fold
from capsjax.compiler.passes.fold import fold_all as fold_all
from capsjax.compiler.passes.merge import merge as merge
from capsjax.compiler.passes.merge import merge_all as merge_all
from capsjax.compiler.passes.pair_losses import pair_losses as pair_losses
from capsjax.compiler.passes.simplify import simplify as simplify
from capsjax.compiler.verify import verify
from capsjax.compiler.verify_passes import verify_kept
from capsjax.graph.errors import brief
from capsjax.graph.typed import TypedGraph

__all__ = [
    "PIPELINE",
    "Pass",
    "Stage",
    "batch",
    "concatenate",
    "drop_identities",
    "drop_unneeded",
    "fold",
    "fold_all",
    "merge",
    "merge_all",
    "pair_losses",
    "simplify",
]


class Pass(NamedTuple):
    """One pass of the pipeline: a function, and what it leaves alone.

    The function takes a `capsjax.graph.typed.TypedGraph` and returns another one with
    a list of notes, a line for each thing that it did. It means the same as before for
    all parameters, and it

    - keeps names, shapes and order of outputs, and losses on them;
    - keeps names and shapes of parameters by name, or drops parameters;
    - keeps capsules in topological order, every source before its readers.

    Attributes:
        run: The function.
        observable: Whether every capsule that an output needs is still there
            afterwards. Only such passes run before `Network.deltas` and
            `Network.activations`, which name them all.

    Example:
        A pass that takes out dropout which drops nothing. First in the pipeline, it
        sees the capsules as they were declared, and `drop_identities` what it leaves.

        >>> import dataclasses
        >>> import capsjax as cj
        >>> def drop_nothing(typed):
        ...     notes, capsules = [], []
        ...     for capsule in typed.capsules:
        ...         if capsule.cap == cj.caps.dropout(0.0):
        ...             capsule = dataclasses.replace(capsule, cap=cj.caps.identity())
        ...             notes.append(f"{capsule.name}: no dropout at rate 0")
        ...         capsules.append(capsule)
        ...     return dataclasses.replace(typed, capsules=tuple(capsules)), notes
        >>> x = cj.input("x", (4,))
        >>> drop = cj.capsule("d", cj.identity(x), cap=cj.caps.dropout(0.0), bias=None)
        >>> graph = cj.graph(cj.capsule("h", cj.matmul(drop, 3)))
        >>> own = cj.passes.Pass(drop_nothing, observable=True)
        >>> net = cj.compile(graph, passes=(own, *cj.passes.PIPELINE))
        >>> for stage in net.stages:
        ...     for note in stage.notes:
        ...         print(stage.name, note, sep=": ")
        drop_nothing: d: no dropout at rate 0
        drop_identities: dropped d: the identity of x
    """

    run: Callable[[TypedGraph], tuple[TypedGraph, list[str]]]
    observable: bool

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.run, "__name__", type(self.run).__name__)


class Stage(NamedTuple):
    """What a pass made of the graph, and what it said."""

    name: str
    typed: TypedGraph
    notes: tuple[str, ...]


PIPELINE = (
    # First: nothing else need look at what is thrown away.
    Pass(drop_unneeded, observable=True),
    # Before drop_identities: it makes identities, and reads through those there are.
    Pass(simplify, observable=False),
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
    # After batch, which takes what is small and many; before fold, which keeps what is
    # merged within a copy.
    Pass(merge, observable=True),
    # Last: no other pass looks into runs.
    Pass(fold, observable=True),
)


def run_passes(
    typed: TypedGraph,
    passes: Sequence[Pass] = PIPELINE,
    *,
    observable: bool,
    check: bool,
) -> list[Stage]:
    """Runs the pipeline.

    Args:
        typed: What inference made of the declaration.
        passes: What runs, in this order.
        observable: Leave out passes that remove capsules which an output needs.
        check: Verify the graph before the first pass and after each.

    Returns:
        A stage per pass run, the last one the result; the first is the given graph.

    Raises:
        TypeError: A pass is none, or returns something else than it should.
        CompilerError: A pass broke an invariant, or did not keep what it must keep.
    """
    stages = [Stage("infer", typed, ())]
    if check:
        verify(typed, "infer")
    for each in _taken(passes):
        if observable and not each.observable:
            continue
        before = typed
        typed, notes = _result(each, each.run(before))
        if check:
            verify(typed, each.name)
            verify_kept(before, typed, each.name, each.observable)
        stages.append(Stage(each.name, typed, notes))
    return stages


def _taken(passes: Any) -> tuple[Pass, ...]:
    if isinstance(passes, Pass) or not isinstance(passes, Sequence):
        raise TypeError(
            f"passes: found {brief(passes)}; expected a sequence of cj.passes.Pass, "
            "such as cj.passes.PIPELINE"
        )
    for number, each in enumerate(passes):
        if not isinstance(each, Pass):
            raise TypeError(
                f"passes[{number}]: found {brief(each)}; expected a cj.passes.Pass; "
                "cure: cj.passes.Pass(function, observable=False)"
            )
    return tuple(passes)


def _result(each: Pass, result: Any) -> tuple[TypedGraph, tuple[str, ...]]:
    fits = isinstance(result, tuple) and len(result) == 2
    if fits and isinstance(result[0], TypedGraph) and isinstance(result[1], list):
        if all(isinstance(note, str) for note in result[1]):
            return result[0], tuple(result[1])
    raise TypeError(
        f"pass {each.name!r} returned {brief(result)}; expected (TypedGraph, list of "
        "str): the graph, and a note on each thing that was done"
    )
