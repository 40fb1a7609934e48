"""bind: a network with its parameters and its state as a module of Equinox.

Equinox programs take every floating-point array of a module for a parameter: they
differentiate by it, and optimizers decay it. Running statistics are none, and weight
decay would shrink them silently, though their gradient is zero. So the module holds
floating-point state as its bits, in integers: it is traced, batched, and written to
files as all arrays are, and no optimizer touches it.
"""

from collections.abc import Mapping
from typing import Any

import equinox
import jax
import jax.numpy as jnp

from capsjax.compiler.network import Network, Params, State
from capsjax.compiler.state import named_state_shapes
from capsjax.graph.errors import listing


class BoundNetwork(equinox.Module):
    """A network, its parameters and its state: see `Network.bind`, which makes it.

    Attributes:
        params: The parameters, as the network has them: leaves of the module.
        inference: Whether calls are inference; `equinox.nn.inference_mode` sets it.
        net: The network; no leaf.
    """

    params: Params
    inference: bool
    _state: Any
    net: Network = equinox.field(static=True, repr=False)

    def __init__(
        self, net: Network, params: Params, state: State, inference: bool = False
    ):
        self.net, self.params, self.inference = net, params, inference
        self._state = jax.tree.map(_hidden, state)

    @property
    def state(self) -> State:
        """The state, as the network has it."""
        return jax.tree.map(_shown, self._state, is_leaf=_is_bits)

    def __call__(
        self,
        inputs: Mapping[str, Any] | jax.Array,
        *,
        key: jax.Array | None = None,
    ) -> Any:
        """The outputs.

        Args:
            inputs: Arrays by input name, or the array, if there is one input. An array
                of the declared shape is one example; with one axis more, before all
                others, it is a batch, which is quicker than one example under `vmap`.
            key: Random key for capsule functions that draw, in training.

        Returns:
            Y by output name, or Y, if there is one output: of one example, or of a
            batch, as the inputs are.

        Raises:
            ValueError: Inputs do not fit, says which, by name; capsules draw in
                training and there is no key; or the network has running statistics, or
                feedback weights that learn, which a call in training would lose.
            TypeError: There are several inputs, and no mapping.
        """
        statistics, feedback = self._statistics(), self._learning_feedback()
        if (statistics or feedback) and not self._inference():
            what = "running statistics" if statistics else "feedback weights that learn"
            raise ValueError(
                f"network {self.net.graph.name!r} carries {what} in "
                f"{statistics or feedback}, whose new values a call in training would "
                "lose; cure: outputs, state = module.apply(inputs, key=key), and "
                "module.with_state(state); or, for inference, "
                "equinox.nn.inference_mode(module)"
            )
        return self.apply(inputs, key=key)[0]

    def apply(
        self,
        inputs: Mapping[str, Any] | jax.Array,
        *,
        key: jax.Array | None = None,
    ) -> tuple[Any, State]:
        """The outputs and the state after the step.

        Args:
            inputs: As for a call.
            key: Random key for capsule functions that draw, in training.

        Returns:
            `(outputs, state)`: the outputs as a call gives them; in training the new
            state, which `with_state` takes, in inference the state that is bound.

        Raises:
            ValueError: As for a call; in training also for one example, if the network
                takes statistics of the batch.
            TypeError: As for a call.
        """
        inference = self._inference()
        arrays, single = _as_batch(self.net, inputs)
        statistics = self._statistics()
        if single and statistics and not inference:
            raise ValueError(
                f"network {self.net.graph.name!r} takes statistics of the batch in "
                f"{statistics}; found one example; expected a batch"
            )
        outputs, state = self.net.apply(
            self.params, self.state, arrays, train=not inference, key=key
        )
        if single:
            outputs = {name: y[0] for name, y in outputs.items()}
        if len(outputs) == 1:
            (y,) = outputs.values()
            return y, state
        return outputs, state

    def with_state(self, state: State) -> "BoundNetwork":
        """The same module with another state, such as `apply` returns it."""
        return BoundNetwork(self.net, self.params, state, self.inference)

    def _statistics(self) -> str:
        """Names of the capsules with running statistics."""
        shapes = named_state_shapes(self.net.program.typed)
        names = (name for name, part, *_ in shapes if part != "feedback")
        return listing(map(repr, dict.fromkeys(names)), 4)

    def _learning_feedback(self) -> str:
        """Names of the capsules whose backward rules carry what learns."""
        names = (c.name for c in self.net.typed.unfolded if c.learning_rules)
        return listing(map(repr, names), 4)

    def _inference(self) -> bool:
        if not isinstance(self.inference, bool):
            raise TypeError(
                f"inference is {self.inference!r}; expected True or False, a Python "
                "value; cure: equinox.filter_jit and its like in place of jax.jit"
            )
        return self.inference


class _Bits(equinox.Module):
    """A floating-point array as integers of the same bits."""

    bits: jax.Array
    dtype: Any = equinox.field(static=True)


def _hidden(leaf: Any) -> Any:
    array = jnp.asarray(leaf)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    unsigned = jnp.dtype(f"uint{8 * array.dtype.itemsize}")
    return _Bits(jax.lax.bitcast_convert_type(array, unsigned), array.dtype)


def _is_bits(node: Any) -> bool:
    return isinstance(node, _Bits)


def _shown(leaf: Any) -> Any:
    if not _is_bits(leaf):
        return leaf
    return jax.lax.bitcast_convert_type(leaf.bits, leaf.dtype)


def _as_batch(net: Network, inputs: Any) -> tuple[Mapping[str, Any], bool]:
    """The inputs by name with a batch axis, and whether they are one example."""
    declared = dict(net.typed.inputs)
    if not isinstance(inputs, Mapping):
        if len(declared) > 1:
            names = ", ".join(f"{name!r}: array" for name in declared)
            raise TypeError(
                f"network {net.graph.name!r}: found {type(inputs).__name__}; expected "
                f"its inputs by name, {{{names}}}"
            )
        inputs = {name: inputs for name in declared}
    shapes = {name: jnp.shape(inputs[name]) for name in declared if name in inputs}
    faults = [
        f"input {name!r}: found shape {shape}; expected {declared[name]} for one "
        f"example, or a batch axis, then {declared[name]}"
        for name, shape in shapes.items()
        if declared[name] not in (shape, shape[1:])
    ]
    single = [name for name, shape in shapes.items() if shape == declared[name]]
    if not faults and 0 < len(single) < len(shapes):
        rest = listing(repr(name) for name in shapes if name not in single)
        faults.append(
            f"one example of {listing(map(repr, single))}, but a batch of {rest}; "
            "expected one or the other"
        )
    if faults:
        lines = "\n    ".join(faults)
        raise ValueError(f"inputs do not fit network {net.graph.name!r}:\n    {lines}")
    if single:
        inputs = {name: jnp.asarray(a)[None] for name, a in inputs.items()}
    return inputs, bool(single)
