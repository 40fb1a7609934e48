"""Each backward rule against the equations of its publication, in numpy alone.

The reference is a network of dense layers x -> h -> k -> y, written down by hand: U, Y
and error signals of a batch, for a loss of the squared error. It knows neither JAX nor
the library; it is given initial weights and feedback weights, nothing else.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from tests.helpers_capsjax import close, quick

SIZES = {"x": 5, "h": 6, "k": 4, "y": 3}
READS = {"h": "x", "k": "h", "y": "k"}
BATCH = 4


def declared(**more: Any) -> cj.Graph:
    """The network, tanh and sigmoid; settings of its capsules by name."""
    node = cj.input("x", (SIZES["x"],))
    for name, cap in (("h", "tanh"), ("k", "sigmoid"), ("y", "identity")):
        settings = {"cap": cap, **more.get(name, {})}
        node = cj.capsule(name, cj.matmul(node, SIZES[name]), **settings)
    return cj.graph(node, losses={"y": cj.losses.mean_squared_error(weight=0.5)})


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs and targets."""
    normal = np.random.default_rng(seed).normal
    return {"x": normal(size=(BATCH, 5)), "y": normal(size=(BATCH, 3))}


def started(graph: cj.Graph, backward: Any = None, seed: int = 1) -> Any:
    """The network with its parameters, biases among them drawn; and state, by name."""
    given = {} if backward is None else {"backward": backward}
    net = cj.compile(graph, **given)
    params, state = net.init(jax.random.key(seed))
    named = net.named(params)
    for number, own in enumerate(named.values()):
        own["B"] = jnp.asarray(
            np.random.default_rng(number).normal(size=own["B"].shape)
        )
    return net, net.from_named(named), state


def arrays(net: cj.Network, params: Any, state: Any) -> Any:
    """W, b, and the feedback weights by capsule, as numpy's arrays."""
    named = net.named(params)
    w = {name: np.array(named[name]["W"][source]) for name, source in READS.items()}
    b = {name: np.array(named[name]["B"]) for name in READS}
    carried = net.named_state(state)
    feedback = {
        name: {key: np.array(a) for key, a in own["feedback"].items()}
        for name, own in carried.items()
    }
    return w, b, feedback


def learned(net: cj.Network, params: Any, state: Any, given: Any) -> Any:
    """The library's gradients, state after the step, and error signals."""

    @quick
    def everything(params, state, given):
        gradient = jax.grad(net.loss, has_aux=True)
        slopes, (_, new) = gradient(params, state, given)
        return slopes, new, net.deltas(params, state, given)

    return everything(params, state, given)


# ---- the reference


def sigmoid(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))


CAPS: dict[str, Any] = {
    "tanh": (np.tanh, lambda u, y: 1 - y**2),
    "sigmoid": (sigmoid, lambda u, y: y * (1 - y)),
    "relu": (lambda u: np.maximum(u, 0), lambda u, y: (u > 0) * 1.0),
    "identity": (lambda u: u, lambda u, y: np.ones_like(u)),
    "step": (lambda u: (u > 0) * 1.0, lambda u, y: np.zeros_like(u)),
}


def forward(w: Any, b: Any, x: np.ndarray, caps: Any) -> Any:
    """U and Y of every layer."""
    u, y = {}, {"x": x}
    for name, source in READS.items():
        u[name] = y[source] @ w[name] + b[name]
        y[name] = CAPS[caps[name]][0](u[name])
    return u, y


def slope(name: str, u: Any, y: Any, caps: Any) -> np.ndarray:
    """f'(U) of a layer."""
    return CAPS[caps[name]][1](u[name], y[name])


