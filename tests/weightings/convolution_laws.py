"""What the tests of convolution kernels share: operands, JAX's own results, laws."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from capsjax.weightings import convolution_algorithms as kernels
from tests.helpers_capsjax import quick


def plain(x, w, geometry):
    return lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers={
            3: ("NWC", "WIO", "NWC"),
            4: ("NHWC", "HWIO", "NHWC"),
            5: ("NDHWC", "DHWIO", "NDHWC"),
        }[x.ndim],
        feature_group_count=geometry.groups,
    )


def example(case, dtype: type = np.float64):
    spatial, window, channels, features, geometry = case
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *spatial, channels))
    w = random.normal(size=(*window, channels // geometry.groups, features))
    out = geometry.output(spatial, window)
    delta = random.normal(size=(2, *out, features))
    return tuple(jnp.asarray(a, dtype) for a in (x, w, delta))


def close(ours, expected, tolerance=1e-12):
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        scale = np.max(np.abs(b))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def ours(arrays, geometry):
    x, w, delta = arrays
    return (
        kernels.forward(x, w, geometry),
        kernels.input_gradient(w, delta, x.shape, geometry),
        kernels.weight_gradient(x, delta, w.shape, geometry),
    )


def expected(arrays, geometry):
    x, w, delta = arrays
    y, pull = jax.vjp(lambda x, w: plain(x, w, geometry), x, w)
    return (y, *pull(delta))


def require_second_derivatives(case):
    """Each of the three is differentiated in each of its operands."""
    geometry = case[-1]
    x, w, delta = example(case)
    weights = [np.cos(a) for a in (delta, x, w)]

    def second(three):
        def total(x, w, delta):
            found = three((x, w, delta), geometry)
            return sum(map(jnp.vdot, map(jnp.sin, found), weights))

        return jax.grad(total, (0, 1, 2))

    both = quick(lambda *a: (second(ours)(*a), second(expected)(*a)))
    found, reference = both(x, w, delta)
    close(found, reference)


def require_vmap(case):
    geometry = case[-1]
    arrays = example(case)
    stacked = [np.stack([a, np.flip(a), 2 * a]) for a in map(np.asarray, arrays)]
    mapped = quick(jax.vmap(lambda *arrays: ours(arrays, geometry)))(*stacked)
    single = quick(lambda *arrays: expected(arrays, geometry))
    looped = [single(*(a[i] for a in stacked)) for i in range(3)]
    close(mapped, [np.stack(parts) for parts in zip(*looped, strict=True)])
