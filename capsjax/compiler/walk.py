"""The backward pass: one walk from the outputs to the inputs.

Universal backpropagation (Li & Shan, arXiv 1805.03551, equations 4 and 5). With

    U_H = sum over Z in IN(H) of W[Z->H] (x) Y_Z + B_H,    Y_H = cap_H(U_H)

and L = sum over outputs of weight_H * mean over the batch of Loss(Y_H, T_H), with
weights of examples a weighted one, the error signal delta_H = dL/dU_H is, capsules
taken in reverse topological order,

    dL/dY_H = [H output] dLoss/dY_H + sum over P in OUT(H) of delta_P . dU_P/dY_H
    delta_H = dL/dY_H . dcap_H/dU_H

    delta_P . dU_P/dY_H  = input_gradient(W[H->P], delta_P)     by the edge's record
    delta_H . dU_H/dW    = weight_gradient(Y_Z, delta_H)        by the edge's record
    dL/dB_H              = delta_H, summed over the batch and, for a bias per channel,
                           over all axes but the last
    . dcap_H/dU_H        = backward(U_H, Y_H, dL/dY_H)          by the cap's record

Where a loss is paired with its cap, delta_H = dLoss/dU_H directly. The sum over P is
complete when H's turn comes, since every reader of H stands behind it.

A backward rule (`capsjax.backward`) takes the place of input_gradient on its edge, of
backward at its capsule, or of the sum over P.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from capsjax.backward.base import Crossing
from capsjax.compiler.bias import bias_gradient
from capsjax.compiler.example_weights import factor
from capsjax.compiler.groups import GroupProgram
from capsjax.compiler.merged import Gathering, place_of, weights_of
from capsjax.compiler.mode import Mode
from capsjax.compiler.parameters import fan_in
from capsjax.compiler.plan import (
    behind,
    deaf,
    function_reads,
    read_outside,
    sent_straight,
)
from capsjax.compiler.runs import Deferred, RunProgram
from capsjax.compiler.terms import context_of, weight_of
from capsjax.graph.typed import (
    Concatenation,
    Received,
    TypedCapsule,
    TypedEdge,
    TypedGroup,
)
from capsjax.losses import PAIRS

if TYPE_CHECKING:
    from capsjax.compiler.program import Program

Arrays = dict[str, jax.Array]


class Walk:
    """One walk from the outputs to the inputs, and what it has gathered."""

    def __init__(
        self,
        program: Program,
        residuals: Any,
        d_outputs: Arrays,
        wanted_inputs: frozenset[str],
        mode: Mode,
        deferred: Collection[Deferred],
        errors: Mapping[str, jax.Array],
    ):
        self.kept, self.drawn, self.params, self.state, _ = residuals
        self.mode = mode
        self.errors = errors
        self.deaf = deaf(program.typed)
        self.deferred = deferred
        self.same = dict(program.plan.same)
        self.wanted = program.plan.behind_parameters
        self.scaled = program.plan.scaled
        self.inputs = wanted_inputs
        if wanted_inputs:
            self.wanted = behind(program.typed, wanted_inputs)
        self.d_params = {}
        self.deltas: dict[str, Any] = {}
        self.d_output: dict[str, jax.Array] = dict(d_outputs)
        self.d_scaled: dict[str, tuple] = {}  # reader, edge's key, its delta and W
        self.gathering = Gathering(program.typed)
        self.d_merged: dict[tuple[str, str], jax.Array] = {}

    def visit(self, capsule: TypedCapsule, loss: Any, targets: Any, d_loss: Any):
        name = capsule.name
        delta, d_own = None, {}
        if loss is not None:
            delta = self._add_loss(capsule, loss, targets[name], d_loss)
        if name in self.d_scaled:
            delta = self._scaled(capsule)
        if capsule.received is not None:
            self._receive(capsule, capsule.received)
        d_output = self.d_output.pop(name, None)
        if d_output is not None and name in self.wanted:
            du, d_own = self._through(capsule, d_output)
            delta = du if delta is None else delta + du
        if delta is None or name not in self.wanted:
            self._no_gradient(capsule.name)
            self._merged(capsule, None)
            return
        self.deltas[name] = delta
        self._edges(capsule, delta)
        self._merged(capsule, delta)
        if d_own:
            self.d_params.setdefault(name, {})["cap"] = d_own

    def _receive(self, capsule: TypedCapsule, received: Received) -> None:
        """dL/dY from the error signals of outputs, sent straight."""
        for output, _ in received.outputs:
            error = self.deltas.get(output, self.errors.get(output))
            if error is not None:
                matrix = self.state[capsule.name]["feedback"][output]
                rows = error.reshape(error.shape[0], -1)
                sent = rows @ matrix.astype(error.dtype)
                self._add(capsule.name, sent.reshape(-1, *capsule.output))

    def _through(self, capsule: TypedCapsule, d_output: jax.Array) -> Any:
        """dL/dU, and gradients of the function's own parameters, from dL/dY."""
        name, rule = capsule.name, capsule.backward
        cap: Any = capsule.cap
        u_shape = (d_output.shape[0], *capsule.total_input)
        reads = function_reads(capsule)
        u = self._array(name, "U") if "U" in reads else None
        y = self._array(name, "Y") if "Y" in reads else None
        mode = self.mode._replace(key=None)  # what was drawn is kept
        context = context_of(capsule, self.params, self.state, mode)

        def exact(dy: jax.Array) -> Any:
            return cap.run_backward(self.drawn[name], u, y, dy, u_shape, context)

        place = f"capsule {name!r}"
        if rule is None:
            du, d_own = exact(d_output)
            _expect(du, u_shape, f"{place}: backward of {cap}")
        else:
            du = rule.through(d_output, lambda dy: exact(dy)[0])
            d_own = exact(d_output)[1] if capsule.cap_shapes else {}
            _expect(du, u_shape, f"{place}: backward rule {rule}")
        return du, d_own

    def visit_group(self, program: GroupProgram, tables: Any) -> None:
        group = program.group
        names = [writing.name for writing in group.writings]
        d_written = {n: self.d_output.pop(n) for n in names if n in self.d_output}
        if not d_written or group.name not in self.wanted:
            self._no_gradient(group.name)
            return
        own = self.params.get(group.name, {})
        wanted = [name for name in group.sources if self._hears(name)]
        d_params, d_sources, signals = program.backward(
            own,
            tables,
            self._array(group.name, "Y"),
            self._array(group.name, "U") if program.keeps_total_input else None,
            d_written,
            bool(wanted),
            self._group_feedback(group, own),
        )
        if d_params:
            self.d_params[group.name] = d_params
        for name in wanted:
            self._send(name, d_sources[name])
        self.deltas[group.name] = signals

    def _group_feedback(self, group: TypedGroup, own: Any) -> Any:
        """What stands in place of a group's W where error signals go back."""
        if group.backward is None:
            return None
        carried = None
        if group.feedback_shapes:
            carried = self.state[group.name]["feedback"]["edges"]
        return group.backward.constant(own["W"]["edges"], carried, fan_in(group))

    def visit_run(self, program: RunProgram, observe: bool) -> None:
        run = program.run
        d_last = {n: self.d_output.pop(n) for n in run.made if n in self.d_output}
        found = {**self.errors, **self.deltas}
        errors = {n: found[n] for n in sorted(sent_straight(run)) if n in found}
        if not (d_last or errors) or not self.wanted.issuperset(run.made):
            for name in run.members:
                self._no_gradient(name)
            return
        outside = read_outside(run, program.plan)
        arrays = {array: self._array(*array) for array in outside}
        wanted = frozenset(filter(self._hears, run.sources))
        d_params, d_read, signals = program.backward(
            self.params,
            self.state,
            self.drawn[run.name],
            arrays,
            d_last,
            wanted,
            self.mode,
            observe,
            errors,
        )
        for name in program.body.typed.shared:
            self._add_shared(name, d_params.pop(name)["W"])
        self.d_params.update(d_params)
        for each in run.carried:
            if each.source in wanted:
                self._send(each.source, d_read[each.slot])
        for name in wanted.intersection(run.constants):
            self._send(name, d_read[name])
        self.deltas[run.name] = signals

    def _add_loss(self, capsule: TypedCapsule, each: Any, target: Any, d_loss: Any):
        """The error that a loss sends: to U if paired, else added to dL/dY."""
        name, loss = capsule.name, each.loss
        read = self._array(name, "U" if each.from_total_input else "Y")
        scale = factor(d_loss, loss.weight, read, self.mode.shares)
        if each.from_total_input:
            pair = PAIRS[type(capsule.cap), type(loss)]
            gradient = pair.gradient(capsule.cap, loss, read, target)
            return (scale * gradient).astype(read.dtype)
        gradient = loss.gradient(read, target)
        _expect(gradient, read.shape, f"output {name!r}: gradient of {loss}")
        self._add(name, (scale * gradient).astype(read.dtype))
        return None

    def _edges(self, capsule: TypedCapsule, delta: jax.Array) -> None:
        """Gradients of the capsule's parameters, and the error to its sources."""
        found: dict[str, Any] = {}
        own = self.params.get(capsule.name, {})
        if capsule.bias_shape is not None and (capsule.name, None) not in self.deferred:
            gradient = bias_gradient(delta, capsule.bias_shape)
            found["B"] = gradient.astype(own["B"].dtype)
        weights = {}
        for term in capsule.terms:
            if isinstance(term, Concatenation):
                self._split(term, delta)
                continue
            if term.merged is not None:
                continue
            w = weight_of(self.params, capsule, term)
            if term.source in self.scaled:
                self.d_scaled[term.source] = capsule.name, term.key, delta, w
                continue
            if (capsule.name, term.key) in self.deferred:
                pass
            elif term.weight is not None:
                gradient = self._weight_gradient(capsule, term, delta, w)
                self._add_shared(term.weight, gradient)
            elif w is not None:
                weights[term.key] = self._weight_gradient(capsule, term, delta, w)
            if self._hears(term.source):
                self._send_back(capsule, term, delta, w)
        if weights:
            found["W"] = weights
        if found:
            self.d_params[capsule.name] = found

    def _scaled(self, capsule: TypedCapsule) -> jax.Array:
        """The error of a capsule and the gradient of the scale behind it, at once."""
        reader, key, d, w = self.d_scaled.pop(capsule.name)
        cap: Any = capsule.cap
        delta, gradient = cap.scaled_backward(
            self.drawn[capsule.name],
            self._array(capsule.name, "U"),
            d,
            w,
            self.mode.train,
        )
        self.d_params.setdefault(reader, {}).setdefault("W", {})[key] = gradient
        return delta

    def _merged(self, capsule: TypedCapsule, delta: jax.Array | None) -> None:
        """Products that are one have their gradients when all signals are there."""
        for edge in capsule.edges:
            if edge.merged is None:
                continue
            gradients = []
            for each, signal in self.gathering.add(edge, delta).items():
                w = weights_of(self.params, each)
                if signal is None:
                    gradients.append(jnp.zeros_like(w))
                    continue
                gradient = self._weight_gradient(capsule, each, signal, w)
                gradients.append(gradient)
                if self._hears(each.source):
                    self._send_back(capsule, each, signal, w)
            if gradients:
                joined = jnp.concatenate(gradients, axis=-1)
                self.d_merged[place_of(edge)[:2]] = joined

    def _add_shared(self, name: str, gradient: jax.Array) -> None:
        there = self.d_params.get(name)
        total = gradient if there is None else there["W"] + gradient
        self.d_params[name] = {"W": total}

    def _weight_gradient(self, capsule, edge: TypedEdge, delta, w) -> jax.Array:
        y = self._array(edge.source, "Y")
        gradient = edge.weighting.weight_gradient(y, delta, w.shape)
        place = f"capsule {capsule.name!r}, edge from {edge.source!r}"
        _expect(gradient, w.shape, f"{place}: weight_gradient of {edge.weighting}")
        return gradient.astype(w.dtype)

    def _send_back(self, capsule, edge: TypedEdge, delta, w) -> None:
        shape = (delta.shape[0], *edge.source_shape)
        place = f"capsule {capsule.name!r}, edge from {edge.source!r}"
        rule = edge.backward
        if rule is None:
            gradient = edge.weighting.input_gradient(w, delta, shape)
            _expect(gradient, shape, f"{place}: input_gradient of {edge.weighting}")
        elif rule.silent:
            return
        else:
            feedback = None
            if edge.feedback_shape is not None:
                feedback = self.state[capsule.name]["feedback"][edge.key]
            y = self._array(edge.source, "Y") if "Y" in rule.reads else None
            key = self.mode.key_of_signal(capsule, edge)
            crossing = Crossing(edge.weighting, shape, feedback)
            gradient = rule.signal(delta, w, y, key, crossing)
            _expect(gradient, shape, f"{place}: backward rule {rule}")
        self._send(edge.source, gradient)

    def _split(self, term: Concatenation, delta: jax.Array) -> None:
        """Each source of a concatenation gets its slot of the error signal."""
        start = 0
        for edge in term.edges:
            end = start + edge.source_shape[term.axis]
            if self._hears(edge.source):
                part = jax.lax.slice_in_dim(delta, start, end, axis=term.axis + 1)
                self._send(edge.source, part)
            start = end

    def _hears(self, name: str) -> bool:
        """Whether a source needs what its readers send, and takes it."""
        return name in self.wanted and name not in self.deaf

    def _send(self, name: str, gradient: jax.Array) -> None:
        if name not in self.deaf:
            self._add(name, gradient)

    def _add(self, name: str, gradient: jax.Array) -> None:
        there = self.d_output.get(name)
        self.d_output[name] = gradient if there is None else there + gradient

    def _no_gradient(self, name: str) -> None:
        """No error reaches the capsule: its parameters' gradients are zero."""
        own = self.params.get(name)
        if own is not None:
            self.d_params[name] = jax.tree.map(jnp.zeros_like, own)

    def _array(self, name: str, which: str) -> jax.Array:
        array = self.same.get((name, which), (name, which))
        return self.kept[array]

    def signals(self) -> list[jax.Array]:
        """The error signals that have come in and are not passed on yet."""
        waiting = [delta for _, _, delta, _ in self.d_scaled.values()]
        return [*self.d_output.values(), *waiting]

    def d_inputs(self) -> Arrays:
        """`dL/dY` of the inputs that an error reaches."""
        return {n: d for n, d in self.d_output.items() if n in self.inputs}


def _expect(array: jax.Array, shape: tuple[int, ...], what: str) -> None:
    """A record's own backward rule may be wrong; say so by name, not deep inside."""
    if array.shape != tuple(shape):
        raise TypeError(f"{what} gives shape {array.shape}; expected {tuple(shape)}")
