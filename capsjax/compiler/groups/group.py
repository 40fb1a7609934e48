"""A group's forward and backward pass: equations (4) and (5), level by level.

With rows i for the units that are read and for the members, and edges e = (i -> j),

    U_j     = sum over e into j of W_e (x) Y_i + B_j,        Y_j = cap_j(U_j)
    delta_i = ( dL/dY_i + sum over e out of i of delta_j . dU_j/dY_i ) . dcap_i/dU_i
    dL/dW_e = delta_j . dU_j/dW_e                            dL/dB_j = delta_j

Both are sweeps over one buffer: of outputs along the edges, of error signals against
them. The second *pulls*: a row gathers the error signals of its readers, as the first
gathers the outputs of its sources, so that nothing is ever scattered. Gradients of the
weights need no order: they are taken at the end, for many edges at once.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from capsjax.compiler.groups.layout import schedule
from capsjax.compiler.groups.schedule import Dense, Schedule, Sweep
from capsjax.compiler.groups.sweep import Rule, rows_of, run
from capsjax.graph.levels import group as group_by
from capsjax.graph.levels import levels
from capsjax.graph.typed import TypedGroup, Writing
from capsjax.weightings import Scale

Arrays = dict[str, jax.Array]
Tables = Mapping[str, Any]

_CPU_TILES = (1, 4, 16, 64, 128, 256)
_TILES = (16, 256, 4096)
_EDGES_AT_ONCE = 2**20
"""Numbers in one of the arrays [edges, batch, ...] that gradients of weights are taken
from: 4 MiB in float32, so that they stay in the cache."""


@dataclasses.dataclass(frozen=True, eq=False)
class GroupProgram:
    """A group with the schedules of its two sweeps.

    Attributes:
        group: The group.
        forward_sweep: Schedule of the outputs.
        backward_sweep: Schedule of the error signals, those of the units that are read
            in its last stages.
    """

    group: TypedGroup
    forward_sweep: Schedule
    backward_sweep: Schedule

    @classmethod
    def of(cls, group: TypedGroup) -> "GroupProgram":
        """Lays out a group."""
        forward = schedule(_forward(group))
        return cls(group, forward, schedule(_backward(group, forward)))

    @functools.cached_property
    def tables(self) -> dict[str, Any]:
        """The wiring, as a pytree of numpy arrays of integers."""
        return {
            "forward": list(self.forward_sweep.tables),
            "backward": list(self.backward_sweep.tables),
            "members": self._member_rows(self.forward_sweep, self.group.outer),
            "signals": self._member_rows(self.backward_sweep, self._seeds),
            "written": self._written_rows(),
            "read": self.backward_sweep.row_of[self._seeds + self.group.size :],
            "edges": self._edge_tables(),
        }

    @property
    def scalar(self) -> bool:
        """Whether a member is a neuron: a number, its edges scaled by a number."""
        return _is_scalar(self.group)

    @property
    def keeps_total_input(self) -> bool:
        """Whether some capsule function's backward rule reads U."""
        return any("U" in cap.reads for cap in self.group.caps)

    @property
    def _seeds(self) -> int:
        return sum(np.size(each.members) for each in self.group.writings)

    def _member_rows(self, sweep: Schedule, given: int) -> np.ndarray:
        return sweep.row_of[given : given + self.group.size]

    def _written_rows(self) -> list[np.ndarray]:
        members = self._member_rows(self.forward_sweep, self.group.outer)
        return [members[np.atleast_1d(each.members)] for each in self.group.writings]

    # Forward

    def forward(
        self, own: Mapping[str, Any], tables: Tables, output: Arrays, keep: bool
    ) -> tuple[jax.Array, jax.Array | None]:
        """Fills the buffer of outputs.

        Args:
            own: The group's parameters.
            tables: The wiring.
            output: Y of the capsules that are read, by name, batch axis first.
            keep: Whether U is to be kept, too.

        Returns:
            Y and U by row, [rows, batch, *unit]; None for U if it is not kept.
        """
        group = self.group
        given = jnp.concatenate([_units(output[n], r) for n, r in group.readings])
        # One type for all rows: that of sums of weighted sources and biases.
        given = given.astype(jnp.result_type(given, *jax.tree.leaves(own)))
        buffer = _buffer(given, self.forward_sweep.rows)
        weights = self._weights(own)
        bias = None if group.bias_shape is None else _with_zero(own["B"])
        axes = 1 + len(group.unit) - len(group.bias_shape or ())

        def lookup(labels: jax.Array) -> jax.Array:
            return labels if bias is None else rows_of(bias, labels)

        def finish(which: int, u: jax.Array, found: jax.Array):
            if which >= 0 and bias is not None:
                u = u + found.reshape(len(found), *[1] * axes, *found.shape[1:])
            y = u if which < 0 else jax.vmap(group.caps[which].forward)(u)
            return (y, u) if keep else (y,)

        rule = Rule(self._contract, self._product, lookup, finish)
        buffers = (buffer, jnp.zeros_like(buffer)) if keep else (buffer,)
        swept = self.forward_sweep
        filled = run(swept, tables["forward"], buffers, weights, rule)
        return filled[0], filled[1] if keep else None

    def written(self, tables: Tables, buffer: jax.Array) -> Arrays:
        """The arrays that others read, by name, batch axis first."""
        return {
            each.name: _array(rows_of(buffer, rows), each)
            for each, rows in zip(self.group.writings, tables["written"], strict=True)
        }

    def members(self, tables: Tables, rows: jax.Array, which: str) -> jax.Array:
        """A buffer's rows of all members, [batch, members, *unit].

        Args:
            tables: The wiring.
            rows: A buffer.
            which: "members" for outputs and total inputs, "signals" for error signals.
        """
        return jnp.moveaxis(rows_of(rows, tables[which]), 0, 1)

    def _weights(self, own: Mapping[str, Any]) -> jax.Array | None:
        if self.group.weight_shape is None:
            return None
        return _with_zero(own["W"]["edges"])

    def _contract(self, w: Any, y: jax.Array) -> jax.Array:
        """`W (x) Y` for each of some rows."""
        if self.scalar:
            return w[:, None] * y
        forward = self.group.weighting.forward
        if w is None:
            return jax.vmap(lambda y: forward(None, y))(y)
        return jax.vmap(forward)(w, y)

    def _product(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return w @ y

    # Backward

    def backward(
        self,
        own: Mapping[str, Any],
        tables: Tables,
        y: jax.Array,
        u: jax.Array | None,
        d_written: Arrays,
        wanted_sources: bool,
        feedback: jax.Array | None = None,
    ) -> tuple[dict[str, Any], Arrays, jax.Array]:
        """Fills the buffer of error signals and takes the gradients.

        Args:
            own: The group's parameters.
            tables: The wiring.
            y: Y by row, from `forward`.
            u: U by row, if it was kept.
            d_written: dL/dY of the arrays that others read; names may be left out.
            wanted_sources: Whether dL/dY of the units that are read is asked for.
            feedback: Weights of the edges where error signals go back, if others.

        Returns:
            Gradients of the group's parameters; dL/dY of the capsules that are read,
            by name; error signals by row, [rows, batch, *unit].
        """
        group = self.group
        seeds = [self._seed(each, d_written, y) for each in group.writings]
        buffer = _buffer(jnp.concatenate(seeds), self.backward_sweep.rows)
        shape = (y.shape[1], *group.unit)

        def finish(which: int, dy: jax.Array, rows: jax.Array):
            if which < 0 or which == len(group.caps):
                return (dy,)  # a partial sum, or a unit that is read
            cap = group.caps[which]
            arrays = [
                rows_of(kept, rows) if kept is not None and name in cap.reads else None
                for name, kept in (("U", u), ("Y", y))
            ]
            axes = [None if array is None else 0 for array in arrays]
            rule = functools.partial(_delta, cap, shape)
            return (jax.vmap(rule, (*axes, 0))(arrays[0], arrays[1], dy),)

        rule = Rule(
            functools.partial(self._contract_back, shape),
            self._product,
            lambda labels: labels,
            finish,
        )
        (signals,) = run(
            self.backward_sweep,
            tables["backward"],
            (buffer,),
            self._weights(own) if feedback is None else _with_zero(feedback),
            rule,
            whole=wanted_sources,
        )
        gradients: dict[str, Any] = {}
        if group.bias_shape is not None:
            gradients["B"] = self._bias_gradient(tables, signals).astype(own["B"].dtype)
        if group.weight_shape is not None:
            w = own["W"]["edges"]
            found = self._weight_gradient(tables["edges"], y, signals)
            gradients["W"] = {"edges": found.astype(w.dtype)}
        d_sources = (
            self._source_gradients(tables["read"], signals) if wanted_sources else {}
        )
        return gradients, d_sources, signals

    def _seed(self, writing: Writing, d_written: Arrays, y: jax.Array) -> jax.Array:
        if writing.name in d_written:
            one = isinstance(writing.members, int)
            rows = None if one else np.size(writing.members)
            return _units(d_written[writing.name], rows)
        return jnp.zeros((np.size(writing.members), *y.shape[1:]), y.dtype)

    def _contract_back(self, shape: tuple[int, ...], w: Any, delta: jax.Array):
        """`delta . dU/dY` for each of some rows."""
        if self.scalar:
            return w[:, None] * delta
        gradient = self.group.weighting.input_gradient
        if w is None:
            return jax.vmap(lambda d: gradient(None, d, shape))(delta)
        return jax.vmap(lambda w, d: gradient(w, d, shape))(w, delta)

    def _bias_gradient(self, tables: Tables, signals: jax.Array) -> jax.Array:
        """The error signal, summed over the batch, and for a bias per channel more."""
        bias = self.group.bias_shape
        assert bias is not None
        rows = tables["signals"]
        if self.scalar:
            # Sums of all rows, then those of members: a number is cheaper to gather.
            return rows_of(_sums(signals), rows)
        found = rows_of(signals, rows)
        summed = tuple(range(1, found.ndim - len(bias)))
        return jnp.sum(found, axis=summed)

    def _weight_gradient(self, edges: Tables, y: jax.Array, signals: jax.Array):
        """`delta . dU/dW` of every edge, in the order of the edges.

        A sum of products over the batch, one for each edge. As a product with ones it
        is a kernel of its own, which keeps the gathers in the loop that multiplies,
        where they are vectorized: 9 ms for 400,000 edges at batch 64, against 70 ms.
        """
        group = self.group
        weight_shape = group.weight_shape
        assert weight_shape is not None

        def some(rows: tuple[jax.Array, jax.Array]) -> jax.Array:
            read, delta = rows_of(y, rows[0]), rows_of(signals, rows[1])
            if self.scalar:
                return _sums(read * delta)
            rule = group.weighting.weight_gradient
            return jax.vmap(lambda y, d: rule(y, d, weight_shape))(read, delta)

        size = max(1, _EDGES_AT_ONCE // max(1, math.prod(y.shape[1:])))
        parts = _in_pieces(some, (edges["reads"], edges["signals"]), size)
        for block in edges["dense"]:
            delta, read = (rows_of(signals, block[0]), rows_of(y, block[1]))
            parts.append((delta @ read.T).ravel())
        found = parts[0] if len(parts) == 1 else jnp.concatenate(parts)
        return rows_of(found, edges["place"]) if "place" in edges else found

    def _source_gradients(self, rows: jax.Array, signals: jax.Array) -> Arrays:
        """dL/dY of the capsules that are read; one that is read twice gets both."""
        group = self.group
        found: Arrays = {}
        first = 0
        for name, count in group.readings:
            after = first + (1 if count is None else count)
            units = rows_of(signals, rows[first:after])
            array = units[0] if count is None else jnp.moveaxis(units, 0, 1)
            found[name] = found[name] + array if name in found else array
            first = after
        return found

    def _edge_tables(self) -> dict[str, Any]:
        """Where each edge's source and error signal stand, for gradients of weights.

        Edges stand in the order of the rows they go into, so that memory is read in
        order; those of a matrix product's rows are left to one.
        """
        group, forward, backward = self.group, self.forward_sweep, self.backward_sweep
        reads = forward.row_of[group.edge_sources]
        writes = forward.row_of[group.outer + group.edge_targets]
        signals = backward.row_of[self._seeds + group.edge_targets]
        order, _ = group_by(writes, forward.rows)
        place = np.empty(len(order), np.int32)
        single = np.ones(len(order), bool)
        dense: list[tuple[np.ndarray, np.ndarray]] = []
        behind = 0
        for stage, table in zip(forward.stages, forward.tables, strict=True):
            if isinstance(stage, Dense):
                edges = table["block"]
                there = edges < len(order)
                single[edges[there]] = False
                place[edges[there]] = behind + np.flatnonzero(there)
                behind += edges.size
                first = stage.start
                ours = np.searchsorted(
                    writes[order], np.arange(first, first + stage.rows)
                )
                dense.append((signals[order[ours]], table["reads"]))
        order = order[single[order]]
        place[order] = np.arange(len(order), dtype=np.int32)
        place[~single] += len(order)
        found: dict[str, Any] = {
            "reads": reads[order],
            "signals": signals[order],
            "dense": dense,
        }
        if dense or not np.array_equal(place, np.arange(len(place))):
            found["place"] = place
        return found


def _sums(rows: jax.Array) -> jax.Array:
    """The sum of each row, [n], of an array [n, batch], as a product with ones."""
    ones = jnp.ones(rows.shape[1], rows.dtype)
    return jnp.matmul(rows, ones, precision=lax.Precision.HIGHEST)


def _delta(cap: Any, shape: tuple[int, ...], u: Any, y: Any, dy: jax.Array):
    return cap.backward(u, y, dy, shape)


def _in_pieces(function, arrays: tuple[jax.Array, ...], size: int) -> list[jax.Array]:
    """A function of rows, applied to `size` of them at a time."""
    count = len(arrays[0])
    whole = count // size * size
    parts = []
    if whole:
        shaped = tuple(each[:whole].reshape(-1, size) for each in arrays)
        found = lax.map(function, shaped)
        parts.append(found.reshape(whole, *found.shape[2:]))
    if count > whole:
        parts.append(function(tuple(each[whole:] for each in arrays)))
    return parts


def _units(array: jax.Array, rows: int | None) -> jax.Array:
    """An array with batch axis first as rows, [rows, batch, *unit]."""
    return array[None] if rows is None else jnp.moveaxis(array, 1, 0)


def _array(rows: jax.Array, writing: Writing) -> jax.Array:
    return rows[0] if isinstance(writing.members, int) else jnp.moveaxis(rows, 0, 1)


def _buffer(given: jax.Array, rows: int) -> jax.Array:
    """A buffer of so many rows: one of zeros, the given ones, room for the others."""
    pads = [(1, rows - 1 - len(given))] + [(0, 0)] * (given.ndim - 1)
    return jnp.pad(given, pads)


def _with_zero(array: jax.Array) -> jax.Array:
    """One zero behind the last entry, for padding to refer to."""
    return jnp.pad(array, [(0, 1)] + [(0, 0)] * (array.ndim - 1))


def _tile_rows() -> tuple[int, ...]:
    return _CPU_TILES if jax.default_backend() == "cpu" else _TILES


def _forward(group: TypedGroup) -> Sweep:
    level = levels(
        group.edge_sources, group.outer + group.edge_targets, group.outer + group.size
    )[group.outer :]
    none = np.zeros(0, np.int64)
    return Sweep(
        given=group.outer,
        level=level,
        sources=group.edge_sources,
        targets=group.edge_targets,
        weights=np.arange(len(group.edge_sources)),
        seeds=none,
        seeded=none,
        finish=group.cap_of,
        label=np.arange(group.size),
        no_label=group.size,
        no_weight=len(group.edge_sources),
        last=int(level.max(initial=0)) + 1,
        tile_rows=_tile_rows(),
        dense=_is_scalar(group),
    )


def _is_scalar(group: TypedGroup) -> bool:
    return group.unit == () and isinstance(group.weighting, Scale)


def _backward(group: TypedGroup, forward: Schedule) -> Sweep:
    """Error signals: members, then the units that are read, against the edges."""
    outer, size = group.outer, group.size
    seeded = [np.atleast_1d(each.members) for each in group.writings]
    given = sum(map(len, seeded))
    inner = group.edge_sources >= outer
    level = np.zeros(size + outer, np.int32)
    level[:size] = levels(
        group.edge_targets[inner], group.edge_sources[inner] - outer, size
    )
    last = int(level.max(initial=0)) + 1
    level[size:] = last
    # Computed nodes: the members, then the outer units.
    target = np.where(inner, group.edge_sources - outer, size + group.edge_sources)
    finish = np.full(size + outer, len(group.caps), np.int64)
    finish[:size] = group.cap_of
    label = np.zeros(size + outer, np.int64)
    label[:size] = forward.row_of[outer:]
    return Sweep(
        given=given,
        level=level,
        sources=given + group.edge_targets,
        targets=target,
        weights=np.arange(len(group.edge_sources)),
        seeds=np.arange(given),
        seeded=np.concatenate(seeded),
        finish=finish,
        label=label,
        no_label=0,
        no_weight=len(group.edge_sources),
        last=last,
        tile_rows=_tile_rows(),
        dense=_is_scalar(group),
    )
