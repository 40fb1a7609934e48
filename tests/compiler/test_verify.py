"""verify: IR corrupted on purpose; verify_rules: kinds that contradict themselves."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import capsjax as cj
from capsjax.compiler.passes import run_passes
from capsjax.compiler.verify import CompilerError, verify
from capsjax.graph import Problem
from capsjax.graph.checks import check
from capsjax.graph.typed import Concatenation, TypedCapsule, TypedGraph
from tests.helpers_capsjax import draw

pytestmark = pytest.mark.usefixtures("own_kinds")


def sound() -> TypedGraph:
    """A typed graph after all passes: two plain capsules and a concatenation."""
    x = cj.input("x", (2, 3))
    a = cj.capsule("a", cj.matmul(x, 4), cj.matmul(x, 4), cap="relu")
    both = cj.capsule("both", cj.place(x), cj.place(a))
    graph = cj.graph(both, losses={"both": "mean_squared_error"})
    return run_passes(check(graph)[0], observable=False, check=True)[-1].typed


def with_capsule(typed: TypedGraph, index: int, **changes: Any) -> TypedGraph:
    """The graph with one capsule changed."""
    capsules = list(typed.capsules)
    capsules[index] = dataclasses.replace(capsules[index], **changes)
    return dataclasses.replace(typed, capsules=tuple(capsules))


def edge_changed(typed: TypedGraph, **changes: Any) -> TypedGraph:
    """The graph with the second edge of capsule a changed."""
    capsule = typed.capsules[0]
    assert isinstance(capsule, TypedCapsule)
    first, second = capsule.terms
    changed = dataclasses.replace(second, **changes)
    return with_capsule(typed, 0, terms=(first, changed))


def concatenation_changed(typed: TypedGraph, change: Any) -> TypedGraph:
    """The graph with the edges of the concatenation changed."""
    capsule = typed.capsules[1]
    assert isinstance(capsule, TypedCapsule)
    (term,) = capsule.terms
    assert isinstance(term, Concatenation)
    changed = Concatenation(tuple(change(term.edges)), term.axis)
    return with_capsule(typed, 1, terms=(changed,))


A = (
    "\n    U (2, 4) = matmul(features=4) on x (2, 3) -> (2, 4); "
    "matmul(features=4) on {} -> (2, 4)\n    Y (2, 4) = relu(U)"
)
BOTH = "\n    U (2, 7) = concatenation of {}\n    Y (2, 7) = identity(U)"
CORRUPTED = {
    "a capsule twice": (
        lambda g: with_capsule(g, 1, name="a"),
        "capsule 'a': stands twice" + BOTH.format("x, a"),
    ),
    "the name of an input": (
        lambda g: with_capsule(g, 0, name="x"),
        "capsule 'x': stands twice" + A.format("x (2, 3)"),
    ),
    "an unknown source": (
        lambda g: edge_changed(g, source="y"),
        "capsule 'a': reads 'y', which does not stand before it" + A.format("y (2, 3)"),
    ),
    "a reader before its source": (
        lambda g: dataclasses.replace(g, capsules=g.capsules[::-1]),
        "capsule 'both': reads 'a', which does not stand before it"
        + BOTH.format("x, a"),
    ),
    "a source of another shape": (
        lambda g: edge_changed(g, source_shape=(2, 9)),
        "capsule 'a': reads 'x' of shape (2, 3) as (2, 9)" + A.format("x (2, 9)"),
    ),
    "a term of another shape": (
        lambda g: edge_changed(g, shape=(2, 9)),
        "capsule 'a': term matmul(features=4) on x (2, 3) -> (2, 9) has not the "
        "shape of U",
    ),
    "two edges of one key": (
        lambda g: edge_changed(g, key="x"),
        "capsule 'a': edge keys ['x', 'x'] are not unique" + A.format("x (2, 3)"),
    ),
    "a concatenation that does not fill U": (
        lambda g: concatenation_changed(g, lambda edges: edges[:1]),
        "capsule 'both': term concatenation of x has not the shape of U"
        + BOTH.format("x"),
    ),
    "a concatenation out of order": (
        lambda g: concatenation_changed(g, reversed),
        "capsule 'both': concatenation of a, x does not follow the order of the slots"
        + BOTH.format("a, x"),
    ),
    "an output that is no capsule": (
        lambda g: dataclasses.replace(g, outputs=("both", "x")),
        "output 'x' is no capsule",
    ),
    "a loss that is on no output": (
        lambda g: dataclasses.replace(g, outputs=("a",)),
        "loss mean_squared_error on 'both', no output",
    ),
}


def test_a_sound_graph_passes():
    verify(sound(), "nothing")


@pytest.mark.parametrize("name", CORRUPTED)
def test_a_corrupted_graph_is_caught(name):
    corrupt, text = CORRUPTED[name]
    with pytest.raises(CompilerError) as caught:
        verify(corrupt(sound()), "some_pass")
    assert str(caught.value).startswith(f"after some_pass: {text}")


def test_verify_runs_after_every_pass(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "capsjax.compiler.passes.verify", lambda typed, after: seen.append(after)
    )
    cj.compile(one(cj.weightings.Identity()))
    assert seen == ["infer", *(each.name for each in cj.passes.PIPELINE)]
    cj.compile(one(cj.weightings.Identity()), check=False)
    assert len(seen) == 1 + len(cj.passes.PIPELINE)


# ---- kinds of one's own


def one(weighting: Any, cap: Any = "identity", loss: Any = None) -> cj.Graph:
    """A graph of one capsule."""
    x = cj.input("x", (2, 3))
    h = cj.capsule("h", cj.edge(x, weighting), cap=cap)
    return cj.graph(h, losses=None if loss is None else {"h": loss})


def compile_error(graph: cj.Graph) -> Problem:
    with pytest.raises(cj.GraphError) as caught:
        cj.compile(graph)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


CURE = (
    "correct the kind: shape rule and forward must agree (shapes are per example; "
    "arrays have a batch axis in front)"
)


@pytest.mark.parametrize(
    "forward, found",
    [
        (lambda self, w, y: y[:, :1], "forward gives shape (1, 3)"),
        (lambda self, w, y: y.sum(), "ShapeDtypeStruct(shape=(), dtype=float32), "),
        (lambda self, w, y: (y, y), "(ShapeDtypeStruct(shape=(3, 2, 3), dtype=flo"),
        (
            lambda self, w, y: y.sum(0, keepdims=True),
            "shape (1, 2, 3) for a batch of 3, which lost the batch axis",
        ),
        (lambda self, w, y: y @ y, "TypeError: dot_general requires contracting dim"),
    ],
)
def test_a_weighting_whose_forward_contradicts_its_shape_rule(forward, found):
    @cj.register_weighting("contradiction")
    class Contradiction(cj.Weighting):
        def contribution_shape(self, shape):
            return shape

    Contradiction.forward = forward
    problem = compile_error(one(Contradiction()))
    assert problem.place == "capsule 'h', edge from 'x' (contradiction)"
    assert problem.found.startswith(found)
    assert problem.expected == "shape (2, 3), says the kind's shape rule"
    assert problem.cure == CURE


def test_a_cap_whose_forward_contradicts_its_shape_rule():
    @cj.register_cap("halving")
    class Halving(cj.Cap):
        def forward(self, u):
            return u[..., ::2]

    problem = compile_error(one(cj.weightings.Identity(), Halving()))
    assert problem.place == "capsule 'h', capsule function halving"
    assert problem.found == "forward gives shape (2, 2)"
    assert cj.compile(one(cj.weightings.Identity(), Halving()), check=False)


class Running(cj.Cap):
    """A sound record of the general form; tests break one rule at a time."""

    def state_shapes(self, shape):
        return {"seen": shape[-1:]}

    def parameter_shapes(self, shape):
        return {"slope": shape[-1:]}

    def run(self, u, context):
        slope = context.params["slope"]
        seen = context.state["seen"] + jnp.sum(u, axis=(0, 1)) * context.train
        return u * slope, {"seen": seen.astype(u.dtype)}, u

    def run_backward(self, residual, u, y, dy, u_shape, context):
        return dy * context.params["slope"], {"slope": jnp.sum(residual * dy, (0, 1))}


def half(run):
    """The same rule, of half of what it gives in inference."""

    def wrong(self, u, context):
        y, new, residual = run(self, u, context)
        return (y if context.train else y[..., :1]), new, residual

    return wrong


BACK = Running.run_backward
BREACHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "too few values": (
        {"run": lambda self, u, context: u},
        "run in training gives shape (3, 2, 3)",
        "three values: Y, the new state, the residual",
    ),
    "two values": (
        {"run": lambda self, u, context: (u, {})},
        "run in training gives 2 values",
        "three values: Y, the new state, the residual",
    ),
    "Y of another shape in inference": (
        {"run": half(Running.run)},
        "run in inference gives shape (2, 1)",
        "shape (2, 3), says the kind's shape rule",
    ),
    "state of another name": (
        {"run": lambda self, u, context: (u, {"sum": u[0, 0]}, u)},
        "run in training gives the new state {'sum': (3,)}",
        "{'seen': (3,)}, says state_shapes",
    ),
    "state left out": (
        {"run": lambda self, u, context: (u, {}, u)},
        "run in training gives the new state {}",
        "{'seen': (3,)}, says state_shapes",
    ),
    "state of another shape": (
        {"run": lambda self, u, context: (u, {"seen": u[0]}, u)},
        "run in training gives the new state {'seen': (2, 3)}",
        "{'seen': (3,)}, says state_shapes",
    ),
    "state of another type": (
        {"run": lambda self, u, context: (u, {"seen": jnp.zeros(3, jnp.bfloat16)}, u)},
        "run in training gives the new state 'seen' of bfloat16",
        "float32, as it is given",
    ),
    "state that is no table": (
        {"run": lambda self, u, context: (u, None, u)},
        "run in training gives the new state None",
        "{'seen': (3,)}, says state_shapes",
    ),
    "a run that fails": (
        {"run": lambda self, u, context: u @ u},
        "run in training fails: TypeError: dot_general requires contracting dimensions "
        "to have the same shape, got (3,) and (2,).",
        "no error",
    ),
    "no backward": (
        {"run_backward": cj.Cap.run_backward},
        "run without run_backward",
        "both",
    ),
    "a backward of one value": (
        {"run_backward": lambda self, *given: given[3]},
        "run_backward in training gives shape (3, 2, 3)",
        "two values: dL/dU, and the gradients of the function's own parameters",
    ),
    "dL/dU of another shape": (
        {"run_backward": lambda self, *given: (given[3][:1], {"slope": given[3][0]})},
        "run_backward in training gives dL/dU of shape (1, 2, 3)",
        "shape (3, 2, 3) for a batch of 3, that of U",
    ),
    "a parameter left out": (
        {"run_backward": lambda self, *given: (given[3], {})},
        "run_backward in training gives gradients of parameters {}",
        "{'slope': (3,)}, says parameter_shapes",
    ),
    "a gradient of another shape": (
        {"run_backward": lambda self, *given: (given[3], {"slope": given[3]})},
        "run_backward in training gives gradients of parameters {'slope': (3, 2, 3)}",
        "{'slope': (3,)}, says parameter_shapes",
    ),
    "initial values of other names": (
        {"initial_state": lambda self, shape, dtype: {"sum": jnp.zeros(3, dtype)}},
        "initial_state gives {'sum': (3,)}",
        "{'seen': (3,)}, says state_shapes",
    ),
    "a parameter of integers": (
        {
            "initial_parameters": lambda self, key, shape, dtype: {
                "slope": jnp.zeros(3, jnp.int32)
            }
        },
        "initial_parameters gives 'slope' of int32",
        "floating point: parameters are differentiated",
    ),
    "a name with a colon": (
        {"parameter_shapes": lambda self, shape: {"a:b": ()}},
        "parameter_shapes names 'a:b'",
        "names that are strings without a colon",
    ),
    "a key that it does not declare": (
        {
            "run": lambda self, u, context: (
                u + jax.random.normal(context.key, u.shape),
                context.state,
                u,
            )
        },
        "run in training fails: TypeError: ",
        "no error",
    ),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_cap_of_the_general_form_that_breaks_its_word(name):
    rules, found, expected = BREACHES[name]
    broken = type("Broken", (Running,), {"__module__": __name__, **rules})
    cj.register_cap("broken")(broken)
    problem = compile_error(one(cj.weightings.Identity(), broken()))
    assert problem.place == "capsule 'h', capsule function broken"
    assert problem.found.startswith(found)
    assert problem.expected == expected
    assert problem.cure
    assert cj.compile(one(cj.weightings.Identity(), broken()), check=False)


def test_a_cap_of_the_general_form_that_keeps_its_word():
    cj.register_cap("running")(Running)
    net = cj.compile(one(cj.weightings.Identity(), Running()))
    params, state = net.init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, state) == {"h": {"seen": (3,)}}
    assert jax.tree.map(jnp.shape, params)["h"]["cap"] == {"slope": (3,)}


def test_forward_alone_is_enough_for_inference():
    """What JAX can't differentiate may still be evaluated."""

    @cj.register_cap("loop")
    class Loop(cj.Cap):
        def forward(self, u):
            return jax.lax.while_loop(lambda a: jnp.any(a > 1), lambda a: a / 2, u)

    net = cj.compile(one(cj.weightings.Identity(), Loop()))
    params, state = net.init(jax.random.key(0))
    y = net.apply(params, state, {"x": 8 * jnp.ones((1, 2, 3))})[0]["h"]
    assert (y == 1).all()


