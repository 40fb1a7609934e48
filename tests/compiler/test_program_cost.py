"""What a compiled program costs: traces, residuals, work that nobody asked for."""

import math
import re
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler.plan import residual_bytes
from tests.helpers_capsjax import both_ways, close, draw, draw_like, inner, quick


def chain(**settings):
    """A convolution, pooling, two matrix products; a second head without a loss."""
    image = cj.input("image", (6, 6, 2))
    c1 = cj.capsule("c1", cj.conv(image, 3, (3, 3)), cap="relu")
    s2 = cj.capsule("s2", cj.identity(c1), cap=cj.caps.avg_pool((2, 2)), bias=None)
    flat = cj.capsule("flat", cj.reshape(s2, (-1,)), bias=None)
    f3 = cj.capsule("f3", cj.matmul(flat, 5), cap="tanh")
    head = cj.capsule("head", cj.matmul(f3, 4), cap="softmax")
    other = cj.capsule("other", cj.matmul(f3, 7), cap="sigmoid")
    losses = {"head": "cross_entropy"}
    return cj.graph(head, other, **{"losses": losses, **settings})


def problem(net, size=3):
    """Parameters and a batch."""
    batch = {"image": draw((size, 6, 6, 2)), "head": jnp.arange(size) % 4}
    shapes = jax.eval_shape(net.init, jax.random.key(0))[0]
    small = jax.tree.map(lambda a: jnp.asarray(np.asarray(a) / 3), draw_like(shapes))
    return small, batch


def gradient(net):
    """`f(params, batch)`, the gradient of the loss alone."""
    return jax.grad(lambda params, batch: net.loss(params, {}, batch)[0])


def primitives(jaxpr) -> Counter[str]:
    """How often each primitive stands in a program, inner ones included."""
    text = re.sub(r"name=\S+", "", str(jaxpr))
    names = ("dot_general", "conv_general_dilated", "logistic", "tanh")
    return Counter({n: len(re.findall(rf"\b{n}\[|\b{n} ", text)) for n in names})


def test_one_trace_per_shape():
    net = cj.compile(chain())
    params, batch = problem(net)
    traces = []

    @jax.jit
    def step(params, batch):
        traces.append(jax.tree.leaves(batch)[0].shape)
        return gradient(net)(params, batch)

    for _ in range(3):
        params = step(params, batch)
    assert len(traces) == 1
    step(params, problem(net, 2)[1])
    step(params, batch)
    assert len(traces) == 2


def test_two_networks_of_one_graph_share_nothing_hidden():
    """Equal graphs give equal programs, whatever ran before."""
    first, second = cj.compile(chain()), cj.compile(chain())
    given = problem(first)
    one, other = (jax.jit(gradient(net)).lower(*given) for net in (first, second))
    assert one.as_text() == other.as_text()


def test_a_step_is_one_computation_without_callbacks():
    net = cj.compile(chain())
    lowered = jax.jit(jax.value_and_grad(
        lambda params, batch: net.loss(params, {}, batch)[0]
    )).lower(*problem(net))  # fmt: skip
    text = lowered.as_text()
    assert text.count("func.func public") == 1
    for word in ("callback", "infeed", "outfeed", "host_compute", "send", "recv"):
        assert not re.search(rf"\b\w*{word}\w*\b", text), word
    assert str(lowered.compile().as_text()).count("ENTRY") == 1


def test_outputs_beside_the_loss_cost_nothing():
    """The head without a loss is not walked back through, nor fed with zeros."""
    net, alone = cj.compile(chain()), cj.compile(_head_alone())
    params, batch = problem(net)
    found = jax.make_jaxpr(gradient(net))(params, batch)
    named = net.named(params)
    own = alone.from_named({name: named[name] for name in named if name != "other"})
    expected = jax.make_jaxpr(gradient(alone))(own, batch)
    both, one = primitives(found), primitives(expected)
    assert both["dot_general"] == one["dot_general"]  # its forward is the head's, too
    assert both["conv_general_dilated"] == one["conv_general_dilated"]
    assert one["dot_general"] > 0


def _head_alone():
    graph = chain()
    names = [c for c in graph.capsules if c.name != "other"]
    return cj.Graph(graph.name, graph.inputs, tuple(names), ("head",), graph.losses)


def test_the_loss_beside_outputs_costs_nothing():
    net = cj.compile(chain())
    params, batch = problem(net)

    def through_outputs(params, batch):
        _, (outputs, _) = net.loss(params, {}, batch)
        return jnp.sum(outputs["other"] ** 2)

    def without_loss(params, batch):
        inputs = {"image": batch["image"]}
        return jnp.sum(net.apply(params, {}, inputs)[0]["other"] ** 2)

    found = jax.make_jaxpr(jax.grad(through_outputs))(params, batch)
    expected = jax.make_jaxpr(jax.grad(without_loss))(params, batch)
    assert primitives(found)["dot_general"] == primitives(expected)["dot_general"]
    slopes = [jax.grad(f) for f in (through_outputs, without_loss)]
    close(*quick(lambda *given: [slope(*given) for slope in slopes])(params, batch))


