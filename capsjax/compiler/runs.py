"""A run of equal copies as one `lax.scan`, forward and backward.

With a body (Y', s') = body(W, s, Y, key) and n copies whose parameters W, states s and
numbers for keys are stacked along a first axis of n,

    forward    Y[i + 1], s'[i] = body(W[i], s[i], Y[i], key[i])        i = 0 ... n - 1
    backward   dL/dW[i], dL/dY[i] = body's backward of dL/dY[i + 1]    i = n - 1 ... 0

so that the program holds the body once, whatever n is. What all copies read alike, and
weights that all copies share, stand outside the loop; their gradients are summed in it.

What a copy keeps for its backward pass is stacked. What it hands on is what the next
one is given, so it is kept once, and read from the next one's place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler.bias import bias_gradient
from capsjax.compiler.mode import Mode
from capsjax.compiler.plan import Array, RunPlan, deaf
from capsjax.graph.typed import TypedEdge, TypedRun

if TYPE_CHECKING:
    from capsjax.compiler.program import Program

Arrays = dict[str, jax.Array]
Deferred = tuple[str, str | None]
"""Name of a capsule, and key of an edge into it; or None, for its bias."""

Keep = Literal["nothing", "residuals", "all"]


@dataclasses.dataclass(frozen=True)
class RunProgram:
    """A run, lowered.

    Attributes:
        run: The run.
        plan: What is kept of each copy.
        body: The program of one copy.
    """

    run: TypedRun
    plan: RunPlan
    body: Program

    @functools.cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        """Of capsules that draw: what makes each copy's key, as for a capsule alone."""
        return {
            capsule.name: np.array(
                [zlib.crc32(name.encode()) for name in self.run.members[capsule.name]],
                np.uint32,
            )
            for capsule in self.body.typed.alone
            if capsule.draws
        }

    def _own(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in a table, stacked, under the names of the body's capsules."""
        names = (capsule.name for capsule in self.body.typed.capsules)
        return {name: tables[name] for name in names if name in tables}

    def own(self, params: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
        """Parameters, states and numbers for keys of all copies, stacked."""
        return self._own(params), self._own(state), self._numbers

    def _shared(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: params[name] for name in self.body.typed.shared}

    def copy(
        self, params: Any, output: Arrays, mode: Mode, keep: Keep
    ) -> Callable[[Arrays, Any], Any]:
        """The forward pass of one copy, for `jax.lax.scan`; arguments of `forward`."""
        shared = self._shared(params)
        constants = {name: output[name] for name in self.run.constants}

        def copy(carried: Arrays, own: tuple[Any, Any, Arrays]):
            params, state, numbers = own
            tensors = self.body.evaluate(
                {**params, **shared},
                state,
                {**carried, **constants},
                mode._replace(numbers=numbers),
                keep,
            )
            handed_on = {e.slot: tensors.output[e.output] for e in self.run.carried}
            kept = ()
            if keep == "residuals":
                arrays = self.body.taken(tensors, self.plan.stacked)
                kept = tuple(arrays.values()), tensors.drawn
            elif keep == "all":
                kept = tensors.total, tensors.output
            return handed_on, (tensors.state, kept)

        return copy

    def forward(
        self, params: Any, state: Any, output: Arrays, mode: Mode, keep: Keep
    ) -> tuple[Arrays, dict[str, Any], Any]:
        """All copies, one after the other.

        Args:
            params: Parameters of the whole network, in compiled layout.
            state: State of the whole network.
            output: Y of what is read, by name.
            mode: Training or inference.
            keep: Nothing; what the backward pass reads; or U and Y of all capsules.

        Returns:
            Y of what the last copy hands on, by name; the new state of the body's
            capsules, stacked; and what is kept, stacked: for "residuals"
            `(arrays, residuals of capsule functions)`, for "all" the body's `Tensors`.
        """
        copy = self.copy(params, output, mode, keep)
        first = {each.slot: output[each.source] for each in self.run.carried}
        own = self.own(params, state)
        last, (new, kept) = jax.lax.scan(copy, first, own, length=self.run.size)
        names = self.run.last
        found = {names[e.output]: last[e.slot] for e in self.run.carried}
        return found, new, kept

    def backward(
        self,
        params: Any,
        state: Any,
        kept: Any,
        read: Mapping[Array, jax.Array],
        d_last: Arrays,
        wanted: frozenset[str],
        mode: Mode,
        observe: bool,
        errors: Mapping[str, jax.Array],
    ) -> tuple[dict[str, Any], Arrays, dict[str, Any]]:
        """All copies, from the last one back.

        Args:
            params: Parameters of the whole network, in compiled layout.
            state: State of the whole network.
            kept: What `forward` kept as residuals.
            read: Kept arrays of the whole network: Y of what the run reads alike, and
                of what it hands on.
            d_last: dL/dY of what the last copy hands on, by name; some may be missing.
            wanted: Sources whose gradient is asked for.
            mode: Training or inference.
            observe: Whether the error signals are asked for.
            errors: Error signals outside, for rules that send them straight.

        Returns:
            Gradients of the parameters, in their layout, shared weights among them;
            dL/dY of what is read, by slot or by name; and the error signals of the
            body's capsules, stacked.
        """
        run, body = self.run, self.body
        names = run.last
        some = next(iter((*d_last.values(), *errors.values())))

        shapes = dict(run.body.inputs)

        def zeros(name: str) -> jax.Array:
            return jnp.zeros((some.shape[0], *shapes[name]), some.dtype)

        # What is neither heard in a copy nor asked for outside is not carried.
        unheard = deaf(run.body)
        carried = [
            each
            for each in run.carried
            if each.output not in unheard or each.source in wanted
        ]
        last = {each.slot: d_last.get(names[each.output]) for each in carried}
        back = {slot: zeros(slot) if d is None else d for slot, d in last.items()}
        shared = self._shared(params)
        constants = {a: array for a, array in read.items() if a[0] in run.constants}
        sums = {name: zeros(name) for name in wanted.intersection(run.constants)}
        totals = jax.tree.map(jnp.zeros_like, shared)
        handed = {e.slot: read[names[e.output], "Y"] for e, _ in self.plan.handed}
        asked = frozenset({*sums, *back})

        def copy(stacks: Mapping[Array, Any], handed: Arrays, carry: Any, own: Any):
            back, sums, totals = carry
            number, (params, state, numbers), (arrays, drawn) = own
            arrays = dict(zip(self.plan.stacked, arrays, strict=True)) | constants
            for each, array in self.plan.handed:
                stack = stacks[each.slot, "Y"]
                arrays[array] = _following(stack, handed[each.slot], number)
            residuals = arrays, drawn, {**params, **shared}, state, None
            d_outputs = {
                e.output: back[e.slot] for e in carried if e.output not in unheard
            }
            d_params, d_inputs, signals = body.backward(
                residuals,
                None,
                d_outputs,
                asked,
                mode._replace(numbers=numbers),
                observe,
                deferred,
                errors,
            )
            if not observe:
                signals = {n: d for n, d in signals.items() if n in read_later}
            d_shared = {name: d_params.pop(name) for name in shared}
            found = {slot: d_inputs.get(slot) for slot in back}
            carry = (
                {slot: zeros(slot) if d is None else d for slot, d in found.items()},
                {name: sums[name] + d_inputs.get(name, 0) for name in sums},
                jax.tree.map(jnp.add, totals, d_shared),
            )
            return carry, (d_params, signals)

        edges = self._deferred(some.shape[0])
        read_later = {name for name, _ in edges}
        deferred = {*edges, *((name, None) for name in read_later)}
        carry = back, sums, totals
        (back, sums, totals), (d_params, signals) = self.walk_back(
            copy, carry, params, state, kept, handed, mode
        )
        stacks = self.stacks(kept) if edges else {}
        for (name, key), (edge, array) in edges.items():
            if name not in signals:  # no error reaches it
                continue
            gradient = functools.partial(_weight_gradient, edge)
            found = jax.vmap(gradient)(stacks[array], signals[name])
            own = d_params.setdefault(name, {})
            weight = params[name]["W"][key]
            own.setdefault("W", {})[key] = found.astype(weight.dtype)
            shape = run.capsule(name).bias_shape
            if shape is not None:
                biases = jax.vmap(lambda d, shape=shape: bias_gradient(d, shape))
                own["B"] = biases(signals[name]).astype(params[name]["B"].dtype)
        return {**d_params, **totals}, {**back, **sums}, signals

    def stacks(self, kept: Any) -> dict[Array, Any]:
        """The kept arrays of the body, stacked, by name."""
        return dict(zip(self.plan.stacked, kept[0], strict=True))

    def walk_back(
        self,
        copy: Callable[..., Any],
        carry: Any,
        params: Any,
        state: Any,
        kept: Any,
        handed: Arrays,
        mode: Mode,
    ) -> Any:
        """The loop of `backward`.

        Args:
            copy: The backward pass of one copy, for `jax.lax.scan`, behind the stacks
                that it stands in and what the last copy of these hands on.
            carry: What goes from copy to copy.
            params: Parameters of the whole network, in compiled layout.
            state: State of the whole network.
            kept: What `forward` kept as residuals.
            handed: What the last copy hands on, by slot.
            mode: Training or inference.

        Returns:
            What the first copy carries on; and stacked gradients and error signals.
        """
        own = jnp.arange(self.run.size), self.own(params, state), kept
        one = functools.partial(copy, self.stacks(kept), handed)
        return jax.lax.scan(one, carry, own, reverse=True)

    def _deferred(self, batch: int) -> dict[tuple[str, str], tuple[TypedEdge, Array]]:
        """Edges whose weights' gradients are taken behind the loop, and Y's stack.

        A product of stacks costs what the products in the loop do, but in it, dW would
        be written twice: by the product, and into the stack. The error signal is
        stacked in its place, where that is no larger.
        """
        found = {}
        if not isinstance(batch, int):  # exported for any batch size: it may be large
            return found
        for capsule in self.body.typed.alone:
            for edge in capsule.edges:
                if edge.weight is not None or not edge.weighting.batches:
                    continue
                if edge.merged is not None:
                    continue
                array = self.body.plan.array(edge.source, "Y")
                weights = math.prod(edge.weight_shape or ())
                smaller = batch * math.prod(edge.shape) <= weights
                if smaller and array in self.plan.stacked:
                    found[capsule.name, edge.key] = edge, array
        return found

    def split(self, stacked: Mapping[str, jax.Array]) -> Arrays:
        """Arrays of the body's capsules, stacked, as those of all copies, by name."""
        return {
            name: stacked[own][number]
            for own, names in self.run.members.items()
            if own in stacked
            for number, name in enumerate(names)
        }


def _weight_gradient(edge: TypedEdge, y: jax.Array, delta: jax.Array) -> jax.Array:
    return edge.weighting.weight_gradient(y, delta, edge.weight_shape)


def _following(stack: jax.Array, last: jax.Array, number: jax.Array) -> jax.Array:
    """What the copy behind one was given: that of the last stands in no stack."""
    behind = jnp.minimum(number + 1, len(stack) - 1)
    given = jax.lax.dynamic_index_in_dim(stack, behind, keepdims=False)
    return jnp.where(number == len(stack) - 1, last, given)
