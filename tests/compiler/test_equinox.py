"""Equinox both ways: its layers as capsule functions, networks as its modules."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.compiler.bound import BoundNetwork
from capsjax.graph import from_document, to_document
from tests.helpers_capsjax import both_ways, close, draw, quick, squared_gradient


class Permutation(eqx.Module):
    """An integer array beside a parameter."""

    order: jax.Array
    scale: jax.Array

    def __call__(self, x):
        return self.scale * x[self.order]


@cj.register_layer("mixer")
def mixer(shape, key):
    return eqx.nn.MLP(shape[0], 2, 5, 1, activation=jnp.tanh, key=key)


@cj.register_layer("dropping")
def dropping(shape, key):
    linear = eqx.nn.Linear(shape[0], 64, key=key)
    return eqx.nn.Sequential([linear, eqx.nn.Dropout(0.5)])


@cj.register_layer("permuting")
def permuting(shape, key):
    order = jax.random.permutation(key, shape[0])
    return Permutation(order, jnp.ones(shape[0]))


TRAINED = eqx.nn.Linear(4, 2, key=jax.random.key(5))


@cj.register_layer("trained")
def trained(shape, key):
    return TRAINED


@cj.register_layer("raising")
def raising(shape, key):
    raise RuntimeError("no luck\nat all")


@cj.register_layer("stateful")
def stateful(shape, key):
    return eqx.nn.BatchNorm(shape[0], "batch", mode="ema")


@cj.register_layer("no_layer")
def no_layer(shape, key):
    return jnp.ones(shape)


@cj.register_layer("of_two")
def of_two(shape, key):
    return eqx.nn.Lambda(lambda x: (x, x))


@cj.register_layer("with_colon")
def with_colon(shape, key):
    class Table(eqx.Module):
        parts: dict

        def __call__(self, x):
            return x * self.parts["a:b"]

    return Table({"a:b": jnp.ones(())})


class Varying(eqx.Module):
    """It gives more in inference than in training."""

    inference: bool = False

    def __call__(self, x):
        return x if self.inference else x[:3]


@cj.register_layer("varying")
def varying(shape, key):
    return Varying()


def graph_with(name, **settings):
    """A matmul before the layer, and one behind it."""
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.matmul(x, 4), cap="tanh")
    cap = cj.caps.equinox(name, **settings)
    h = cj.capsule("h", cj.identity(a), cap=cap, bias=None)
    o = cj.capsule("o", cj.matmul(h, 2))
    return cj.graph(o, name="holding", losses={"o": "mean_squared_error"})


KEY = jax.random.key(3)


@pytest.fixture
def batch():
    return {"x": draw((3, 3)), "o": draw((3, 2), 1)}


@pytest.fixture
def images():
    return draw((6, 5, 5, 2), 3)


# ---- layers of Equinox in a graph


def test_an_mlp_is_the_same_mlp_in_capsules(batch):
    """Values, all gradients, second derivatives; for many members at once."""
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.matmul(x, 4), cap="tanh")
    h1 = cj.capsule("h1", cj.matmul(a, 5), cap="tanh")
    h = cj.capsule("h", cj.matmul(h1, 2))
    o = cj.capsule("o", cj.matmul(h, 2))
    plain = cj.compile(cj.graph(o, losses={"o": "mean_squared_error"}))
    net = cj.compile(graph_with("mixer"))
    init = quick(jax.vmap(lambda key: net.init(key)[0]))
    members = init(jax.random.split(KEY, 2))

    def in_capsules(params):
        own = params["h"]["cap"]
        first, second = (
            {"B": own[f"layers.{i}.bias"], "W": {source: own[f"layers.{i}.weight"].T}}
            for i, source in enumerate(("a", "h1"))
        )
        return {"a": params["a"], "h1": first, "h": second, "o": params["o"]}

    def everything(network, params):
        def loss(params, x):
            return network.loss(params, {}, batch | {"x": x})[0]

        value, first = jax.value_and_grad(loss, (0, 1))(params, batch["x"])
        second = jax.grad(squared_gradient(network, batch))
        return value, first, second((params, {"x": batch["x"]}))

    def ours(params):
        value, (dp, dx), (ddp, ddx) = everything(net, params)
        return value, (in_capsules(dp), dx), (in_capsules(ddp), ddx)

    found = quick(jax.vmap(ours))(members)
    close(found, quick(jax.vmap(lambda p: everything(plain, in_capsules(p))))(members))
    assert not jnp.allclose(found[0][0], found[0][1])


def test_a_layer_that_draws(batch):
    """Dropout: the same derivative as JAX's own, a mask for each example."""
    nets = both_ways(graph_with("dropping", draws=True))
    params, state = quick(nets[0].init)(KEY)
    exact, plain = (
        quick(jax.value_and_grad(net.loss, has_aux=True))(params, state, batch, key=KEY)
        for net in nets
    )
    close(exact, plain)
    inputs = {"x": np.tile(batch["x"][:1], (3, 1))}
    tensors = jax.jit(nets[0].activations, static_argnames="train")
    drawn = np.asarray(tensors(params, state, inputs, train=True, key=KEY)["h"]["Y"])
    zeros = drawn == 0
    assert 0.3 < zeros.mean() < 0.7 and not (zeros[0] == zeros[1]).all()
    kept = np.asarray(tensors(params, state, inputs)["h"]["Y"])
    assert not (kept == 0).any()
    close(drawn, np.where(zeros, 0, 2 * kept))


