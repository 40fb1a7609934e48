"""signals: error signals or activations by capsule, as a table of their sizes."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def signals(found: Mapping[str, Any]) -> "pd.DataFrame":
    """A table of what `net.deltas` or `net.activations` give.

    These give plain dicts of arrays, so that `jax.jit`, `jax.vmap` and `jax.grad` take
    them; this function looks at them.

    Args:
        found: Arrays by capsule, [batch, ...]; or by capsule and name, "U" and "Y".

    Returns:
        One row an array: `capsule`, `array` where there are several, `shape` of an
        example, `rms` (root mean square), `largest` (of |x|), and the shares of `zero`
        entries and of those that are `not_finite`.

    Example:
        >>> import capsjax as cj, jax, jax.numpy as jnp
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> batch = {"x": jnp.eye(2), "y": jnp.ones((2, 1))}
        >>> deltas = net.deltas(*net.init(jax.random.key(0)), batch)
        >>> list(cj.view.signals(deltas).columns)
        ['capsule', 'shape', 'rms', 'largest', 'zero', 'not_finite']
    """
    import pandas as pd

    rows = []
    nested = any(isinstance(own, Mapping) for own in found.values())
    for capsule, own in found.items():
        arrays = own.items() if isinstance(own, Mapping) else [(None, own)]
        rows += [_row(capsule, name, np.asarray(array)) for name, array in arrays]
    columns = ["capsule", "array", "shape", "rms", "largest", "zero", "not_finite"]
    table = pd.DataFrame(rows, columns=columns)
    return table.drop(columns="array") if not nested else table


def _row(capsule: str, name: str | None, array: np.ndarray) -> tuple[Any, ...]:
    values = array.astype(np.float64)
    count = max(values.size, 1)
    return (
        capsule,
        name,
        array.shape[1:],
        math.sqrt(float(np.sum(values**2)) / count),
        float(np.max(np.abs(values), initial=0)),
        float(np.sum(values == 0)) / count,
        float(np.sum(~np.isfinite(values))) / count,
    )