def output_error(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """dL/dY of L = 1/2 mean over examples of the mean over numbers of (Y - T)^2."""
    return (y - target) / y.size


def slopes_of(deltas: Any, y: Any) -> Any:
    """dL/dW and dL/db of every layer: error times what the layer read."""
    return {
        name: {"B": deltas[name].sum(0), "W": {source: y[source].T @ deltas[name]}}
        for name, source in READS.items()
    }


PLAIN = {"h": "tanh", "k": "sigmoid", "y": "identity"}


def backpropagated(w: Any, u: Any, y: Any, t: np.ndarray, caps: Any, back: Any) -> Any:
    """Error signals; `back` are the matrices over which they travel, by reader."""
    deltas = {"y": output_error(y["y"], t) * slope("y", u, y, caps)}
    deltas["k"] = (deltas["y"] @ back["y"].T) * slope("k", u, y, caps)
    deltas["h"] = (deltas["k"] @ back["k"].T) * slope("h", u, y, caps)
    return deltas


def compare(found: Any, net: cj.Network, deltas: Any, y: Any) -> None:
    """Gradients and error signals of the library and of the reference."""
    gradients, _, signals = found
    close(net.named(gradients), slopes_of(deltas, y))
    close(signals, deltas)


# ---- rules with feedback weights


def test_feedback_alignment():
    """Lillicrap et al. 2016: delta_h = (B e) o f'(h), B fixed, random."""
    net, params, state = started(declared(), "feedback_alignment")
    given = batch()
    w, b, feedback = arrays(net, params, state)
    fixed = {"y": feedback["y"]["k"], "k": feedback["k"]["h"]}
    u, y = forward(w, b, given["x"], PLAIN)
    deltas = backpropagated(w, u, y, given["y"], PLAIN, fixed)
    found = learned(net, params, state, given)
    compare(found, net, deltas, y)
    close(found[1], state, 0)  # B is never changed
    # B is drawn as W is, and is another draw.
    for name in ("y", "k"):
        assert fixed[name].shape == w[name].shape
        assert not np.allclose(fixed[name], w[name])


def test_feedback_alignment_learns_as_published():
    """Five steps of gradient descent: B stays, W turns."""
    net, params, state = started(declared(), "feedback_alignment")
    w, b, feedback = arrays(net, params, state)
    fixed = {"y": feedback["y"]["k"], "k": feedback["k"]["h"]}
    step = quick(lambda p, s, batch: cj.algorithm_1(net, p, s, batch, 0.3))
    for number in range(5):
        given = batch(number)
        u, y = forward(w, b, given["x"], PLAIN)
        deltas = backpropagated(w, u, y, given["y"], PLAIN, fixed)
        slopes = slopes_of(deltas, y)
        w = {n: w[n] - 0.3 * slopes[n]["W"][READS[n]] for n in w}
        b = {n: b[n] - 0.3 * slopes[n]["B"] for n in b}
        params, state, _ = step(params, state, given)
    close(arrays(net, params, state)[:2], (w, b))


def test_sign_symmetric():
    """Liao, Leibo & Poggio 2016, uniform sign-concordant feedback: V = c sign(W)."""
    net, params, state = started(declared(), "sign_symmetric")
    given = batch()
    w, b, _ = arrays(net, params, state)
    u, y = forward(w, b, given["x"], PLAIN)
    back = {n: np.sign(w[n]) / np.sqrt(len(w[n])) for n in ("y", "k")}
    deltas = backpropagated(w, u, y, given["y"], PLAIN, back)
    compare(learned(net, params, state, given), net, deltas, y)


def test_direct_feedback_alignment():
    """Nokland 2016: delta_i = (B_i e) o f'(a_i), e the output's error."""
    net, params, state = started(declared(), "direct_feedback_alignment")
    given = batch()
    w, b, feedback = arrays(net, params, state)
    u, y = forward(w, b, given["x"], PLAIN)
    e = output_error(y["y"], given["y"])
    deltas = {"y": e}
    for name in ("k", "h"):
        matrix = feedback[name]["y"]
        assert matrix.shape == (SIZES["y"], SIZES[name])
        deltas[name] = (e @ matrix) * slope(name, u, y, PLAIN)
    found = learned(net, params, state, given)
    compare(found, net, deltas, y)
    close(found[1], state, 0)


@pytest.mark.parametrize("rate, decay", [(0.2, 0.05)])
def test_kolen_pollack(rate, decay):
    """Akrout et al. 2019, Kolen-Pollack network: both matrices updated on their own.

    dW = -eta delta y^T - lambda W,    dB = -eta delta y^T - lambda B
    """
    rule = cj.backward.kolen_pollack(decay)
    net, params, state = started(declared(), rule)
    w, b, feedback = arrays(net, params, state)
    back = {"y": w["y"] + feedback["y"]["k"], "k": w["k"] + feedback["k"]["h"]}
    first = {name: np.abs(back[name] - w[name]).max() for name in back}
    assert min(first.values()) > 0.1
    weights = {name: {"B": False, "W": True} for name in w}
    optimizer = optax.chain(
        optax.add_decayed_weights(decay / rate, weights), optax.sgd(rate)
    )
    opt = optimizer.init(params)

    @quick
    def step(params, state, opt, given):
        slopes, (_, state) = jax.grad(net.loss, has_aux=True)(params, state, given)
        updates, opt = optimizer.update(slopes, opt, params)
        return optax.apply_updates(params, updates), state, opt

    for number in range(6):
        given = batch(number)
        u, y = forward(w, b, given["x"], PLAIN)
        deltas = backpropagated(w, u, y, given["y"], PLAIN, back)
        if number in (0, 5):
            compare(learned(net, params, state, given), net, deltas, y)
        slopes = slopes_of(deltas, y)
        update = {n: -rate * slopes[n]["W"][READS[n]] for n in w}
        w = {n: w[n] + update[n] - decay * w[n] for n in w}
        back = {n: back[n] + update[n] - decay * back[n] for n in back}
        b = {n: b[n] - rate * slopes[n]["B"] for n in b}
        params, state, opt = step(params, state, opt, given)
    found_w, found_b, found = arrays(net, params, state)
    close((found_w, found_b), (w, b))
    close(found_w["y"] + found["y"]["k"], back["y"])
    close(found_w["k"] + found["k"]["h"], back["k"])
    for name in back:
        apart = np.abs(back[name] - w[name]).max()
        assert apart == pytest.approx((1 - decay) ** 6 * first[name], rel=1e-9)


# ---- rules on functions


def test_straight_through():
    """Bengio, Leonard & Courville 2013: dL/da = dL/dh for h = 1 (a > 0)."""
    caps = {"h": "step", "k": "sigmoid", "y": "identity"}
    more = {"cap": "step", "backward": "straight_through"}
    net, params, state = started(declared(h=more))
    given = batch()
    w, b, _ = arrays(net, params, state)
    u, y = forward(w, b, given["x"], caps)
    assert set(np.unique(y["h"])) == {0, 1}
    deltas = backpropagated(w, u, y, given["y"], caps, w)
    np.testing.assert_array_equal(deltas["h"], 0)  # without the rule
    deltas["h"] = deltas["k"] @ w["k"].T
    compare(learned(net, params, state, given), net, deltas, y)


def test_guided():
    """Springenberg et al. 2015: (f > 0) and (R > 0) let R through."""
    caps = {"h": "relu", "k": "relu", "y": "identity"}
    guided = {"cap": "relu", "backward": "guided"}
    net, params, state = started(declared(h=guided, k=guided))
    given = batch()
    w, b, _ = arrays(net, params, state)
    u, y = forward(w, b, given["x"], caps)
    deltas = {"y": output_error(y["y"], given["y"])}
    held_back = 0
    for name, reader in (("k", "y"), ("h", "k")):
        r = deltas[reader] @ w[reader].T
        deltas[name] = (u[name] > 0) * (r > 0) * r
        held_back += np.sum((u[name] > 0) & (r < 0))
    assert held_back > 0 and np.any(deltas["h"])
    found = learned(net, params, state, given)
    compare(found, net, deltas, y)
    # The picture: dL/dX of guided backpropagation.
    saliency = jax.grad(lambda x: net.loss(params, state, given | {"x": x})[0])
    close(quick(saliency)(jnp.asarray(given["x"])), deltas["h"] @ w["h"].T)


# ---- rules that change what is sent


def sent_over_k_to_y(rule: Any, w: Any, delta: np.ndarray) -> np.ndarray:
    """What the edge from k to y sends back, example by example."""
    sent = delta @ w["y"].T
    if rule.kind == "stop":
        return np.zeros_like(sent)
    if rule.kind == "scale":
        return rule.factor * sent
    for example in sent:
        norm = np.sqrt((example**2).sum())
        example *= min(1.0, rule.norm / norm)
    return sent


@pytest.mark.parametrize(
    "rule",
    [
        cj.backward.stop(),
        cj.backward.scale(0.5),
        cj.backward.scale(-1.0),
        cj.backward.clip(0.1),
    ],
    ids=str,
)
def test_stop_scale_and_clip(rule):
    """Nothing; Ganin & Lempitsky 2015; clipping of Pascanu et al. 2013."""
    net, params, state = started(declared(), {("k", "y"): rule})
    assert not state
    given = batch()
    w, b, _ = arrays(net, params, state)
    u, y = forward(w, b, given["x"], PLAIN)
    exact = backpropagated(w, u, y, given["y"], PLAIN, w)
    sent = sent_over_k_to_y(rule, w, exact["y"])
    if rule.kind == "clip":  # some examples are clipped, and some are not
        norms = np.linalg.norm(exact["y"] @ w["y"].T, axis=1)
        assert norms.min() < rule.norm < norms.max()
    deltas = {"y": exact["y"], "k": sent * slope("k", u, y, PLAIN)}
    deltas["h"] = (deltas["k"] @ w["k"].T) * slope("h", u, y, PLAIN)
    compare(learned(net, params, state, given), net, deltas, y)


def test_noise():
    """Normal numbers are added to the signal in training, others at every key."""
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.matmul(x, 200))
    k = cj.capsule("k", cj.matmul(h, 200))
    y = cj.capsule("y", cj.matmul(k, 1))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    rule = cj.backward.noise(0.25)
    net = cj.compile(graph, backward={"y": rule, ("h", "k"): rule})
    params, state = net.init(jax.random.key(0))
    normal = np.random.default_rng(0).normal
    given = {"x": normal(size=(BATCH, 3)), "y": normal(size=(BATCH, 1))}
    w, _, _ = arrays(net, params, state)

    @quick
    def all_three(params):
        keys = jax.random.split(jax.random.key(7), 2)
        calls: Any = [{"key": keys[0]}, {"key": keys[1]}, {"train": False}]
        return [net.deltas(params, state, given, **more) for more in calls]

    one, other, none = all_three(params)
    for deltas in (one, other, none):
        close(deltas["y"], none["y"], 0)
    close(none["k"], none["y"] @ w["y"].T)
    close(none["h"], none["k"] @ w["k"].T)
    added = []
    for deltas in (one, other):
        added.append(np.array(deltas["k"] - deltas["y"] @ w["y"].T))
        added.append(np.array(deltas["h"] - deltas["k"] @ w["k"].T))
    count = BATCH * 200
    for n in added:
        assert abs(n.mean()) < 4 * 0.25 / np.sqrt(count)
        assert abs(n.std() / 0.25 - 1) < 4 / np.sqrt(2 * count)
        assert abs((n**4).mean() / 0.25**4 - 3) < 4 * np.sqrt(96 / count)
        assert abs((n[0] * n[1]).mean()) < 4 * 0.25**2 / np.sqrt(200)
    for i in range(4):
        for j in range(i):
            assert abs((added[i] * added[j]).mean()) < 4 * 0.25**2 / np.sqrt(count)


def test_local():
    """Nokland & Eidnes 2019: a hidden layer learns by its own loss, and no other."""
    x = cj.input("x", (5,))
    h = cj.capsule("h", cj.matmul(x, 6), cap="tanh", backward="local")
    k = cj.capsule("k", cj.matmul(h, 4), cap="sigmoid")
    y = cj.capsule("y", cj.matmul(k, 3))
    half = cj.losses.mean_squared_error(weight=0.5)
    graph = cj.graph(y, h, losses={"y": half, "h": half})
    net, params, state = started(graph)
    given = batch() | {"h": np.random.default_rng(5).normal(size=(BATCH, 6))}
    w, b, _ = arrays(net, params, state)
    u, y = forward(w, b, given["x"], PLAIN)
    deltas = backpropagated(w, u, y, given["y"], PLAIN, w)
    error = output_error(y["h"], given["h"])
    deltas["h"] = error * slope("h", u, y, PLAIN)
    compare(learned(net, params, state, given), net, deltas, y)
