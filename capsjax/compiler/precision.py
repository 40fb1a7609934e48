"""The precision policy: in which types parameters are kept, computed with, given out.

Casts stand at the border of the compiled program: parameters and inputs are cast on
their way in, outputs on their way out, and JAX casts gradients back on the same ways.
Between them a rule works in the type it is given. Sums that need more digits (norms,
softmax, routing, attention, losses) are taken in float32 by their records, whatever the
policy; running statistics are kept in float32 at least.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

_TYPES = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Precision:
    """Types of parameters, of what is computed with, and of outputs.

    Args:
        compute: Type of weights and activations in the program, and of error signals.
        parameters: Type in which `net.init` makes parameters.
        outputs: Type of the outputs.

    Raises:
        ValueError: A type is unknown, or needs JAX's 64-bit mode.

    Example:
        >>> import capsjax as cj, jax, jax.numpy as jnp
        >>> x = cj.input("x", (64,))
        >>> h = cj.capsule("h", cj.matmul(x, 10), cap="softmax")
        >>> net = cj.compile(cj.graph(h), precision=cj.Precision("bfloat16"))
        >>> params, state = net.init(jax.random.key(0))
        >>> params["h"]["B"].dtype
        dtype('float32')
        >>> ones = {"x": jnp.ones((1, 64))}
        >>> net.apply(params, state, ones)[0]["h"].dtype
        dtype('float32')
        >>> net.activations(params, state, ones)["h"]["U"].dtype
        dtype(bfloat16)

    Source: Micikevicius et al., Mixed precision training, arXiv 1710.03740.
    """

    compute: str
    parameters: str = "float32"
    outputs: str = "float32"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name = getattr(self, field.name)
            if name not in _TYPES:
                raise ValueError(
                    f"precision, {field.name}: found {name!r}; expected one of "
                    + ", ".join(_TYPES)
                )
            if name == "float64" and jnp.result_type(float) != jnp.float64:
                raise ValueError(
                    f"precision, {field.name}: float64 needs JAX's 64-bit mode; cure: "
                    'jax.config.update("jax_enable_x64", True) at the start'
                )

    def __str__(self) -> str:
        return (
            f"{self.compute} compute, {self.parameters} parameters, "
            f"{self.outputs} outputs"
        )


def cast(tree: Any, dtype: Any) -> Any:
    """The floating-point arrays of a tree in a type; others as they are."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype) if _is_real(leaf) else leaf, tree
    )


def common(tree: Any) -> Any:
    """The type to which JAX promotes the floating-point arrays of a tree."""
    real = [leaf for leaf in jax.tree.leaves(tree) if _is_real(leaf)]
    return jnp.result_type(*real) if real else None


def _is_real(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
