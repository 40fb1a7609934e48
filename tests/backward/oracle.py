"""Backward rules on any graph by plain autodiff: surrogates of the forward pass.

Each rule is an expression whose value is that of the forward pass and whose derivative
is the rule's. With sg for `jax.lax.stop_gradient`, what an edge contributes to U, what
a capsule gives out, and what its readers see:

    feedback weights B    f(W, sg(Y)) + f(B, Y) - sg(f(B, Y))
    stop, scale(c)        f(W, c Y + (1 - c) sg(Y)), c = 0 for stop
    clip, one's own       f(W, Y), the signal by Y changed
    straight_through      Y = U + sg(cap(U) - U)
    guided                Y = cap(U), the signal by Y changed
    direct, local         readers see sg(Y); and <Y, sg(sum of delta_o B_o)> is added to
                          the loss for direct feedback

`sg(W) + D` stands for B of Kolen-Pollack. It uses the declared meaning of records
(`forward`), nothing of the compiler but shapes.
"""

from typing import Any

import jax
import jax.numpy as jnp

import capsjax as cj
from capsjax.caps.base import Context
from capsjax.losses import PAIRS

sg = jax.lax.stop_gradient
WEIGHTED = ("feedback_alignment", "sign_symmetric", "kolen_pollack")
RECEIVED = ("direct_feedback_alignment", "local")


def changed(y: Any, change: Any) -> Any:
    """y, with the signal that comes back changed."""
    same = jax.custom_vjp(lambda y: y)
    same.defvjp(lambda y: (y, None), lambda _, d: (change(d),))
    return same(y)


def clipped(norm: float) -> Any:
    """Scales the signal of each example down to a norm."""

    def change(d: Any) -> Any:
        size = jnp.sqrt(jnp.sum(d**2, axis=tuple(range(1, d.ndim)), keepdims=True))
        return d * jnp.minimum(1, norm / jnp.maximum(size, 1e-300))

    return change


