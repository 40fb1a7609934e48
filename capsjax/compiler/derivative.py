"""The program as a function with a derivative: by `jax.custom_vjp`, or by JAX."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler import interpreter, parameters
from capsjax.compiler.mode import INFERENCE, Mode
from capsjax.compiler.program import Program
from capsjax.compiler.state import compiled_state, named_state_shapes, state_by_name
from capsjax.graph.traced import bind
from capsjax.graph.typed import TypedGraph

State = dict[str, Any]
Arrays = dict[str, jax.Array]
Run = Callable[..., tuple[Any, Arrays, State]]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Wanted:
    """Static companion of the residuals: which cotangents are asked for."""

    inputs: bool
    targets: bool
    shares: bool


def differentiable(program: Program, train: bool) -> Callable[..., Any]:
    """The program as one function with its own derivative, `jax.custom_vjp`.

    Cotangents that are symbolically zero (outputs beside the loss, the loss beside the
    outputs) never become arrays of zeros, and the inputs' gradients are computed only
    when something is differentiated by them.

    Args:
        program: The lowered program.
        train: Training or inference.

    Returns:
        `run(params, state, inputs, targets, key, settings, shares) -> (loss, outputs,
        new state)`; without targets the loss is None.
    """

    @jax.custom_vjp
    def run(params, state, inputs, targets, key, settings, shares):
        own, mode = program.bound(settings), Mode(train, key, shares=shares)
        return own.forward(params, state, inputs, targets, mode, "nothing")[0]

    def forward(params, state, inputs, targets, key, settings, shares):
        _refuse_perturbed(settings)
        wanted = _Wanted(*map(_any_perturbed, (inputs, targets, shares)))
        given = params, state, inputs, targets, key, settings, shares
        params, state, inputs, targets, key, settings, shares = jax.tree.map(
            _value, given
        )
        own, mode = program.bound(settings), Mode(train, key, shares=shares)
        result, residuals = own.forward(params, state, inputs, targets, mode)
        return result, (residuals, inputs, key, settings, shares, wanted)

    def backward(saved, cotangents):
        residuals, inputs, key, settings, shares, wanted = saved
        d_loss, d_outputs, _ = cotangents  # state is not differentiated
        d_outputs = {n: d for n, d in d_outputs.items() if not _is_zero(d)}
        d_loss = None if _is_zero(d_loss) else d_loss
        asked = frozenset(inputs) if wanted.inputs else frozenset()
        mode = Mode(train, key, shares=shares)
        own = program.bound(settings)
        d_params, d_inputs, _ = own.backward(residuals, d_loss, d_outputs, asked, mode)
        all_inputs = {
            name: _input_gradient(array, d_inputs.get(name))
            for name, array in inputs.items()
        }
        d_targets = d_shares = None
        if (wanted.targets or wanted.shares) and d_loss is not None:
            d_targets, d_shares = own.target_gradient(residuals, inputs, d_loss, mode)
        return d_params, None, all_inputs, d_targets, None, None, d_shares

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run


def _input_gradient(array: jax.Array, gradient: jax.Array | None) -> Any:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return None
    return jnp.zeros_like(array) if gradient is None else gradient.astype(array.dtype)


class CompiledRun:
    """The program with its derivative, once for training and once for inference."""

    def __init__(self, program: Program):
        self._training = differentiable(program, True)
        self._inference = differentiable(program, False)

    def __call__(self, params, state, inputs, targets, mode: Mode = INFERENCE):
        run = self._training if mode.train else self._inference
        loss, outputs, new = run(
            params,
            jax.lax.stop_gradient(state),
            inputs,
            targets,
            mode.key,
            dict(mode.settings),
            mode.shares,
        )
        return loss, outputs, _updated(state, new, mode)


def _updated(state: State, new: State, mode: Mode) -> State:
    """The state after a step; inference leaves it alone."""
    if not mode.train:
        return state
    return {**state, **{name: {**state[name], **own} for name, own in new.items()}}


def interpreted(
    typed: TypedGraph,
    used: TypedGraph,
    params,
    state,
    inputs,
    targets,
    mode: Mode = INFERENCE,
):
    """The interpreter as a function with JAX's own derivatives.

    Args:
        typed: What inference made of the declaration, before any pass; settings may
            be traced.
        used: The program's graph, in whose layout parameters and state are.
        params: Parameters.
        state: State.
        inputs: Arrays by input name.
        targets: Encoded targets by output name, or None.
        mode: Training or inference.
    """
    numbers = {name: jnp.full_like(0.0, x) for name, x in mode.settings.items()}
    typed = bind(typed, numbers)
    named = parameters.by_name(used, params)
    fixed = state_by_name(used, jax.lax.stop_gradient(state))
    loss, outputs, new = interpreter.run(typed, named, fixed, inputs, targets, mode)
    if mode.train:  # the interpreter evaluates what some pass may have dropped
        carried = {name for name, *_ in named_state_shapes(used)}
        new = {name: own for name, own in new.items() if name in carried}
        new = compiled_state(used, new)
    return loss, outputs, _updated(state, new, mode)


def with_hint(run: Run) -> Run:
    """Says, where forward mode is met, how to get it."""

    def hinting(*arguments):
        try:
            return run(*arguments)
        except TypeError as error:
            if "custom_vjp" in str(error):
                error.add_note(
                    "forward mode (jax.jvp, jax.jacfwd, jax.linearize) needs "
                    'cj.compile(graph, backward="autodiff")'
                )
            raise

    return hinting


def _refuse_perturbed(settings: Any) -> None:
    """No rule of ours gives a derivative by a setting: better none than a zero."""
    names = [name for name, leaf in settings.items() if leaf.perturbed]
    if names:
        raise ValueError(
            f"traced setting {names[0]!r} is differentiated by; expected parameters, "
            'inputs or targets; cure: cj.compile(graph, backward="autodiff", '
            "traced=...), whose derivatives are JAX's"
        )


def _value(leaf: Any) -> Any:
    return leaf.value


def _any_perturbed(tree: Any) -> bool:
    return any(leaf.perturbed for leaf in jax.tree.leaves(tree))


def _is_zero(cotangent: Any) -> bool:
    return cotangent is None or isinstance(
        cotangent, jax.custom_derivatives.SymbolicZero
    )
