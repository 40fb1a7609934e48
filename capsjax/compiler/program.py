"""The lowered program: forward and backward as plain functions.

The forward pass goes through the capsules in topological order, groups and runs among
them; the backward pass is a walk the other way (`capsjax.compiler.walk`, which has the
equations).
"""

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp

from capsjax.compiler.example_weights import mean
from capsjax.compiler.groups import GroupProgram
from capsjax.compiler.mode import INFERENCE, Mode
from capsjax.compiler.plan import Array, Plan
from capsjax.compiler.runs import Deferred, Keep, RunProgram
from capsjax.compiler.terms import context_of, total_input
from capsjax.compiler.walk import Walk
from capsjax.graph.traced import bind, traced_settings
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup, TypedRun
from capsjax.losses import PAIRS

Arrays = dict[str, jax.Array]


class Tensors(NamedTuple):
    """What a forward pass has computed.

    Attributes:
        total: Total input U by capsule; of groups, buffers of rows; of runs, those of
            the body's capsules, stacked.
        output: Y by capsule, inputs among them; of groups and runs likewise.
        state: New state of the capsules that carry some, by capsule.
        drawn: Residuals of capsule functions beside U and Y, by capsule; of runs,
            all that their backward pass reads.
        products: Merged products, by where their weights stand.
    """

    total: dict[str, Any]
    output: dict[str, Any]
    state: dict[str, Any]
    drawn: dict[str, Any]
    products: dict[tuple[str, str], jax.Array]