@pytest.mark.parametrize(
    "axes, found",
    [
        (None, "ShapeDtypeStruct(shape=(), dtype=float32), without a batch axis"),
        (-1, "value gives shape (2,) for each example"),
        (0, "shape (2, 3) for a batch of 3, which lost the batch axis"),
    ],
)
def test_a_loss_that_is_not_one_number_for_each_example(axes, found):
    """It would be averaged forward and not backward: a gradient off by a factor."""

    @cj.register_loss("summed")
    class Summed(cj.Loss):
        def value(self, y, t):
            return jnp.sum((y - t) ** 2, axis=axes)

    problem = compile_error(one(cj.weightings.Identity(), loss=Summed()))
    assert problem.place == "loss summed on capsule 'h'"
    assert problem.found == found
    assert problem.expected == "one number for each example: an array of shape [batch]"


def test_a_weight_shape_that_fails_is_a_problem_like_any_other():
    @cj.register_weighting("failing")
    class Failing(cj.Weighting):
        def contribution_shape(self, shape):
            return shape

        def weight_shape(self, shape):
            return (shape[7],)

    with pytest.raises(cj.GraphError, match="IndexError: tuple index out of range"):
        one(Failing())


@pytest.mark.parametrize("table", ["weighting", "cap", "loss"])
def test_a_name_can_be_registered_once(table):
    register = getattr(cj, f"register_{table}")
    base = {"weighting": cj.Weighting, "cap": cj.Cap, "loss": cj.Loss}[table]
    first = type("First", (base,), {"__module__": __name__})
    register("twice")(first)
    register("twice")(first)  # a notebook cell, run again
    second = type("Second", (base,), {"__module__": __name__})
    text = f"'twice' is registered already, by {__name__}.First; choose another name$"
    with pytest.raises(ValueError, match=text):
        register("twice")(second)
    with pytest.raises(ValueError, match="a kind's name must be an identifier, such"):
        register("no name")(second)


