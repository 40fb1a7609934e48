"""Frozen: a network for inference alone, its parameters inside."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler import parameters
from capsjax.compiler.batch import take_inputs
from capsjax.compiler.derivative import differentiable
from capsjax.compiler.inference.freeze import freeze
from capsjax.compiler.network import Arrays, Network, Params, State
from capsjax.compiler.passes import Stage, drop_unneeded, run_passes
from capsjax.compiler.plan import plan
from capsjax.compiler.precision import Precision, cast, common
from capsjax.compiler.program import Program
from capsjax.compiler.state import (
    compiled_state,
    named_state_shapes,
    state_shapes,
)
from capsjax.compiler.verify import verify
from capsjax.graph.assignment import without_rules
from capsjax.graph.typed import TypedGraph


@dataclasses.dataclass(frozen=True, eq=False)
class InferenceProgram:
    """What of a frozen network is no array.

    Attributes:
        graph: The declaration.
        typed: The declaration with its shapes.
        stages: What freezing and each pass of the compiler made of it.
        program: The lowered program.
        precision: The types of the program and of outputs, if declared.
    """

    graph: Any
    typed: TypedGraph
    stages: tuple[Stage, ...]
    program: Program
    precision: Precision | None

    @functools.cached_property
    def run(self) -> Callable[[Params, State, Arrays], Arrays]:
        """`(params, state, inputs) -> outputs`, under `jit`."""
        evaluate = differentiable(self.program, False)

        def run(params: Params, state: State, inputs: Arrays) -> Arrays:
            policy, given = self.precision, (params, inputs)
            dtype = policy.compute if policy else common(given)
            params, inputs = cast(given, dtype)
            _, outputs, _ = evaluate(params, state, inputs, None, None, {}, None)
            return cast(outputs, policy.outputs) if policy else outputs

        # Without compiler options, which only the outermost jit may have.
        return jax.jit(run)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Frozen:
    """A network for inference, with its parameters: `cj.compile(mode="inference")`.

    Dropout and noise are gone; running statistics, scales of channels and their shifts
    are in weights and biases wherever these are not shared. It is a pytree of arrays:
    pass it to functions under `jit`, which otherwise take its arrays for constants; and
    `jax.vmap` over what makes it gives an ensemble.

    It can be differentiated by the inputs. For the network's parameters, compile the
    graph without a mode.

    Attributes:
        params: What became of the parameters.
        state: What capsule functions read beside them, and the wiring of neurons.
        compiled: The declaration, the stages of the compiler, and the program.
    """

    params: Params
    state: State
    compiled: InferenceProgram = dataclasses.field(metadata={"static": True})

    def __call__(self, inputs: Mapping[str, Any]) -> Arrays:
        """Evaluates the network.

        Args:
            inputs: Arrays by input name, shape [B, *declared shape].

        Returns:
            Y by output name, shape [B, *output shape]: what `net.apply` gives in
            inference.

        Raises:
            ValueError: Inputs do not fit, says which, by name.
        """
        arrays = take_inputs(self.compiled.program.typed, inputs)
        return self.compiled.run(self.params, self.state, arrays)

    @property
    def parameter_count(self) -> int:
        """Number of parameters that are left."""
        return self.compiled.program.typed.parameter_count

    def __repr__(self) -> str:
        typed = self.compiled.program.typed
        return (
            f"Frozen({self.compiled.graph.name!r}, {len(typed.capsules)} capsules, "
            f"{self.parameter_count:,} parameters)"
        )


def frozen_of(net: Network, params: Any, state: Any, check: bool) -> Frozen:
    """Freezes a network.

    Args:
        net: The network that the parameters belong to.
        params: Parameters in its layout, or by name.
        state: Its state, in its layout or by name.
        check: Verify the compiler's invariants.

    Returns:
        The inference program.

    Raises:
        ValueError: Parameters or state do not fit, says which, by name.
    """
    net = _without_rules(net)
    needed, dropped = drop_unneeded(net.typed)
    arrays, state = _by_name(net, params), _state(net, state)
    typed, arrays, notes = freeze(needed, arrays, state)
    if check:
        verify(typed, "freeze")
    stages = [
        Stage("infer", net.typed, ()),
        Stage("drop_unneeded", needed, tuple(dropped)),
        Stage("freeze", typed, tuple(notes)),
    ]
    stages += run_passes(typed, net.passes, observable=False, check=check)[1:]
    last = stages[-1].typed
    made = InferenceProgram(
        net.graph, net.typed, tuple(stages), Program(last, plan(last)), net.precision
    )
    compiled = parameters.compiled(last, arrays)
    if net.precision:
        compiled = cast(compiled, net.precision.compute)
    return Frozen(compiled, _carried(last, state), made)


def _by_name(net: Network, params: Any) -> dict[parameters.Name, jax.Array]:
    """Parameters by name from those of a network in either layout."""
    names = parameters.named_shapes(net.program.typed).keys()
    given: Any = params
    if isinstance(given, Mapping) and names == dict(parameters.flatten(params)).keys():
        found = net.named(net.from_named(params))
    else:
        found = net.named(params)
    arrays = parameters.flatten(found)
    return {name: jnp.asarray(array) for name, array in arrays}


def _without_rules(net: Network) -> Network:
    """The network in the same layout without backward rules, whose state it lacks."""
    used = without_rules(net.program.typed)
    program = Program(used, plan(used))
    return dataclasses.replace(net, typed=without_rules(net.typed), program=program)


def _state(net: Network, state: Any) -> State:
    """State by name from that of a network in either layout."""
    used = net.program.typed
    given: Any = {} if state is None else state
    if isinstance(given, Mapping):
        given = {name: _carried_by_cap(own) for name, own in given.items()}
    named = {name for name, *_ in named_state_shapes(used)}
    if named != {name for name, *_ in state_shapes(used)}:
        if isinstance(state, Mapping) and named <= state.keys():
            given = net.state_from_named(state)
    return net.named_state(given)


def _carried_by_cap(own: Any) -> Any:
    """Without the arrays of backward rules."""
    if isinstance(own, Mapping) and "feedback" in own:
        return {key: array for key, array in own.items() if key != "feedback"}
    return own


def _carried(typed: TypedGraph, state: State) -> State:
    """What of the state an inference program still reads, in its layout."""
    names = [*dict.fromkeys(name for name, *_ in named_state_shapes(typed))]
    names += [group.name for group in typed.groups if not group.members]
    return compiled_state(typed, {name: state[name] for name in names})