@dataclasses.dataclass(frozen=True)
class Program:
    """A graph after all passes, with its plan."""

    typed: TypedGraph
    plan: Plan

    @functools.cached_property
    def groups(self) -> dict[str, GroupProgram]:
        """The programs of the groups, by name."""
        return {group.name: GroupProgram.of(group) for group in self.typed.groups}

    @functools.cached_property
    def runs(self) -> dict[str, RunProgram]:
        """The programs of the runs, by name."""
        return {
            run.name: RunProgram(run, made, Program(run.body, made.body))
            for run in self.typed.runs
            for made in (self.plan.runs[run.name],)
        }

    @functools.cached_property
    def traced(self) -> dict[str, float]:
        """Its traced settings: names and declared numbers."""
        return traced_settings(self.typed)

    def bound(self, settings: Mapping[str, Any]) -> Self:
        """The same with numbers in the places of traced settings.

        They are weakly typed, as the Python numbers are that they stand for: what is
        computed with them keeps its type.

        Args:
            settings: Scalars by name; those left out are as declared.
        """
        if not self.traced:
            return self
        numbers = {name: jnp.full_like(0.0, given) for name, given in settings.items()}
        made = dataclasses.replace(self, typed=bind(self.typed, numbers))
        made.__dict__["groups"] = self.groups  # no setting of theirs is traced
        return made

    @property
    def keeping_all(self) -> "Program":
        """The same without a memory budget."""
        return self

    def wiring(self) -> dict[str, Any]:
        """The wiring of neurons, by group, as it stands in the network's state."""
        return {
            group.name: jax.tree.map(jnp.asarray, self.groups[group.name].tables)
            for group in self.typed.groups
            if not group.members
        }

    def tables(self, group: TypedGroup, state: Any) -> Any:
        """A group's wiring: neurons' from the state, since it may be large."""
        return self.groups[group.name].tables if group.members else state[group.name]

    def evaluate(
        self,
        params: Any,
        state: Any,
        inputs: Mapping[str, jax.Array],
        mode: Mode = INFERENCE,
        keep: Keep = "nothing",
    ) -> Tensors:
        """All that the forward pass computes.

        Args:
            params: Parameters in compiled layout.
            state: State.
            inputs: Arrays by input name, batch axis first.
            mode: Training or inference.
            keep: What runs keep of each copy; with "all", groups keep U also if no
                backward rule reads it.

        Returns:
            Tables by name.
        """
        total: dict[str, Any] = {}
        output: dict[str, Any] = {name: inputs[name] for name, _ in self.typed.inputs}
        tensors = Tensors(total, output, {}, {}, {})
        for capsule in self.typed.capsules:
            self.advance(tensors, capsule, params, state, inputs, mode, keep)
        return tensors

    def advance(
        self,
        tensors: Tensors,
        capsule: TypedCapsule | TypedGroup | TypedRun,
        params: Any,
        state: Any,
        inputs: Mapping[str, jax.Array],
        mode: Mode,
        keep: Keep,
    ) -> None:
        """Adds what one capsule computes; `evaluate` has the arguments."""
        name, total, output = capsule.name, tensors.total, tensors.output
        with jax.named_scope(name):
            if isinstance(capsule, TypedGroup):
                group = self.groups[name]
                tables = self.tables(capsule, state)
                keep_u = keep == "all" or group.keeps_total_input
                y, u = group.forward(params.get(name, {}), tables, output, keep_u)
                output.update({name: y, **group.written(tables, y)})
                if u is not None:
                    total[name] = u
                new = _next_group_feedback(capsule, state) if mode.train else {}
                if new:
                    tensors.state[name] = jax.lax.stop_gradient(new)
                return
            if isinstance(capsule, TypedRun):
                run = self.runs[name]
                last, new, kept = run.forward(params, state, output, mode, keep)
                output.update(last)
                tensors.state.update(new)
                if keep == "all":
                    total[name], output[name] = kept
                else:
                    tensors.drawn[name] = kept
                return
            u = total_input(capsule, params, output, inputs, tensors.products)
            context = context_of(capsule, params, state, mode)
            y, new, residual = capsule.cap.run(u, context)
            total[name], output[name], tensors.drawn[name] = u, y, residual
            new |= _next_feedback(capsule, state) if mode.train else {}
            if new:
                tensors.state[name] = jax.lax.stop_gradient(new)

    def forward(
        self,
        params: Any,
        state: Any,
        inputs: Mapping[str, jax.Array],
        targets: Any,
        mode: Mode = INFERENCE,
        keep: Keep = "residuals",
    ):
        """The forward pass.

        Args:
            params: Parameters in compiled layout.
            state: State.
            inputs: Arrays by input name, batch axis first.
            targets: Encoded targets by output name; None if no loss is asked for.
            mode: Training or inference.
            keep: "nothing", where no backward pass follows.

        Returns:
            `(loss, outputs, new state), residuals`; the loss is None without targets,
            and only capsules that carry state stand in the new one.
        """
        tensors = self.evaluate(params, state, inputs, mode, keep)
        total, output = tensors.total, tensors.output
        outputs = {name: output[name] for name in self.typed.outputs}
        loss = None
        if targets is not None:
            each = self.losses(total, output, targets)
            terms = []
            for own in self.typed.losses:
                with jax.named_scope(f"{own.output}/loss"):
                    losses = each[own.output]
                    terms.append(own.loss.weight * mean(losses, mode.shares))
            loss = sum(terms[1:], terms[0])
        residuals = None
        if keep == "residuals":
            residuals = self.residuals(tensors, params, state, inputs, targets)
        return (loss, outputs, tensors.state), residuals

    def residuals(
        self,
        tensors: Tensors,
        params: Any,
        state: Any,
        inputs: Mapping[str, jax.Array],
        targets: Any,
    ) -> Any:
        """What the backward pass is given of the forward pass."""
        kept = self.taken(tensors, self.plan.kept)
        return kept, tensors.drawn, params, state, targets

    def taken(
        self, tensors: Tensors, arrays: tuple[Array, ...]
    ) -> dict[Array, jax.Array]:
        """Some of what a forward pass has computed."""
        tables = {"U": tensors.total, "Y": tensors.output}
        return {array: tables[array[1]][array[0]] for array in arrays}

    def target_gradient(
        self, residuals: Any, inputs: Arrays, d_loss: Any, mode: Mode
    ) -> tuple[Arrays, Any]:
        """dL/dT of every target, and dL/ds of the examples' shares.

        By JAX: they are rarely asked for.
        """
        *_, params, state, targets = residuals

        def loss(targets, shares):
            own = mode._replace(shares=shares)
            return self.forward(params, state, inputs, targets, own, "nothing")[0][0]

        return jax.vjp(loss, targets, mode.shares)[1](d_loss)

    def losses(self, total: Arrays, output: Arrays, targets: Arrays) -> Arrays:
        """The loss of each example, shape [B], by output, without its weight."""
        caps = self.typed.caps
        found = {}
        for each in self.typed.losses:
            name, loss = each.output, each.loss
            with jax.named_scope(f"{name}/loss"):
                if each.from_total_input:
                    cap = caps[name]
                    pair = PAIRS[type(cap), type(loss)]
                    found[name] = pair.value(cap, loss, total[name], targets[name])
                else:
                    found[name] = loss.value(output[name], targets[name])
        return found

    def backward(
        self,
        residuals: Any,
        d_loss: Any,
        d_outputs: Arrays,
        wanted_inputs: frozenset[str] = frozenset(),
        mode: Mode = INFERENCE,
        observe: bool = False,
        deferred: Collection[Deferred] = (),
        errors: Mapping[str, jax.Array] = {},
    ):
        """The backward pass: the equations at the head of `capsjax.compiler.walk`.

        Args:
            residuals: What `forward` returned.
            d_loss: Cotangent of the loss, or None.
            d_outputs: Cotangents of the outputs; names may be left out.
            wanted_inputs: Names of the inputs of which dL/dY is asked for.
            mode: That of the forward pass.
            observe: Whether error signals are asked for within runs, too.
            deferred: Edges and biases whose gradients are left out.
            errors: Of the body of a run: error signals of outputs outside, for rules
                that send them straight.

        Returns:
            Gradients of the parameters (in their layout), of the inputs (by name), and
            the error signals (by capsule). What no error reaches is left out of the
            last two.
        """
        *_, params, state, targets = residuals
        wanted_inputs -= self.typed.integers
        walk = Walk(self, residuals, d_outputs, wanted_inputs, mode, deferred, errors)
        if observe:  # also the signals that nothing below has need of
            for each in self.typed.capsules:
                walk.wanted |= {each.name, *each.made}
        losses = {each.output: each for each in self.typed.losses}
        for capsule in self.backwards(walk):
            with jax.named_scope(f"{capsule.name}/backward"):
                if isinstance(capsule, TypedGroup):
                    walk.visit_group(
                        self.groups[capsule.name], self.tables(capsule, state)
                    )
                    continue
                if isinstance(capsule, TypedRun):
                    walk.visit_run(self.runs[capsule.name], observe)
                    continue
                loss = losses.get(capsule.name) if d_loss is not None else None
                walk.visit(capsule, loss, targets, d_loss)
        for name in self.typed.shared:
            if name not in walk.d_params:
                walk.d_params[name] = jax.tree.map(jnp.zeros_like, params[name])
        for (name, key), gradient in walk.d_merged.items():
            walk.d_params.setdefault(name, {}).setdefault("W", {})[key] = gradient
        return walk.d_params, walk.d_inputs(), walk.deltas

    def backwards(self, walk: "Walk") -> Iterable[TypedCapsule | TypedGroup | TypedRun]:
        """The capsules in the order of the backward pass."""
        return reversed(self.typed.capsules)


def _next_feedback(capsule: TypedCapsule, state: Any) -> dict[str, Any]:
    """What the capsule's backward rules carry to the next step, if that changes."""
    if not capsule.learning_rules:
        return {}
    carried = state[capsule.name]["feedback"]
    new = {
        edge.key: edge.backward.next_feedback(carried[edge.key])
        for edge in capsule.edges
        if edge.backward is not None and edge.backward.learns
    }
    return {"feedback": {**carried, **new}}


def _next_group_feedback(group: TypedGroup, state: Any) -> dict[str, Any]:
    if not group.learning_rules:
        return {}
    carried = state[group.name]["feedback"]["edges"]
    return {"feedback": {"edges": group.backward.next_feedback(carried)}}