def test_gradients_by_the_inputs_only_when_asked_for():
    """The first capsule's error need not reach the image."""
    net = cj.compile(chain())
    params, batch = problem(net)
    inputs = {"image": batch["image"]}

    def loss(params, inputs):
        return net.loss(params, {}, {**inputs, "head": batch["head"]})[0]

    few = len(jax.make_jaxpr(jax.grad(loss))(params, inputs).eqns)
    many = len(jax.make_jaxpr(jax.grad(loss, (0, 1)))(params, inputs).eqns)
    assert few < many


def test_what_is_kept_is_what_the_plan_says():
    """Bytes of the custom VJP's residuals, counted once each; inputs of the call
    (parameters, images, targets) are not kept by it but by the caller."""
    net = cj.compile(chain())
    params, batch = problem(net)
    planned = residual_bytes(net.program.typed, net.program.plan, item_size=8)
    inputs = {"image": batch["image"]}
    residuals: Any = net.program.forward(params, {}, inputs, None)[1]
    kept = residuals[0]
    assert sum(x.nbytes for x in kept.values()) == 3 * sum(planned.values())
    pull = jax.vjp(lambda p: net.loss(p, {}, batch)[0], params)[1]
    given = {id(x) for x in jax.tree.leaves((params, batch))}
    held = {id(x): x for x in jax.tree.leaves(pull) if id(x) not in given}
    targets = 3 * 4 * 8  # one-hot
    budget = 3 * sum(planned.values()) + targets
    assert sum(x.nbytes for x in held.values() if x.ndim > 1) <= budget


def test_the_plan_by_hand():
    """relu keeps Y (and s2 needs neither), flat's Y for f3's weight, and so on."""
    net = cj.compile(chain())
    planned = residual_bytes(net.program.typed, net.program.plan)
    numbers = {"image": 72, "c1": 48, "flat": 12, "f3": 5, "head": 8, "other": 7}
    assert planned == {name: 4 * count for name, count in numbers.items()}


def test_aliases_are_kept_once():
    x = cj.input("x", (4,))
    a = cj.capsule("a", cj.matmul(x, 4), bias=None)  # Y is U
    b = cj.capsule("b", cj.identity(a), cap="silu", bias=None)  # U is a's Y
    c = cj.capsule("c", cj.matmul(a, 3), cj.matmul(b, 3))
    net = cj.compile(cj.graph(c, losses={"c": "mean_squared_error"}))
    planned = residual_bytes(net.program.typed, net.program.plan)
    assert planned == {"x": 16, "a": 16, "b": 16, "c": 12}


def test_forward_mode_says_how():
    exact, plain = both_ways(chain())
    params, batch = problem(exact)

    def push(net):
        return jax.jvp(lambda p: net.loss(p, {}, batch)[0], (params,), (params,))[1]

    text = re.escape('cj.compile(graph, backward="autodiff")')
    with pytest.raises(TypeError, match=f"custom_vjp(?s:.*){text}"):
        push(exact)
    found, slopes = quick(lambda: (push(plain), gradient(exact)(params, batch)))()
    close(found, inner(slopes, params))


def test_hessian_of_both():
    x = cj.input("x", (2,))
    h = cj.capsule("h", cj.matmul(x, 2), cap="tanh")
    nets = both_ways(cj.graph(h, losses={"h": "mean_squared_error"}))
    params = nets[0].init(jax.random.key(0))[0]
    batch = {"x": draw((3, 2)), "h": draw((3, 2), 1)}
    hessians = [jax.hessian(lambda p, n=n: n.loss(p, {}, batch)[0]) for n in nets]
    close(*quick(lambda p: [hessian(p) for hessian in hessians])(params))


def test_half_precision_keeps_its_type():
    """bfloat16 parameters and inputs: gradients of their types, near the others."""
    net = cj.compile(chain())
    params, batch = problem(net)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), params)
    image = batch["image"].astype(jnp.bfloat16)
    given = (half, {**batch, "image": image}), (params, batch)
    found, expected = quick(lambda *both: [gradient(net)(*each) for each in both])(
        *given
    )
    assert {a.dtype for a in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        scale = math.sqrt(float(np.mean(np.square(b))))
        np.testing.assert_allclose(a.astype(float), b, atol=0.2 * scale + 1e-2)
