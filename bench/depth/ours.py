"""capsjax: the graph is declared layer by layer; whether it is folded is a pass."""

import jax
import numpy as np

import capsjax as cj
from bench.depth.problems import CHANNELS, FEATURES, HEADS, PROBLEMS, WIDTH, values

UNFOLDED = tuple(each for each in cj.passes.PIPELINE if each.name != "fold")
FOLDED = (*UNFOLDED, cj.passes.Pass(cj.passes.fold_all, observable=True))


def _mlp(i, h):
    return cj.capsule(f"h{i}", cj.matmul(h, WIDTH), cap="tanh"), {f"h{i}": ("w", "b")}


def _conv(i, h):
    first = cj.conv(h, CHANNELS, (3, 3), padding="SAME")
    a = cj.capsule(f"a{i}", first, cap="relu")
    second = cj.conv(a, CHANNELS, (3, 3), padding="SAME")
    y = cj.capsule(f"h{i}", second, cj.identity(h), cap="relu")
    return y, {f"a{i}": ("w1", "b1"), f"h{i}": ("w2", "b2")}


def _transformer(i, h):
    def capsule(name, *edges, cap="identity"):
        return cj.capsule(f"{name}{i}", *edges, cap=cap, bias=None)

    norm = cj.caps.layer_norm(epsilon=1e-5)
    a = capsule("scaled", cj.channel_scale(capsule("norm", cj.identity(h), cap=norm)))
    shape = (1, *PROBLEMS["transformer"].shape[1:])
    slots = [
        cj.place(
            capsule(f"{n}slot", cj.reshape(capsule(n, cj.matmul(a, FEATURES)), shape)),
            0,
        )
        for n in "qkv"
    ]
    attended = capsule("attended", *slots, cap=cj.caps.attention(HEADS))
    r = capsule("r", cj.matmul(attended, FEATURES), cj.identity(h))
    m = capsule(
        "rescaled", cj.channel_scale(capsule("norm2_", cj.identity(r), cap=norm))
    )
    u = capsule("u", cj.matmul(m, 4 * FEATURES), cap=cj.caps.gelu(approximate=True))
    named = {
        f"scaled{i}": ("scale1",),
        **{f"{n}{i}": (n,) for n in "qkv"},
        f"r{i}": ("o",),
        f"rescaled{i}": ("scale2",),
        f"u{i}": ("w1",),
        f"h{i}": ("w2",),
    }
    return capsule("h", cj.matmul(u, FEATURES), cj.identity(r)), named


LAYERS = {"mlp": _mlp, "conv": _conv, "transformer": _transformer}


def declare(name: str, depth: int):
    """The graph, and by capsule the layer and the keys of its weight and bias."""
    shape = PROBLEMS[name].shape[1:]
    h, owners = cj.input("x", shape), {}
    for i in range(depth):
        h, named = LAYERS[name](i, h)
        owners |= {capsule: (i, keys) for capsule, keys in named.items()}
    if len(shape) > 1:
        rows = int(np.prod(shape[:-1]))
        h = cj.capsule("rows", cj.reshape(h, (rows, 1, shape[-1])), bias=None)
        pool = cj.caps.avg_pool((rows, 1))
        h = cj.capsule("mean", cj.identity(h), cap=pool, bias=None)
        h = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    y = cj.capsule("y", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name=name, losses={"y": "cross_entropy"}), owners


def build(name: str, depth: int, folded: bool):
    """The network and its loss, `loss(params, batch)`, and the parameters."""
    graph, owners = declare(name, depth)
    net = cj.compile(graph, passes=FOLDED if folded else UNFOLDED)

    layers, head = values(name, depth)
    owned = {
        capsule: [layers[i][k] for k in keys] for capsule, (i, keys) in owners.items()
    }
    owned["y"] = [head["w"], head["b"]]

    def fill(shapes, arrays):
        weights = list(shapes.get("W", {}))
        found = {"W": {weights[0]: arrays[0]}}
        return found | ({"B": arrays[1]} if "B" in shapes else {})

    params, state = jax.eval_shape(net.init, jax.random.key(0))
    shapes = jax.eval_shape(net.named, params)
    named = {capsule: fill(shapes[capsule], owned[capsule]) for capsule in shapes}

    def loss(params, batch):
        x, labels = batch
        return net.loss(params, {}, {"x": x, "y": labels})[0]

    return loss, net.from_named(named)