def test_arrays_of_other_types_are_constant(batch):
    net = cj.compile(graph_with("permuting"))
    params, state = quick(net.init)(jax.random.key(7))
    assert params["h"]["cap"].keys() == {"scale"}
    order = np.asarray(permuting((4,), jax.random.key(0)).order)
    tensors = jax.jit(net.activations)(params, state, {"x": batch["x"]})["h"]
    close(tensors["Y"], np.asarray(tensors["U"])[:, order])


def test_a_layer_made_before_keeps_its_values():
    init = quick(cj.compile(graph_with("trained")).init)
    for seed in (0, 1):
        own = init(jax.random.key(seed))[0]["h"]
        assert own["cap"]["weight"].dtype == jnp.float64
        close(own["cap"], {"weight": TRAINED.weight, "bias": TRAINED.bias})


def test_layers_made_anew_differ_by_seed_and_capsule():
    x = cj.input("x", (4,))
    caps = {"cap": cj.caps.equinox("mixer")}
    a, b = (cj.capsule(name, cj.identity(x), **caps) for name in "ab")
    params = quick(cj.compile(cj.graph(a, b)).init)(KEY)[0]
    first, second = (params[name]["cap"]["layers.0.weight"] for name in "ab")
    assert not jnp.allclose(first, second)


def test_documents_name_the_layer():
    graph = graph_with("dropping", draws=True)
    document = to_document(graph)
    expected = {"kind": "equinox", "layer": "dropping", "draws": True}
    assert document["capsules"][1]["cap"] == expected
    assert from_document(document) == graph


def test_explain_says_that_its_backward_is_jax():
    text = str(cj.explain(graph_with("mixer")))
    says = "backward by JAX, of kinds without a rule of their own:\n  h: equinox(layer="
    assert says in text
    plain = cj.compile(graph_with("mixer"), backward="autodiff")
    assert 'backward by JAX throughout: backward="autodiff"' in str(cj.explain(plain))


