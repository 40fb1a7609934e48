"""Tuning: algorithms timed on this machine, the quickest kept in the network.

For each operation with a choice, each role, the algorithms that apply are compiled with
operands in memory and run in turn; the one with the least median time is written into
the edge's operation or the capsule's function (`asking`), where the lowered program
reads it. Operations that are equal are timed once. Those of a run are timed inside a
loop of two turns, since XLA treats operations in loops in another way.

What was found is kept in a file (`tuning_cache`), so that it is measured once.
"""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler.choices import Operation, operations
from capsjax.compiler.jit import jit
from capsjax.compiler.passes import Stage
from capsjax.compiler.precision import Precision
from capsjax.compiler.tuning_cache import TuningCache
from capsjax.graph.kinds import CapKind
from capsjax.graph.typed import (
    Concatenation,
    Term,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedRun,
)

_BUDGET_S = 0.3  # for the rounds of one role
_HOPELESS = 4  # times the quickest: once is enough

Asking = dict[tuple[Operation, bool], Any]
"""By operation and whether it stands in a run: the same with the quickest."""


def tuned_stage(
    typed: TypedGraph, batch: Mapping[str, Any], precision: Precision | None
) -> Stage:
    """The graph with the quickest algorithms for a batch, and what they are.

    Args:
        typed: The graph after all passes.
        batch: Arrays or their shapes and types by input name; other names are passed
            over.
        precision: The type that is computed with, if one is declared.

    Returns:
        The stage.

    Raises:
        ValueError: The batch does not fit the inputs.
    """
    size, dtype = _batch(typed, batch, precision)
    cache = TuningCache()
    found: Asking = {}
    notes = []
    waiting = list(_distinct(typed, size))
    for place, operation, looped in _shown(waiting):
        asking, note = _tuned(operation, looped, dtype, cache)
        found[operation, looped] = asking
        notes.append(f"{place}: {note}")
    cache.write()
    return Stage("tune", _replaced(typed, size, found, False), tuple(notes))


def _batch(
    typed: TypedGraph, batch: Mapping[str, Any], precision: Precision | None
) -> tuple[int, Any]:
    """Size of the batch, and the type that is computed with."""
    sizes, types = set(), []
    for name, shape in typed.inputs:
        given = batch.get(name)
        if given is None:
            raise ValueError(f"tune: input {name!r} is missing; expected (B, *{shape})")
        found = jnp.shape(given)
        if found[1:] != shape or not found or found[0] < 1:
            raise ValueError(
                f"tune, input {name!r}: found shape {found}; expected (B, *{shape})"
            )
        sizes.add(found[0])
        if name not in typed.integers:
            types.append(given.dtype if hasattr(given, "dtype") else np.float32)
    if len(sizes) != 1:
        raise ValueError(f"tune: found batches of {sorted(sizes)}; expected one size")
    dtype = precision.compute if precision else jnp.result_type(*types or [float])
    return sizes.pop(), jnp.dtype(dtype)


def _distinct(typed: TypedGraph, size: int) -> list[tuple[str, Operation, bool]]:
    """Operations with a choice, each once: first place, operation, whether in a run."""
    found: dict[tuple[Operation, bool], str] = {}
    for item in typed.capsules:
        alone = dataclasses.replace(typed, capsules=(item,))
        for place, operation in operations(alone, size):
            if operation.choices:
                found.setdefault((operation, isinstance(item, TypedRun)), place)
    return [(place, *key) for key, place in found.items()]


def _shown(waiting: list[Any]) -> Any:
    """With a bar of progress, where it takes longer than a few seconds."""
    from tqdm.auto import tqdm

    return tqdm(waiting, desc="tuning", unit="operation", delay=3, leave=False)


def _tuned(
    operation: Operation, looped: bool, dtype: Any, cache: TuningCache
) -> tuple[Any, str]:
    """The operation asking for the quickest algorithms, and a note on them."""
    asking, words = [], []
    for role, choice in operation.choices.items():
        names = [each.name for each in choice.role.applicable(choice.problem)]
        key = cache.key(operation, role, names, looped, dtype)
        best = cache.get(key)
        if best not in names:
            seconds = measure(*candidates(operation, role, names, looped, dtype))
            best = min(seconds, key=lambda name: seconds[name])
            cache.put(key, best, seconds)
        by_rule = choice.role.choose(choice.problem).name
        asking.append((role, best))
        words.append(f"{role} {best}" + ("" if best == by_rule else f" ({by_rule})"))
    return operation.kind.asking(asking), ", ".join(words)


