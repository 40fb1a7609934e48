"""Histograms of sizes, with fixed bins, made on the device where the arrays are."""

import jax
import jax.numpy as jnp
import numpy as np

_LOWEST, _DECADES, _PER_DECADE = -12, 16, 4
BINS = _DECADES * _PER_DECADE
EDGES = 10.0 ** np.linspace(_LOWEST, _LOWEST + _DECADES, BINS + 1)
"""Edges of the bins of |x|, from 1e-12 to 1e4, four to a decade, [65]."""


def histogram(array: jax.Array) -> jax.Array:
    """How many entries of an array have which size.

    Bin i counts entries with EDGES[i] <= |x| < EDGES[i + 1]; the first one all that are
    smaller, too, zeros among them, and the last one all that are larger or are not
    finite. Pure: may be jitted and vmapped.

    Args:
        array: Of any shape and floating-point dtype.

    Returns:
        Counts, [64], float32.

    Example:
        >>> counts = histogram(jnp.array([0.0, 1e-30, 1.5, -1.5, 2.5]))
        >>> [(int(i), int(counts[i])) for i in jnp.flatnonzero(counts)]
        [(0, 2), (48, 2), (49, 1)]
    """
    size = jnp.abs(array.ravel()).astype(jnp.promote_types(array.dtype, jnp.float32))
    where = jnp.floor((jnp.log10(size) - _LOWEST) * _PER_DECADE)
    # Numbers only then: what is no number goes to the last bin, minus infinity first.
    where = jnp.where(jnp.isnan(where), BINS, where).clip(0, BINS - 1).astype(int)
    return jnp.bincount(where, length=BINS).astype(jnp.float32)
