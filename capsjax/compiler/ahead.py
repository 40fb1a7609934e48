"""Ahead of time: a network's functions traced and compiled before there is an array.

What a function is called with follows from the network and a batch size: parameters and
state as `net.init` makes them, inputs and targets of the declared shapes.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from capsjax.compiler.jit import jit
from capsjax.graph.errors import brief

if TYPE_CHECKING:
    from capsjax.compiler.network import Network

Function = Literal["apply", "loss", "gradient"]


class Signature(NamedTuple):
    """A function of a network, and the types of what it is called with.

    Attributes:
        call: `call(params, state, batch)`, with `key=` where `key` is not None.
        params: Types of the parameters.
        state: Types of the state.
        batch: Types of inputs and targets, by name.
        key: Type of the random key, if something is drawn.
        train: Training or inference.
    """

    call: Callable[..., Any]
    params: Any
    state: Any
    batch: Any
    key: Any
    train: bool

    @property
    def keywords(self) -> dict[str, Any]:
        """The key as a keyword argument, if there is one."""
        return {} if self.key is None else {"key": self.key}


def signature(
    net: "Network",
    batch: Any,
    function: Function = "apply",
    train: bool | None = None,
) -> Signature:
    """What `lower` and `export` are to trace.

    Args:
        net: The network.
        batch: The batch size, which may be a symbolic dimension; or arrays, or their
            types, by name.
        function: "apply", "loss", or "gradient".
        train: Training or inference; if left out, as the function has it by default.

    Raises:
        ValueError: Unknown function, or no batch.
    """
    if function not in get_args(Function):
        raise ValueError(
            f"function {function!r} is unknown; expected one of {get_args(Function)}"
        )
    train = function != "apply" if train is None else train
    key = jax.eval_shape(jax.random.key, 0)
    params, state = jax.eval_shape(net.init, key)
    run = {
        "apply": net.apply,
        "loss": net.loss,
        "gradient": jax.value_and_grad(net.loss, has_aux=True),
    }[function]

    def call(params, state, batch, *, key=None):
        return run(params, state, batch, train=train, key=key)

    call.__name__ = call.__qualname__ = function
    draws = any(cap.draws for cap in net.program.typed.caps.values())
    types = _types(net, batch, function != "apply")
    key = key if train and draws else None
    return Signature(call, params, state, types, key, train)


def _types(net: "Network", batch: Any, targets: bool) -> dict[str, Any]:
    """The types of inputs and targets."""
    if isinstance(batch, Mapping):
        return {name: _type(array) for name, array in batch.items()}
    if not _is_size(batch):
        raise ValueError(
            f"batch is {brief(batch)}; expected a batch size of at least 1, or arrays "
            "(or jax.ShapeDtypeStruct) by name"
        )
    typed = net.program.typed
    shapes = {
        name: ((batch, *shape), int if name in typed.integers else float)
        for name, shape in typed.inputs
    }
    for each in typed.losses if targets else ():
        shape, dtype = net.shapes[each.output].output, float
        if each.loss.classes:
            shape, dtype = shape[:-1], int
        shapes[each.output] = (batch, *shape), dtype
    return {
        name: jax.ShapeDtypeStruct(shape, jnp.result_type(dtype))
        for name, (shape, dtype) in shapes.items()
    }


def _type(array: Any) -> Any:
    if isinstance(array, jax.ShapeDtypeStruct):
        return array
    return jax.ShapeDtypeStruct(jnp.shape(array), jnp.result_type(array))


def _is_size(batch: Any) -> bool:
    from jax import export

    if export.is_symbolic_dim(batch):
        return True
    return isinstance(batch, int) and not isinstance(batch, bool) and batch >= 1


def lower(
    net: "Network",
    batch: Any,
    function: Function = "apply",
    train: bool | None = None,
) -> jax.stages.Lowered:
    """`Network.lower`."""
    made = signature(net, batch, function, train)
    arguments = made.params, made.state, made.batch
    return jit(made.call).lower(*arguments, **made.keywords)