def candidates(
    operation: Operation, role: str, names: list[str], looped: bool, dtype: Any
) -> tuple[dict[str, Callable[..., Any]], tuple[Any, ...]]:
    """A function for each algorithm of a role, and operands for all of them."""
    kind: Any = operation.kind
    _, shape, w_shape = operation
    inner = shape[1:]
    is_cap = isinstance(operation.kind, CapKind)
    out: Any = kind.output_shape(inner) if is_cap else kind.contribution_shape(inner)
    y_shape = (shape[0], *out)

    def function(name: str) -> Callable[..., Any]:
        asking: Any = kind.asking([(role, name)])
        if role == "forward":
            return asking.forward
        if role == "weight gradient":
            return lambda y, delta: asking.weight_gradient(y, delta, w_shape)
        if is_cap:
            return lambda u, y, dy: asking.backward(u, y, dy, shape)
        return lambda w, delta: asking.input_gradient(w, delta, shape)

    if is_cap:
        shapes = [shape] if role == "forward" else [shape, y_shape, y_shape]
    else:
        shapes = {
            "forward": [w_shape, shape],
            "input gradient": [w_shape, y_shape],
            "weight gradient": [shape, y_shape],
        }[role]
    draw = np.random.default_rng(0)
    turns = (2,) if looped else ()
    operands = [jnp.asarray(draw.normal(size=turns + (s or ())), dtype) for s in shapes]
    if is_cap and role != "forward":  # y as the function makes it, for its backward
        forward = jax.vmap(kind.forward) if looped else kind.forward
        operands[1] = forward(operands[0])
    functions = {name: function(name) for name in names}
    if looped:
        functions = {
            name: functools.partial(jax.lax.map, lambda args, f=f: f(*args))
            for name, f in functions.items()
        }
        return functions, (tuple(operands),)
    return functions, tuple(operands)


def measure(
    functions: dict[str, Callable[..., Any]], operands: tuple[Any, ...]
) -> dict[str, float]:
    """Median seconds of each, in turn; of what is hopelessly slow, those of one run."""
    programs = {
        name: jit(f).lower(*operands).compile() for name, f in functions.items()
    }
    for program in programs.values():
        jax.block_until_ready(program(*operands))

    def once(name: str) -> float:
        start = time.perf_counter()
        jax.block_until_ready(programs[name](*operands))
        return time.perf_counter() - start

    samples = {name: [once(name)] for name in programs}
    least = min(times[0] for times in samples.values())
    rest = [name for name, times in samples.items() if times[0] <= _HOPELESS * least]
    end = time.perf_counter() + _BUDGET_S
    while len(rest) > 1 and (time.perf_counter() < end or len(samples[rest[0]]) < 3):
        for name in rest:
            samples[name].append(once(name))
    return {name: statistics.median(times) for name, times in samples.items()}


def _replaced(typed: TypedGraph, size: int, found: Asking, looped: bool) -> TypedGraph:
    """The graph with operations that ask for their quickest algorithms."""

    def asking(operation: Operation) -> Any:
        return found.get((operation, looped), operation.kind)

    def edge(old: TypedEdge) -> TypedEdge:
        operation = Operation(
            old.weighting, (size, *old.source_shape), old.weight_shape
        )
        return dataclasses.replace(old, weighting=asking(operation))

    def term(old: Term) -> Term:
        if isinstance(old, Concatenation):
            return Concatenation(tuple(map(edge, old.edges)), old.axis)
        return edge(old)

    def item(old: Any) -> Any:
        if isinstance(old, TypedRun):
            return dataclasses.replace(old, body=_replaced(old.body, size, found, True))
        if not isinstance(old, TypedCapsule):
            return old
        cap = asking(Operation(old.cap, (size, *old.total_input), None))
        return dataclasses.replace(old, terms=tuple(map(term, old.terms)), cap=cap)

    return dataclasses.replace(typed, capsules=tuple(map(item, typed.capsules)))