# ---- backward rules of one's own


class Wrong(cj.Weighting):
    """`U = Y W`, with gradients of wrong shapes on request."""

    wrong: str

    def contribution_shape(self, shape):
        return shape

    def weight_shape(self, shape):
        return shape[-1:]

    def forward(self, w, y):
        return w * y

    def weight_gradient(self, y, delta, w_shape):
        full = y * delta
        return full if self.wrong == "weight" else full.sum((0, 1))

    def input_gradient(self, w, delta, y_shape):
        return delta[:1] if self.wrong == "input" else w * delta


@pytest.mark.parametrize(
    "wrong, text",
    [
        (
            "weight",
            "capsule 'h', edge from 'x': weight_gradient of wrong(wrong=weight) gives "
            "shape (2, 2, 3); expected (3,)",
        ),
        (
            "input",
            "capsule 'h', edge from 'x': input_gradient of wrong(wrong=input) gives "
            "shape (1, 2, 3); expected (2, 2, 3)",
        ),
    ],
)
def test_gradients_of_a_wrong_shape(wrong, text):
    cj.register_weighting("wrong")(Wrong)
    graph = one(Wrong(wrong), loss="mean_squared_error")
    net = cj.compile(graph)
    params = net.init(jax.random.key(0))[0]
    batch = {"x": draw((2, 2, 3)), "h": draw((2, 2, 3), 1)}
    with pytest.raises(TypeError) as caught:
        jax.grad(lambda x: net.loss(params, {}, batch | {"x": x})[0])(batch["x"])
    assert str(caught.value) == text


def test_a_cap_and_a_loss_with_gradients_of_a_wrong_shape():
    @cj.register_cap("wrong_cap")
    class WrongCap(cj.Cap):
        def forward(self, u):
            return 2 * u

        def backward(self, u, y, dy, u_shape):
            return dy[..., :1]

    @cj.register_loss("wrong_loss")
    class WrongLoss(cj.Loss):
        def value(self, y, t):
            return jnp.sum(y - t, axis=(1, 2))

        def gradient(self, y, t):
            return jnp.ones(3)

    batch = {"x": draw((2, 2, 3)), "h": draw((2, 2, 3), 1)}
    cases = [
        ("relu", WrongLoss(), "output 'h': gradient of wrong_loss gives shape (3,); "),
        (WrongCap(), "mean_squared_error", "capsule 'h': backward of wrong_cap gives "),
    ]
    for cap, loss, text in cases:
        net = cj.compile(one(cj.weightings.Identity(), cap, loss), check=False)
        params = net.init(jax.random.key(0))[0]
        with pytest.raises(TypeError, match="^" + text.replace("(", r"\(")[:40]):
            net.deltas(params, {}, batch)
