"""Traced settings: what is given at the call is what a declared number would do."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler.passes import Pass, fold_all
from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES
from capsjax.graph.traced import real_settings, settings_of
from tests.helpers_capsjax import built_in, close, difference, draw, draw_like, quick

KINDS = [
    (table, kind)
    for table in (CAPS, LOSSES, BACKWARDS)
    for kind in built_in(table)
    if real_settings(table[kind])
]
REQUIRED: dict[str, dict[str, Any]] = {
    "local_response_norm": {"size": 3},
    "group_norm": {"groups": 2},
    "scale": {"factor": 0.7},
    "clip": {"norm": 0.01},
    "noise": {"deviation": 0.3},
}
OTHERWISE = {"momentum": 0.8, "temperature": 2.5, "negative": 0.2, "alpha": 0.3}
FOLDED = (*cj.passes.PIPELINE[:-1], Pass(fold_all, observable=True))
PROBABILITIES = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


def declared(table: Any, kind: str, more: dict[str, Any]) -> tuple[cj.Graph, str]:
    """A graph in which the kind stands, and the place of its settings."""
    own = dict(REQUIRED.get(kind, {}) if table is not CAPS or "norm" in kind else {})
    record = table[kind](**{**own, **more})
    x = cj.input("x", (5, 4))
    cap = record if table is CAPS else "tanh"
    h = cj.capsule("h", cj.matmul(x, 6), cap=cap)
    edge = cj.matmul(h, 3)
    if table is BACKWARDS:
        edge = cj.with_backward(edge, record)
    loss: Any = record if table is LOSSES else "mean_squared_error"
    y = cj.capsule("y", edge, cap=PROBABILITIES.get(kind, "sigmoid"))
    place = {"capsule function": "h", "loss": "y.loss"}.get(
        table.noun, "y.from.h.backward"
    )
    return cj.graph(y, losses={"y": loss}), place


def problem(table: Any, kind: str):
    """Networks with other numbers declared, and with them traced; and what they take.

    Each number is moved by another factor, so that no two can be taken for each other.
    """
    first, place = declared(table, kind, {})
    names = real_settings(table[kind])
    before = settings_of(cj.compile(first).typed)
    after = {}
    for i, name in enumerate(names):
        was = before[f"{place}.{name}"]
        after[name] = OTHERWISE.get(name, was * (0.9 - i / 20) if was else 0.2 + i / 20)
    changed, _ = declared(table, kind, after)
    given = {f"{place}.{name}": number for name, number in after.items()}
    traced = cj.compile(first, traced=list(given))
    params, state = draw_like(jax.eval_shape(traced.init, jax.random.key(0)))
    state = jax.tree.map(lambda a: np.abs(a) + 0.5, state)
    targets = np.random.default_rng(2).dirichlet(np.ones(3), (7, 5))
    batch = {"x": draw((7, 5, 4), 1), "y": jnp.asarray(targets)}
    return cj.compile(changed), traced, given, (params, state, batch)


@pytest.mark.parametrize(
    "table, kind", KINDS, ids=lambda each: getattr(each, "noun", each)
)
def test_given_is_as_declared(table, kind):
    """Loss, outputs, gradients, new state; in float64, so that a lost digit shows."""
    other, net, given, (params, state, batch) = problem(table, kind)
    key = jax.random.key(3)

    def both(params, inputs, settings):
        def loss(net, settings):
            gradient = jax.value_and_grad(net.loss, has_aux=True)
            return gradient(params, state, {**batch, **inputs}, key=key, **settings)

        as_declared = net.loss(params, state, batch, key=key)[0]
        return loss(net, {"settings": settings}), loss(other, {}), as_declared

    inputs = {"x": batch["x"]}
    found, expected, as_declared = quick(both)(params, inputs, given)
    close(found, expected, 1e-12)
    assert np.isfinite(as_declared)


@pytest.fixture(scope="module")
def dropping():
    x = cj.input("x", (6,))
    h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
    d = cj.capsule("d", cj.identity(h), cap=cj.caps.dropout(0.25), bias=None)
    edge = cj.with_backward(cj.matmul(d, 4), cj.backward.scale(0.5))
    y = cj.capsule("y", edge, cap=cj.caps.softmax(temperature=1.5))
    loss = cj.losses.cross_entropy(smoothing=0.1)
    return cj.graph(y, name="dropping", losses={"y": loss})


PLACES = [
    "d.rate",
    "y.temperature",
    "y.loss.smoothing",
    "y.loss.weight",
    "y.from.d.backward.factor",
]


def arguments(net, size=5):
    shapes, state = jax.eval_shape(net.init, jax.random.key(0))
    assert not jax.tree.leaves(state)
    inputs = draw((size, 6), 1)
    return draw_like(shapes), state, {"x": inputs, "y": np.arange(size) % 4}


def members(count=2):
    generator = np.random.default_rng(0)
    return {
        "d.rate": np.asarray(generator.uniform(0.1, 0.8, count)),
        "y.temperature": np.asarray(generator.uniform(0.5, 2, count)),
        "y.loss.smoothing": np.asarray(generator.uniform(0, 0.4, count)),
        "y.loss.weight": np.asarray(generator.uniform(0.5, 2, count)),
        "y.from.d.backward.factor": np.asarray(generator.uniform(0.5, 2, count)),
    }


@pytest.mark.parametrize("backward", [None, "autodiff"])
def test_members_of_a_vmap_have_their_own(dropping, backward):
    """vmap of grad and grad of vmap equal a loop over networks that declare them."""
    places = PLACES[:4] if backward else PLACES  # autodiff knows no rules
    net = cj.compile(dropping, traced=places, backward=backward)
    params, state, batch = arguments(net)
    key, given = jax.random.key(7), {name: members()[name] for name in places}

    def loss(params, settings):
        return net.loss(params, state, batch, key=key, settings=settings)[0]

    def total(stacked):
        return jnp.sum(jax.vmap(loss)(stacked, given))

    def alone(number):
        own = {name: float(values[number]) for name, values in members().items()}
        net = cj.compile(with_numbers(own), backward=backward)
        return jax.grad(lambda p: net.loss(p, state, batch, key=key)[0])

    @quick
    def run(params, stacked):
        each = jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, given)
        return each, jax.grad(total)(stacked), [alone(n)(params) for n in range(2)]

    stacked = jax.tree.map(lambda a: np.stack([a] * 2), params)
    each, of_total, expected = run(params, stacked)
    close(of_total, each, 1e-12)
    close(each, jax.tree.map(lambda *parts: np.stack(parts), *expected), 1e-12)


def with_numbers(own):
    x = cj.input("x", (6,))
    h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
    drop = cj.caps.dropout(own["d.rate"])
    d = cj.capsule("d", cj.identity(h), cap=drop, bias=None)
    rule = cj.backward.scale(own["y.from.d.backward.factor"])
    edge = cj.with_backward(cj.matmul(d, 4), rule)
    y = cj.capsule("y", edge, cap=cj.caps.softmax(own["y.temperature"]))
    loss = cj.losses.cross_entropy(
        smoothing=own["y.loss.smoothing"], weight=own["y.loss.weight"]
    )
    return cj.graph(y, losses={"y": loss})


def test_twice_differentiated(dropping):
    """Against finite differences of the gradient; every rule exact."""
    net = cj.compile(dropping, traced=PLACES[:4], backward="exact")
    params, state, batch = arguments(net)
    given = {
        name: values[0] for name, values in members().items() if name in PLACES[:4]
    }
    key, along = jax.random.key(7), draw_like(params, 9)

    def gradient(params):
        def loss(params):
            return net.loss(params, state, batch, key=key, settings=given)[0]

        return jax.grad(loss)(params)

    def sloped(params):
        products = jax.tree.map(jnp.vdot, gradient(params), along)
        return sum(jax.tree.leaves(products))

    close(
        quick(jax.grad(sloped))(params),
        difference(quick(gradient), params, along),
        1e-7,
    )


def test_signals_activations_and_examples_take_them(dropping):
    net = cj.compile(dropping, traced=PLACES)
    params, state, batch = arguments(net)
    own = {name: float(values[1]) for name, values in members().items()}
    other, key = cj.compile(with_numbers(own)), jax.random.key(2)
    inputs = {"x": batch["x"]}
    pairs = [
        (net.deltas, (batch,), {"key": key}),
        (net.deltas, (batch,), {"key": key, "only": ["h"]}),
        (net.activations, (inputs,), {"train": True, "key": key}),
        (net.activations, (inputs,), {"only": ["y"]}),
        (net.examples, (batch,), {}),
        (net.apply, (inputs,), {"train": True, "key": key}),
    ]

    @quick
    def run(params):
        results = []
        for method, given, more in pairs:
            found = method(params, state, *given, settings=own, **more)
            as_declared = getattr(other, method.__name__)
            results.append((found, as_declared(params, state, *given, **more)))
        return results

    for found, expected in run(params):
        close(found, expected, 1e-12)


def test_one_trace_for_all_values(dropping):
    net = cj.compile(dropping, traced=PLACES)
    params, state, batch = arguments(net)
    traces = []

    @jax.jit
    def loss(settings):
        traces.append(1)
        return net.loss(params, state, batch, train=False, settings=settings)[0]

    found = {float(loss({"y.temperature": t})) for t in (0.5, 1.0, 2.0)}
    assert len(traces) == 1 and len(found) == 3


def deep(rate=0.3, copies=6):
    x = cj.input("x", (8,))

    @cj.block
    def layer(x, *, rate):
        h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
        drop = cj.caps.dropout(rate)
        return cj.capsule("out", cj.identity(h), cap=drop, bias=None)

    last = layer("layer", x, rate=rate, repeat=copies)
    y = cj.capsule("y", cj.matmul(last, 3), cap="softmax")
    return cj.graph(y, losses={"y": "cross_entropy"})


@pytest.mark.parametrize("budget", [None, 2560])
def test_one_setting_of_all_copies_stays_in_the_loop(budget):
    """Copies that are given one number are alike: they fold, as declared ones do."""
    compiled = functools.partial(cj.compile, passes=FOLDED, memory_budget=budget)
    rates = {"rate": [f"layer{number}/out.rate" for number in range(1, 7)]}
    net, other = compiled(deep(), traced=rates), compiled(deep(0.6))
    assert net.program.typed.runs and net.settings == {"rate": 0.3}
    params, state = draw_like(jax.eval_shape(net.init, jax.random.key(0)))
    batch, key = {"x": draw((5, 8)), "y": np.arange(5) % 3}, jax.random.key(1)

    @quick
    def gradients(params, rate):
        def gradient(net, **more):
            loss = jax.grad(lambda p: net.loss(p, state, batch, key=key, **more)[0])
            return loss(params)

        return gradient(net, settings={"rate": rate}), gradient(other)

    found, expected = gradients(params, 0.6)
    close(found, expected, 1e-12)


def test_a_setting_of_one_copy_is_left_out_of_the_loop():
    net = cj.compile(deep(), traced=["layer6/out.rate"], passes=FOLDED)
    (run,) = net.program.typed.runs
    assert "layer6/out" not in run.stands_for and "layer5/h" in run.stands_for


def test_types_are_those_of_declared_numbers(dropping):
    """A traced float32 is weak: in halves all stays in halves."""
    net = cj.compile(dropping, traced=PLACES, precision=cj.Precision("bfloat16"))
    params, state = jax.eval_shape(net.init, jax.random.key(0))
    params = jax.tree.map(lambda a: np.ones(a.shape, a.dtype), params)
    batch = {"x": jnp.ones((5, 6), jnp.float32), "y": jnp.arange(5) % 4}
    given = {name: jnp.float32(v[0]) for name, v in members().items()}

    def all_of(settings):
        key = jax.random.key(0)
        gradient = jax.value_and_grad(net.loss, has_aux=True)
        signals = net.deltas(params, state, batch, key=key, settings=settings)
        return gradient(params, state, batch, key=key, settings=settings), signals

    with_given = jax.eval_shape(all_of, given)
    assert with_given == jax.eval_shape(lambda: all_of(None))


def test_they_stand_in_explain_and_pass_for_declared(dropping):
    net = cj.compile(dropping, traced=["d.rate"])
    assert net.settings == {"d.rate": 0.25}
    assert "traced settings: d.rate (declared as 0.25)" in str(cj.explain(net))
    params, state, batch = arguments(net)
    key = jax.random.key(1)
    nets = net, cj.compile(dropping)
    found, expected = quick(
        lambda params: [each.loss(params, state, batch, key=key)[0] for each in nets]
    )(params)
    assert float(found) == float(expected)


def test_initial_scale_is_a_factor_of_drawn_weights():
    x = cj.input("x", (6,))
    h = cj.capsule("h", cj.channel_scale(x), cap="relu")
    edge = cj.with_backward(cj.matmul(h, 4), "kolen_pollack")
    net = cj.compile(cj.graph(cj.capsule("y", edge)))
    one, state = net.init(jax.random.key(0))
    two, state_of_two = net.init(jax.random.key(0), scale=2.0)
    close(two["y"]["W"]["h"], 2 * one["y"]["W"]["h"])
    close(state_of_two["y"]["feedback"]["h"], 2 * state["y"]["feedback"]["h"])
    assert (two["h"]["W"]["x"] == one["h"]["W"]["x"]).all()  # begins as one, not drawn


def refused(dropping, traced, text):
    with pytest.raises(cj.GraphError) as error:
        cj.compile(dropping, traced=traced)
    assert text in str(error.value)


def test_unknown_settings_are_named_with_the_nearest(dropping):
    text = (
        "traced setting 'd.rat'\n"
        "    found:    no setting that is a real number\n"
        "    expected: one of d.rate, y.temperature, y.from.d.backward.factor, "
        "y.loss.weight, y.loss.smoothing\n"
        "    cure:     did you mean 'd.rate'?"
    )
    refused(dropping, ["d.rat"], text)


def test_a_setting_with_two_names_is_refused(dropping):
    text = "traced setting 'd.rate'\n    found:    two names for it, 'a' and 'b'"
    refused(dropping, {"a": ["d.rate"], "b": ["d.rate"]}, text)


def test_settings_that_differ_can_not_be_one(dropping):
    text = "traced settings 'both'\n    found:    declared as 0.25, 1.5"
    refused(dropping, {"both": ["d.rate", "y.temperature"]}, text)


def test_a_text_is_no_list_of_names(dropping):
    with pytest.raises(ValueError, match="found traced='d.rate'; expected names"):
        cj.compile(dropping, traced="d.rate")


def test_inference_programs_hold_their_numbers(dropping):
    params, _ = cj.compile(dropping).init(jax.random.key(0))
    with pytest.raises(ValueError, match="traced settings are given at every call"):
        cj.compile(dropping, mode="inference", params=params, traced=["d.rate"])  # type: ignore


def test_what_is_given_must_be_traced_and_a_number(dropping):
    net = cj.compile(dropping, traced=["d.rate"])
    params, state, batch = arguments(net)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="did you mean 'd.rate'"):
        net.loss(params, state, batch, key=key, settings={"d.rte": 0.1})
    with pytest.raises(ValueError, match=r"found shape \(2,\); expected one number"):
        net.loss(params, state, batch, key=key, settings={"d.rate": jnp.ones(2)})
    plain = cj.compile(dropping)
    with pytest.raises(ValueError, match="expected traced ones, none"):
        plain.loss(params, state, batch, key=key, settings={"d.rate": 0.1})


def test_no_silent_zero_as_derivative_by_a_setting(dropping):
    def slope(net, rate):
        params, state, batch = arguments(net)

        def loss(weight):
            given = {"y.loss.weight": weight}
            return net.loss(params, state, batch, train=False, settings=given)[0]

        return jax.grad(loss)(rate)

    net = cj.compile(dropping, traced=PLACES)
    with pytest.raises(ValueError, match="'y.loss.weight' is differentiated by"):
        slope(net, 2.0)
    by_jax = cj.compile(dropping, traced=PLACES[:4], backward="autodiff")
    params, state, batch = arguments(by_jax)
    loss = by_jax.loss(params, state, batch, train=False)[0]
    close(slope(by_jax, 2.0), loss, 1e-12)