class Oracle:
    """A graph under rules: loss, gradients and error signals.

    Args:
        graph: The graph; rules that it declares are not looked at.
        rules: Rules (records) by capsule or by `(key of an edge, capsule)`.
    """

    def __init__(self, graph: cj.Graph, rules: Any):
        net = cj.compile(graph, backward="autodiff")
        self.typed, self.rules = net.typed, rules
        self.names = {name for name, _ in net.typed.inputs}
        needed, self.needed = set(net.typed.outputs), []
        for capsule in reversed(net.typed.alone):
            if capsule.name in needed:
                needed.update(capsule.sources)
                self.needed.insert(0, capsule)

    def _rule(self, capsule: Any, edge: Any) -> Any:
        found = self.rules.get((edge.key, capsule.name))
        if found is not None:
            return found
        found = self.rules.get(capsule.name)
        if found is None or found.acts != "edge":
            return None
        unfit = found.kind in WEIGHTED and edge.weight_shape is None
        return None if unfit else found

    def _contribution(self, capsule: Any, edge: Any, params: Any, state: Any, y: Any):
        w = None
        if edge.weight is not None:
            w = params[edge.weight]["W"]
        elif edge.weight_shape is not None:
            w = params[capsule.name]["W"][edge.key]
        f, rule = edge.weighting.forward, self._rule(capsule, edge)
        if rule is None or rule.kind == "exact":
            return f(w, y)
        if rule.kind in WEIGHTED:
            b = self._feedback(rule, capsule, edge, w, state)
            sent = f(b, y)
            return f(w, sg(y)) + sent - sg(sent)
        if rule.kind in ("stop", "scale"):
            c = 0.0 if rule.kind == "stop" else rule.factor
            return f(w, c * y + (1 - c) * sg(y))
        if rule.kind == "clip":
            return f(w, changed(y, clipped(rule.norm)))
        return f(w, changed(y, rule.change))

    def _feedback(self, rule: Any, capsule: Any, edge: Any, w: Any, state: Any) -> Any:
        if rule.kind == "sign_symmetric":
            fan_in = edge.weighting.fan_in(edge.source_shape)
            return sg(jnp.sign(w)) / fan_in**0.5
        carried = state[capsule.name]["feedback"][edge.key]
        return carried if rule.kind == "feedback_alignment" else sg(w) + carried

    def evaluate(self, params: Any, state: Any, inputs: Any, shifts: Any = None):
        """U, Y, and what readers see of each capsule."""
        total: dict[str, Any] = {}
        output, seen = dict(inputs), dict(inputs)
        size = len(next(iter(inputs.values())))
        for capsule in self.needed:
            name, rule = capsule.name, self.rules.get(capsule.name)
            u: Any = jnp.zeros((size, *capsule.total_input))
            for edge in capsule.edges:
                read = seen[edge.source]
                u = u + self._contribution(capsule, edge, params, state, read)
            if capsule.bias_shape is not None:
                u = u + params[name]["B"]
            if shifts is not None:
                u = u + shifts[name]
            context = Context(
                params.get(name, {}).get("cap", {}), state.get(name, {}), None, True
            )
            y, _, _ = capsule.cap.run(u, context)
            kind = rule.kind if rule is not None else None
            if kind == "straight_through":
                y = u + sg(y - u)
            if kind == "guided":
                y = changed(y, lambda d: jnp.maximum(d, 0))
            total[name], output[name] = u, y
            seen[name] = sg(y) if kind in RECEIVED else y
        return total, output

    def value(self, params: Any, state: Any, batch: Any, signals: Any, shifts: Any):
        """The loss plus <Y, signal> of those who receive it straight; and the loss."""
        inputs = {name: a for name, a in batch.items() if name in self.names}
        total, output = self.evaluate(params, state, inputs, shifts)
        loss: Any = 0
        for each in self.typed.losses:
            name = each.output
            cap = self.typed.caps[name]
            pair = PAIRS.get((type(cap), type(each.loss)))
            if pair is not None:
                values = pair.value(cap, each.loss, total[name], batch[name])
            else:
                values = each.loss.value(output[name], batch[name])
            loss = loss + each.loss.weight * jnp.mean(values)
        more = [jnp.vdot(output[name], sg(signal)) for name, signal in signals.items()]
        return loss + sum(more), loss

    def everything(self, params: Any, state: Any, batch: Any):
        """Loss; gradients by parameters and inputs; error signals. All by name."""
        size = len(next(iter(batch.values())))
        shifts = {
            capsule.name: jnp.zeros((size, *capsule.total_input))
            for capsule in self.typed.alone
        }
        direct = {
            capsule.name: capsule
            for capsule in self.needed
            if (rule := self.rules.get(capsule.name)) is not None
            and rule.kind == "direct_feedback_alignment"
        }
        signals: dict[str, Any] = {}
        loss: Any = None
        slopes: Any = ()
        # An output may stand behind a capsule that another output's signal reaches.
        for _ in range(1 + len(self.typed.losses) * bool(direct)):

            def found(params: Any, given: Any, shifts: Any, signals: Any = signals):
                batch_of = {**batch, **given}
                return self.value(params, state, batch_of, signals, shifts)

            given = {name: batch[name] for name in self.names}
            found = jax.value_and_grad(found, (0, 1, 2), has_aux=True)
            (_, loss), slopes = found(params, given, shifts)
            signals = {
                name: self._straight(capsule, state, slopes[2], size)
                for name, capsule in direct.items()
            }
        return loss, *slopes

    def _straight(self, capsule: Any, state: Any, deltas: Any, size: int) -> Any:
        matrices = state[capsule.name]["feedback"]
        edges = [edge.key for edge in capsule.edges]
        parts = [
            deltas[output].reshape(size, -1) @ matrix
            for output, matrix in matrices.items()
            if output not in edges
        ]
        return sum(parts, jnp.zeros(())).reshape(size, *capsule.output)