REFUSED = {
    "drooping": (
        "layer 'drooping', which is not registered",
        "did you mean 'dropping'?",
    ),
    "zzz": (
        "layer 'zzz', which is not registered",
        "register it before: @cj.register_layer('zzz')",
    ),
    "stateful": (
        "a layer with state of its own (equinox.nn.StateIndex)",
        'for batch normalization, cap="standardize"',
    ),
    "dropping": (
        "in training, RuntimeError: 'Dropout requires a key when running in "
        "non-deterministic mode.'",
        "correct layer 'dropping' or the shape of U; or draws=True, if it needs a key",
    ),
    "raising": (
        f"{__name__}.raising((4,), key) raises RuntimeError: 'no luck'",
        "correct the function, or the shape of U",
    ),
    "no_layer": (
        f"ShapeDtypeStruct from {__name__}.no_layer((4,), key)",
        "correct what the function returns",
    ),
    "of_two": (
        "Y is a tuple",
        "correct what layer 'of_two' returns",
    ),
    "with_colon": (
        "arrays named parts.a:b",
        "rename the keys of the layer's dictionaries",
    ),
    "varying": (
        "Y of shape (3,) in training, (4,) in inference",
        "a layer whose shapes are the same in both",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_do_not_fit(name):
    found, cure = REFUSED[name]
    with pytest.raises(cj.GraphError) as error:
        graph_with(name)
    (problem,) = error.value.problems
    place = f"capsule 'h', capsule function equinox(layer={name})"
    assert (problem.place, problem.found, problem.cure) == (place, found, cure)
    assert problem.path == ("capsules", 1, "cap")


def test_what_can_be_registered():
    with pytest.raises(ValueError, match="'two words': its name must be an identifier"):
        cj.register_layer("two words")
    with pytest.raises(TypeError, match="for a layer made before, lambda shape, key:"):
        cj.register_layer("ready")(TRAINED)  # pyright: ignore
    taken = f"'mixer' is registered already, by {__name__}.mixer; choose another name"
    with pytest.raises(ValueError, match=taken):
        cj.register_layer("mixer")(trained)
    assert cj.register_layer("mixer")(mixer) is mixer


# ---- networks as modules of Equinox


def cnn():
    """It carries statistics, and draws."""
    x = cj.input("x", (5, 5, 2))
    c = cj.capsule("c", cj.conv(x, 3, (3, 3)), cap="standardize", bias=None)
    n = cj.capsule("n", cj.channel_scale(c), cap="relu")
    drop = cj.caps.dropout(0.25)
    d = cj.capsule("d", cj.reshape(n, (-1,)), cap=drop, bias=None)
    y = cj.capsule("y", cj.matmul(d, 4), cap="softmax")
    return cj.graph(y, name="cnn", losses={"y": "cross_entropy"})


CNN = cj.compile(cnn())
CLASSES = jnp.arange(6) % 4
X, Z = cj.input("x", (3,)), cj.input("z", (2,))
PAIR = cj.compile(
    cj.graph(
        cj.capsule("a", cj.matmul(X, 2), cj.identity(Z), cap="tanh"),
        cj.capsule("b", cj.dot(X)),
        name="pair",
    )
)
cnn_init, pair_init = quick(CNN.init), quick(PAIR.init)


class Classifier(eqx.Module):
    """A user's module with a network in it."""

    body: BoundNetwork
    temperature: float

    def loss(self, images, classes, key):
        y, state = self.body.apply(images, key=key)
        likelihoods = jnp.take_along_axis(y, classes[:, None], axis=1)
        return -self.temperature * jnp.mean(jnp.log(likelihoods)), state


def test_training_in_equinox_is_training_by_the_loss(images):
    """With weight decay, which must not reach the running statistics."""
    params, state = cnn_init(KEY)
    model = Classifier(CNN.bind(params, state), 1.0)
    optimizer = optax.adamw(0.01, weight_decay=0.5)
    theirs = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    ours = optimizer.init(params)

    @eqx.filter_jit
    def equinox_step(model, memory, key):
        loss = eqx.filter_value_and_grad(Classifier.loss, has_aux=True)
        (_, state), grads = loss(model, images, CLASSES, key)
        weights = eqx.filter(model, eqx.is_inexact_array)
        updates, memory = optimizer.update(grads, memory, weights)
        model = eqx.apply_updates(model, updates)
        body = model.body.with_state(state)
        updated = eqx.tree_at(lambda model: model.body, model, body)
        return updated, memory, model.body.state

    @jax.jit
    def step(params, state, memory, key):
        loss = jax.grad(CNN.loss, has_aux=True)
        given = {"x": images, "y": CLASSES}
        grads, (_, state) = loss(params, state, given, key=key)
        updates, memory = optimizer.update(grads, memory, params)
        return optax.apply_updates(params, updates), state, memory

    for key in jax.random.split(KEY, 3):
        model, theirs, before = equinox_step(model, theirs, key)
        close(before, state, 1e-8)
        params, state, ours = step(params, state, ours, key)
    close(model.body.params, params, 1e-8)
    close(model.body.state, state, 1e-8)


def test_one_example_or_a_batch(images):
    params, state = pair_init(KEY)
    module = PAIR.bind(params, state)
    inputs = {"x": draw((4, 3)), "z": draw((4, 2), 1)}
    one = {name: np.asarray(array)[1] for name, array in inputs.items()}

    @eqx.filter_jit
    def run(module):
        return module(inputs), eqx.filter_vmap(module)(inputs), module(one)

    expected = quick(PAIR.apply)(params, state, inputs)[0]
    whole, mapped, of_one = run(module)
    close((whole, mapped), (expected, expected))
    close(of_one, {name: np.asarray(y)[1] for name, y in expected.items()})


def test_inference_mode_of_what_contains_the_module(images):
    params, state = cnn_init(KEY)
    body = eqx.nn.inference_mode(Classifier(CNN.bind(params, state), 1.0)).body
    y, same = eqx.filter_jit(body.apply)(images)
    close(y, jax.jit(CNN.apply)(params, state, {"x": images})[0]["y"])
    close(same, state, 0)
    close(eqx.filter_jit(body)({"x": images[2]}), y[2])


def test_only_parameters_are_floating_point_leaves():
    params, state = cnn_init(KEY)
    module = CNN.bind(params, state)
    dynamic, static = eqx.partition(module, eqx.is_inexact_array)
    assert jax.tree.structure(jax.tree.leaves(dynamic)) == jax.tree.structure(
        jax.tree.leaves(params)
    )
    assert eqx.tree_equal(eqx.combine(dynamic, static), module)
    state = jax.tree.map(lambda a: a + 0.1, state)
    changed = module.with_state(state)
    close(changed.state, state, 0)
    assert changed.net is CNN and changed.inference is False


def test_modules_are_stored_and_batched(images, tmp_path):
    make = eqx.filter_jit(eqx.filter_vmap(lambda key: CNN.bind(*CNN.init(key))))
    members = eqx.nn.inference_mode(make(jax.random.split(KEY, 2)))
    found = eqx.filter_jit(eqx.filter_vmap(lambda m: m(images)))(members)
    params, state = cnn_init(jax.random.split(KEY, 2)[1])
    close(found[1], jax.jit(CNN.apply)(params, state, {"x": images})[0]["y"])
    file = tmp_path / "members.eqx"
    moved = members.with_state(jax.tree.map(lambda a: a + 1, members.state))
    eqx.tree_serialise_leaves(file, moved)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, members), moved)


def test_calls_that_do_not_fit(images):
    module, pair = CNN.bind(*cnn_init(KEY)), PAIR.bind(*pair_init(KEY))
    x = draw((4, 3))
    shape = r"found shape \(5, 2\); expected \(5, 5, 2\) for one example, or a batch"
    cases = [
        (lambda: module(images, key=KEY), "carries running statistics in 'c', whose"),
        (lambda: module.apply(images[0], key=KEY), "'c'; found one example; expected"),
        (lambda: module.apply(images), "draws in training, in 'd'; found no key"),
        (lambda: module.apply(images[0, 0]), f"'cnn':\n    input 'x': {shape}"),
        (lambda: pair(x), "'pair': found .*; expected its inputs by name, {'x': array"),
        (lambda: pair({"x": x}), "input 'z': missing"),
        (lambda: pair({"x": x, "z": x[0, :2]}), "one example of 'z', but a batch of"),
        (lambda: jax.jit(lambda m: m.apply(images))(module), "equinox.filter_jit and"),
        (lambda: PAIR.bind({}, {}), "parameters do not fit network 'pair'"),
    ]
    for call, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            call()
