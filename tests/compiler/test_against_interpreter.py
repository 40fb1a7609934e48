"""Random graphs: the compiled program against the interpreter's plain autodiff.

For each graph the outputs, the loss, the gradients by every parameter and input, and
the error signals must equal those of `cj.compile(graph, backward="autodiff")`.
"""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, run_passes
from capsjax.graph.checks import check
from capsjax.graph.kinds import CAPS, LOSSES, WEIGHTINGS
from tests.compiler.random_graphs import graphs
from tests.helpers_capsjax import (
    both_ways,
    built_in,
    close,
    difference,
    draw,
    draw_like,
    examples,
    inner,
    quick,
    squared_gradient,
)

BATCH = 2


def drawn(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.asarray(draw(shape, seed))


def problem(graph: cj.Graph, seed: int = 0) -> tuple[Any, Any, Any]:
    """Parameters, inputs and targets for a graph, all drawn."""
    net = cj.compile(graph)
    shapes = jax.eval_shape(net.init, jax.random.key(0))[0]
    params = jax.tree.map(lambda x: 0.5 * np.asarray(x), draw_like(shapes, seed))
    inputs = {
        each.name: draw((BATCH, *each.shape), seed + 100 + i)
        for i, each in enumerate(graph.inputs)
    }
    targets = {
        name: 1 / (1 + np.exp(-drawn((BATCH, *net.shapes[name].output), seed + 200)))
        for name, _ in graph.losses
    }
    return params, inputs, targets


def everything(net: cj.Network, targets: Any):
    """`f(params, inputs)`: loss plus a linear function of the outputs, and outputs."""

    def value(arguments: Any):
        params, inputs = arguments
        loss, (outputs, _) = net.loss(params, {}, {**inputs, **targets})
        linear = [
            jnp.vdot(outputs[name], draw(outputs[name].shape, i))
            for i, name in enumerate(net.graph.outputs)
        ]
        return loss + sum(linear), (loss, outputs)

    return value


def gradients(net: cj.Network, targets: Any):
    """`f(params, inputs)`: loss, outputs, all gradients, all error signals."""

    def everything_at(params: Any, inputs: Any):
        value = everything(net, targets)
        found = jax.value_and_grad(value, has_aux=True)((params, inputs))
        return found, net.deltas(params, {}, {**inputs, **targets})

    return everything_at


def features(graph: cj.Graph) -> set[str]:
    """What a graph holds that a compiler can get wrong."""
    found = {f"loss {loss.kind}" for _, loss in graph.losses}
    read = {edge.source for capsule in graph.capsules for edge in capsule.edges}
    found |= {"an output that is read"} if read & set(graph.outputs) else set()
    for noun in ("inputs", "outputs", "losses"):
        found |= {f"several {noun}"} if len(getattr(graph, noun)) > 1 else set()
    for capsule in graph.capsules:
        kinds = {f"weighting {edge.weighting.kind}" for edge in capsule.edges}
        found |= {f"cap {capsule.cap.kind}", f"bias {capsule.bias}", *kinds}
        sources = [edge.source for edge in capsule.edges]
        if len(set(sources)) < len(sources):
            found.add("two edges from one source")
    typed, problems = check(graph)
    assert not problems
    stages = run_passes(typed, observable=False, check=False)
    return found | {f"pass {stage.name}" for stage in stages if stage.notes}


ELSEWHERE = {
    *("cap adaptive_avg_pool", "cap attention", "cap group_norm", "cap layer_norm"),
    *("cap local_response_norm", "cap mask", "cap multiply", "cap rms_norm"),
    *("weighting conv_transpose", "weighting depthwise_conv", "weighting flip"),
    *("weighting upsample", "weighting cut", "weighting embed", "pass batch"),
    "pass fold",
    *("cap equinox", "cap standardize", "cap dropout", "cap spatial_dropout"),
    *("cap drop_path", "cap noise", "cap scaled_tanh", "cap radial_basis"),
    *("cap step", "cap sign", "cap quantize"),
    *("loss huber", "loss sum_squared_error"),
}
"""Not drawn: the suites of records hold these kinds, test_batch_pass the pass."""

EVERYTHING = {
    *(f"loss {kind}" for kind in built_in(LOSSES)),
    *(f"cap {kind}" for kind in built_in(CAPS)),
    *(f"weighting {kind}" for kind in built_in(WEIGHTINGS)),
    *(f"pass {each.name}" for each in PIPELINE),
    *("bias channel", "bias full", "bias None", "two edges from one source"),
    *("an output that is read", "several inputs", "several outputs", "several losses"),
}


def test_the_random_graphs_hold_everything():
    """Enough of them hold every kind, and something to do for every pass."""
    counts: Counter[str] = Counter()

    @settings(max_examples=300, phases=[Phase.generate])
    @given(graphs())
    def count(graph):
        counts.update(features(graph))

    count()
    assert EVERYTHING - ELSEWHERE <= counts.keys()


@examples(7)
@given(graphs())
def test_outputs_gradients_and_error_signals(graph):
    params, inputs, targets = problem(graph)
    exact, plain = (gradients(net, targets) for net in both_ways(graph))
    both = quick(lambda *at: (exact(*at), plain(*at)))
    close(*both(params, inputs))


@examples(1)
@given(graphs())
def test_without_jit(graph):
    params, inputs, targets = problem(graph)
    exact, plain = both_ways(graph)
    found = gradients(exact, targets)(params, inputs)
    close(found, quick(gradients(plain, targets))(params, inputs))
    assert list(found[1]) == [capsule.name for capsule in exact.typed.capsules]


@examples(3)
@given(graphs(kinked=False))
def test_directional_differences(graph):
    net = cj.compile(graph)
    params, inputs, targets = problem(graph)
    at = jax.tree.map(np.asarray, (params, inputs))
    along = jax.tree.map(np.asarray, draw_like(at, 7))
    both = quick(jax.value_and_grad(everything(net, targets), has_aux=True))
    slope = difference(lambda at: float(both(at)[0][0]), at, along)
    gradient = both(at)[1]
    assert inner(gradient, along) == pytest.approx(slope, rel=1e-6, abs=1e-7)


@examples(3)
@given(graphs())
def test_by_parameters_alone(graph):
    """No gradient by the inputs is asked for: another walk than above."""
    params, inputs, targets = problem(graph)
    batch = {**inputs, **targets}

    def gradient(net):
        return jax.value_and_grad(lambda p: net.loss(p, {}, batch)[0])

    exact, plain = map(gradient, both_ways(graph))
    close(*quick(lambda params: (exact(params), plain(params)))(params))


@examples(2)
@given(graphs())
def test_under_vmap_over_parameters(graph):
    members = [problem(graph, seed)[0] for seed in (0, 1)]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *members)
    _, inputs, targets = problem(graph)
    exact, plain = (gradients(net, targets) for net in both_ways(graph))
    of_one = quick(plain)
    looped = [of_one(params, inputs) for params in members]
    expected = jax.tree.map(lambda *parts: np.stack(parts), *looped)
    close(quick(jax.vmap(exact, (0, None)))(stacked, inputs), expected)


@examples(2)
@given(graphs())
def test_twice_differentiated(graph):
    params, inputs, targets = problem(graph)
    exact, plain = (
        quick(jax.grad(squared_gradient(net, {**inputs, **targets})))((params, inputs))
        for net in both_ways(graph)
    )
    close(exact, plain, 1e-9)
