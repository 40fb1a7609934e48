"""Users' capsule functions, held against what they declare.

`run` and `run_backward` (which for most are `forward` and `backward`) are traced
abstractly, in training and in inference: nothing is computed.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.caps.base import Cap, Context
from capsjax.graph.errors import brief
from capsjax.graph.kinds import Shape

BATCH = 3  # examples in the arrays that rules are tried on: not 1, which hides much

_SHAPES = (
    "correct the kind: shape rule and forward must agree (shapes are per example; "
    "arrays have a batch axis in front)"
)


class _Breach(Exception):
    """Found, expected, cure."""


@functools.lru_cache(maxsize=4096)
def cap_fault(cap: Cap, shape: Shape, output: Shape) -> tuple[str, str, str] | None:
    """What a capsule function does against its declaration.

    Args:
        cap: The record.
        shape: Shape of U, per example.
        output: Shape of Y, as its shape rule gives it.

    Returns:
        Found, expected, and the cure; None if nothing is wrong.
    """

    def everything(u: jax.Array, key: Any) -> None:
        given = {}
        for what, declared, initial in (
            ("state", cap.state_shapes, cap.initial_state),
            ("parameters", cap.parameter_shapes, cap.initial_parameters),
        ):
            arguments = (shape, u.dtype) if what == "state" else (key, shape, u.dtype)
            given[what] = _attempt(f"initial_{what}", initial, *arguments)
            _hold_names(f"initial_{what} gives", given[what], declared(shape), what)
        for train in (True, False):
            own = key if train and cap.draws else None
            context = Context(given["parameters"], given["state"], own, train)
            _hold(cap, u, context, output)

    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        jax.eval_shape(everything, abstract((BATCH, *shape)), key)
    except _Breach as breach:
        found, expected, cure = breach.args
        return found, expected, cure
    return None


def _hold(cap: Cap, u: jax.Array, context: Context, output: Shape) -> None:
    """One forward and one backward pass, in training or in inference."""
    of = type(cap)
    general = of.run is not Cap.run
    mode = " in training" if context.train else " in inference"
    forward = f"run{mode}" if general else "forward"
    result = _attempt(forward, cap.run, u, context)
    if not isinstance(result, tuple) or len(result) != 3:
        raise _Breach(
            f"{forward} gives {_outline(result)}",
            "three values: Y, the new state, the residual",
            "return all three, {} for no state and () for no residual",
        )
    y, new, residual = result
    if per_example(y) != output:
        raise _Breach(*disagreement(forward, per_example(y), output))
    if context.train:
        _hold_names(f"{forward} gives the new state", new, context.state, "state")
    if general and of.run_backward is Cap.run_backward and of.backward is Cap.backward:
        raise _Breach(
            "run without run_backward",
            "both",
            "declare run_backward, which gives dL/dU and the gradients of the "
            "function's own parameters",
        )
    own = of.run_backward is not Cap.run_backward
    if not own and of.backward is Cap.backward:
        return  # JAX's: right, or not to be had for what is used in inference alone
    backward = f"run_backward{mode}" if own else "backward"
    read = [array if k in cap.reads else None for k, array in (("U", u), ("Y", y))]
    given = residual, *read, y, u.shape, context._replace(key=None)
    result = _attempt(backward, cap.run_backward, *given)
    if not isinstance(result, tuple) or len(result) != 2:
        raise _Breach(
            f"{backward} gives {_outline(result)}",
            "two values: dL/dU, and the gradients of the function's own parameters",
            "return both, {} for no parameters",
        )
    du, d_params = result
    if getattr(du, "shape", None) != u.shape:
        raise _Breach(
            f"{backward} gives dL/dU of {_outline(du)}",
            f"shape {u.shape} for a batch of {BATCH}, that of U",
            "return one number for each of U",
        )
    what = f"{backward} gives gradients of parameters"
    _hold_names(what, d_params, context.params, "parameters")


def _hold_names(what: str, found: Any, declared: Mapping[str, Any], noun: str) -> None:
    """Arrays by name, against those declared or given: all, and of their shapes."""
    rule = "state_shapes" if noun == "state" else "parameter_shapes"
    bad = [name for name in declared if not isinstance(name, str) or ":" in name]
    if bad:
        raise _Breach(
            f"{rule} names {brief(bad[0])}",
            "names that are strings without a colon",
            "rename it: files of parameters and state join names by colons",
        )
    shapes = {
        name: tuple(getattr(each, "shape", each)) for name, each in declared.items()
    }
    if not isinstance(found, Mapping):
        given: Any = _outline(found)
    else:
        given = {name: getattr(a, "shape", _outline(a)) for name, a in found.items()}
    if given != shapes:
        raise _Breach(
            f"{what} {given}",
            f"{shapes}, says {rule}",
            "declare and return the same names and shapes; shapes have no batch axis",
        )
    types = {name: found[name].dtype for name in found}
    for name, dtype in types.items():
        kept = getattr(declared[name], "dtype", dtype)
        if dtype != kept:
            raise _Breach(
                f"{what} {name!r} of {dtype}",
                f"{kept}, as it is given",
                "return `.astype` of the type that was there: the next step takes it",
            )
        if noun == "parameters" and not jnp.issubdtype(dtype, jnp.floating):
            raise _Breach(
                f"{what} {name!r} of {dtype}",
                "floating point: parameters are differentiated",
                "declare it as state, or make it a setting",
            )


def _attempt(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # a user's rule may raise anything
        raise _Breach(
            f"{what} fails: {in_words(error)}",
            "no error",
            "correct the kind; try its rules on arrays with a batch axis in front",
        ) from error


def _outline(result: Any) -> str:
    """What a rule has returned, without its numbers."""
    if hasattr(result, "shape"):
        return f"shape {tuple(result.shape)}"
    if isinstance(result, tuple):
        return f"{len(result)} values"
    return brief(result)


def disagreement(
    rule: str, found: Shape | str, expected: Shape
) -> tuple[str, str, str]:
    """A shape rule that says one thing, and the rule another."""
    what = f"{rule} gives shape {found}" if isinstance(found, tuple) else found
    return what, f"shape {expected}, says the kind's shape rule", _SHAPES


def abstract(shape: Shape) -> jax.ShapeDtypeStruct:
    """An array to trace with."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def per_example(result: object) -> Shape | str:
    """The shape of an array without its batch axis; or why there is none."""
    shape = getattr(result, "shape", None)
    if shape is None or len(shape) == 0:
        return f"{result}, without a batch axis"
    if shape[0] != BATCH:
        return f"shape {shape} for a batch of {BATCH}, which lost the batch axis"
    return tuple(shape[1:])


def in_words(error: Exception) -> str:
    """An error's name and its first line."""
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
