"""Where the arrays of training lie on a mesh of devices.

Parameters are divided as rules say (`capsjax.training.parallel.rules`), and so is all
of the optimizer's state that stands in the place of a parameter and has its shape: the
means of Adam. Batches are divided along their rows. The rest, the network's state, keys
and sums, is on every device. XLA finds out how what is computed between is divided, and
what the devices must tell each other; batch statistics are those of the whole batch.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from capsjax.compiler import Network
from capsjax.compiler.axes import leaves
from capsjax.compiler.parameters import Name
from capsjax.graph.errors import Problem, listing
from capsjax.training.parallel import rules as of_rules
from capsjax.training.parallel.mesh import DATA, mesh_of

_DIVIDED = ("params", "average", "optimizer")
"""The parts of a carry in which parameters, or what is like them, stand."""


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """Where parameters, the optimizer's state and batches lie.

    Made by `Placement.of`. Programs are compiled with it through `jax.jit` alone:

        carry = placement.put(carry)
        lies = placement.carry(carry)
        jax.jit(step, donate_argnums=0, in_shardings=(lies, ...), out_shardings=lies)

    Attributes:
        mesh: The devices.
        specs: The mesh axes of each array of parameters, by name in compiled layout.
        rows: The mesh axes over which batches are divided.
    """

    mesh: Mesh
    specs: Mapping[Name, PartitionSpec]
    rows: tuple[str, ...]

    @classmethod
    def of(
        cls, net: Network, mesh: Any = None, rules: of_rules.Given | None = None
    ) -> "Placement":
        """Finds the place of every array of a network's training.

        Args:
            net: The network.
            mesh: Sizes by axis, `{"data": 4, "model": 2}`, -1 for all devices that are
                left; or a `jax.sharding.Mesh`. All devices on an axis "data", if left
                out.
            rules: From the names of parameters' axes to mesh axes, `{"out": "model"}`;
                `{"digit:out": None}` for those of one capsule, `{"block*:W:in":
                "data"}` for weights of all that match. "batch" stands for the rows
                of inputs and targets, which are divided over "data" if nothing else
                is said.

        Returns:
            The placement.

        Raises:
            ValueError: All that does not fit: unknown axes and capsules; sizes that are
                no multiples of the mesh's, with parameter, axis and rule to add.

        Example:
            >>> import capsjax as cj, jax
            >>> from capsjax.training.parallel import Placement
            >>> x = cj.input("x", (8,))
            >>> h = cj.capsule("h", cj.matmul(x, 16), cap="relu")
            >>> net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(h, 4))))
            >>> mesh = {"data": -1, "model": 1}
            >>> placement = Placement.of(net, mesh, {"out": "model"})
            >>> tuple(placement.specs["h", "W", "x"])
            (None, 'model')

        Source: of rules by logical names, Flax's `logical_to_mesh_axes`, and T5X
        (Roberts et al., arXiv 2203.17189, section 2.3).
        """
        found = mesh_of(mesh)
        parsed, problems = of_rules.parse(rules or {}, found)
        arrays = leaves(net.program.typed)
        problems += of_rules.unused(parsed, arrays)
        rows, faults = _rows(parsed, found)
        of_rules.refuse(problems + faults, net.graph.name)
        specs, problems = of_rules.divided(parsed, arrays, found)
        of_rules.refuse(problems, net.graph.name)
        return cls(found, specs, rows)

    @property
    def devices(self) -> int:
        """Number of devices of the mesh, of all processes."""
        return self.mesh.devices.size

    @property
    def parts(self) -> int:
        """Into how many parts the rows of a batch are divided."""
        return math.prod(self.mesh.shape[axis] for axis in self.rows)

    @property
    def everywhere(self) -> NamedSharding:
        """The sharding of what is on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def by_rows(self) -> NamedSharding:
        """The sharding of a batch's arrays."""
        spec = PartitionSpec(self.rows) if self.rows else PartitionSpec()
        return NamedSharding(self.mesh, spec)

    def carry(self, carry: Any) -> Any:
        """The sharding of each array of what training carries from step to step.

        Args:
            carry: `{"params": ..., "state": ..., "optimizer": ..., ...}`; arrays, or
                their shapes.

        Returns:
            The same structure of shardings, as `jax.jit` and `jax.device_put` take it.
        """
        whole = self.everywhere
        shapes = {name: carry["params"] for name in ("params",) if name in carry}
        sizes = dict(_named_leaves(shapes))

        def place(path: Any, leaf: Any) -> NamedSharding:
            if _key(path[0]) not in _DIVIDED:
                return whole
            # A parameter's name ends the path, wherever an optimizer puts the tree.
            name = next((n for n in _endings(path) if n in self.specs), None)
            # Optimizers that factor their state keep less for it than its shape.
            if name is None or np.shape(leaf) != sizes.get(name, np.shape(leaf)):
                return whole
            return NamedSharding(self.mesh, self.specs[name])

        return jax.tree_util.tree_map_with_path(place, carry)

    def batch(self, arrays: Any) -> Any:
        """The sharding of each array of a batch: rows divided.

        Args:
            arrays: Inputs and targets by name, of all processes together; arrays, or
                their shapes.

        Raises:
            ValueError: The number of rows is no multiple of the mesh's.
        """
        for name, array in arrays.items():
            self.require_rows(np.shape(array)[0] if np.shape(array) else 0, name)
        return {name: self.by_rows for name in arrays}

    def require_rows(self, size: int, name: str = "batch") -> None:
        """Raises `ValueError` where a number of rows cannot be divided evenly."""
        if size < 1 or size % self.parts:
            axes = " x ".join(
                f"{axis!r} ({self.mesh.shape[axis]})" for axis in self.rows
            )
            up, down = -(-max(size, 1) // self.parts) * self.parts, size // self.parts
            near = f"{down * self.parts} or {up}" if down else str(up)
            raise ValueError(
                f"{name}: found {size} rows; expected a multiple of {self.parts}, the "
                f"size of mesh axis {axes}; cure: batch_size={near}, or another mesh"
            )

    def constrain(self, batch: Any) -> Any:
        """Inside a program: a batch that is made there, with its rows divided."""
        return jax.lax.with_sharding_constraint(batch, self.batch(batch))

    def put(self, carry: Any) -> Any:
        """Brings what training carries to its devices, as copies.

        Args:
            carry: Arrays, whole on this process and equal on all; or arrays that lie
                on devices of several processes already.

        Returns:
            The same with every array in its place.
        """
        return jax.tree.map(_put, carry, self.carry(carry))

    def replicated(self, tree: Any) -> Any:
        """Brings arrays to all devices, whole.

        Args:
            tree: Arrays, equal on all processes.
        """
        return jax.tree.map(lambda array: _put(array, self.everywhere), tree)

    def own_rows(self, size: int) -> np.ndarray:
        """Which rows of a batch this process feeds: their numbers, in order.

        Processes whose devices hold the same rows feed the same.

        Args:
            size: Rows of the batch of all processes together.
        """
        self.require_rows(size)
        slices = self.by_rows.addressable_devices_indices_map((size,)).values()
        rows = [np.arange(size)[index] for index in slices if index is not None]
        return np.unique(np.concatenate(rows))

    def feed(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The batch of all processes together, of the rows that each one feeds.

        Args:
            batch: Arrays by name: rows `own_rows` of the whole batch, in that order.

        Raises:
            ValueError: The number of rows is no multiple of the mesh's.
        """
        held = len(self.own_rows(self.parts))  # of one row for each part
        fed = {}
        for name, array in batch.items():
            if len(array) % held:
                raise ValueError(
                    f"{name}: found {len(array)} rows of this process; expected a "
                    f"multiple of {held}, the parts of a batch that its devices hold"
                )
            shape = (len(array) // held * self.parts, *np.shape(array)[1:])
            local = np.asarray(array)
            fed[name] = jax.make_array_from_process_local_data(
                self.by_rows, local, shape
            )
        return fed

    def gathered(self, carry: Any) -> Any:
        """Whole arrays of numpy on every process: all of them must call it.

        They are gathered one after the other, so that no device holds all of them.
        """
        return jax.tree.map(self._gathered, carry)

    def _gathered(self, array: Any) -> np.ndarray:
        if isinstance(array, jax.Array) and not (
            array.is_fully_addressable or array.is_fully_replicated
        ):
            array = jax.jit(_same, out_shardings=self.everywhere)(array)
        return np.asarray(array)

    def bytes_per_device(self, carry: Any) -> int:
        """Bytes of what training carries on each device, which are equal on all.

        Args:
            carry: Arrays, or their shapes.
        """

        def size(leaf: Any, sharding: NamedSharding) -> int:
            shape = sharding.shard_shape(np.shape(leaf))
            return math.prod(shape) * np.dtype(leaf.dtype).itemsize

        return sum(jax.tree.leaves(jax.tree.map(size, carry, self.carry(carry))))

    def __repr__(self) -> str:
        shape = ", ".join(f"{name!r}: {n}" for name, n in self.mesh.shape.items())
        divided = sum(any(spec) for spec in self.specs.values())
        return (
            f"Placement({{{shape}}}, batches over {listing(self.rows) or 'nothing'}, "
            f"{divided} of {len(self.specs)} arrays of parameters divided)"
        )


def _rows(
    rules: list[of_rules.Rule], mesh: Mesh
) -> tuple[tuple[str, ...], list[Problem]]:
    """The mesh axes over which batches are divided."""
    for rule in rules:
        if rule.axis == of_rules.BATCH and not rule.place:
            return rule.onto, []
    if DATA in mesh.axis_names:
        return (DATA,), []
    found = f"mesh axes {listing(map(repr, mesh.axis_names))}, no {DATA!r}"
    first = mesh.axis_names[0] if mesh.axis_names else DATA
    cure = f'rules={{"batch": {first!r}}}, or None to keep batches whole'
    expected = f"an axis {DATA!r}, or a rule for {of_rules.BATCH!r}"
    return (), [Problem((), "batches", found, expected, cure)]


def _put(array: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return jax.device_put(array, sharding)
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding, may_alias=False)
    whole = np.asarray(array)
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda index: whole[index]
    )


def _same(array: jax.Array) -> jax.Array:
    return array  # a function of the module: JAX keeps what it compiles for it


def _key(step: Any) -> Any:
    """What a step of a path is called, of a mapping; else None."""
    return step.key if isinstance(step, jax.tree_util.DictKey) else None


def _endings(path: Any) -> list[Name]:
    """The ends of a path, the longest first."""
    keys = tuple(map(_key, path))
    return [keys[at:] for at in range(len(keys))]


def _named_leaves(tree: Any) -> list[tuple[Name, tuple[int, ...]]]:
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return [(tuple(map(_key, path))[1:], np.shape(leaf)) for path, leaf in paths]
