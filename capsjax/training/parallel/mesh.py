"""Meshes of devices: those of JAX, or sizes by axis, `{"data": 4, "model": 2}`."""

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from capsjax.graph.errors import brief

DATA = "data"
"""The mesh axis over which batches are divided, where nothing else is said."""


def mesh_of(given: Any) -> Mesh:
    """A mesh, from all that may be given for one.

    Args:
        given: None, for all devices on one axis, "data"; sizes by axis, one of which
            may be -1, for all devices that are left; or a mesh of JAX. Its axes are
            taken as automatic ones: XLA finds out how what is between is divided.

    Returns:
        The mesh.

    Raises:
        ValueError: There are other numbers of devices.
        TypeError: It is nothing of these.
    """
    if given is None:
        given = {DATA: -1}
    if isinstance(given, Mesh):
        kinds = (AxisType.Auto,) * len(given.axis_names)
        return Mesh(given.devices, given.axis_names, axis_types=kinds)
    if not isinstance(given, Mapping):
        raise TypeError(
            f"found the mesh {brief(given)}; expected sizes by axis, such as "
            '{"data": 4, "model": 2}, a jax.sharding.Mesh, or None'
        )
    sizes = _sizes(given)
    kinds = (AxisType.Auto,) * len(sizes)
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), kinds)


def _sizes(given: Mapping[str, Any]) -> dict[str, int]:
    """Sizes by axis, all known, that fit the devices there are."""
    count = jax.device_count()
    for name, size in given.items():
        whole = isinstance(size, int) and not isinstance(size, bool)
        if not isinstance(name, str) or not whole or (size < 1 and size != -1):
            raise ValueError(
                f"mesh {brief(given)}: found the size {brief(size)} of axis "
                f"{brief(name)}; expected a number from 1, or -1 for all devices left"
            )
    free = [name for name, size in given.items() if size == -1]
    known = math.prod(size for size in given.values() if size != -1)
    sizes = {
        name: count // known if size == -1 else size for name, size in given.items()
    }
    # Every process needs a part of the mesh; one alone may leave devices unused.
    unused = count - math.prod(sizes.values())
    fits = unused == 0 or (unused > 0 and not free and jax.process_count() == 1)
    if not given or len(free) > 1 or not fits:
        raise ValueError(
            f"mesh {brief(dict(given))}: found {count} devices in "
            f"{jax.process_count()} processes; expected sizes whose product is that, "
            "one of them -1 at most; cure: other sizes, or more devices (on CPU: "
            "XLA_FLAGS=--xla_force_host_platform_device_count=8)"
        )
    return sizes
