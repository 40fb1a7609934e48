"""Hand-written JAX: a Python loop over layers, and `lax.scan` over stacked weights."""

import jax
import jax.numpy as jnp
import numpy as np

from bench.depth.problems import HEADS, PROBLEMS, values


def _mlp(h, p):
    return jnp.tanh(h @ p["w"] + p["b"])


def _convolve(x, w):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)


def _conv(h, p):
    a = jax.nn.relu(_convolve(h, p["w1"]) + p["b1"])
    return jax.nn.relu(h + _convolve(a, p["w2"]) + p["b2"])


def _norm(x, scale):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale


def _transformer(h, p):
    a = _norm(h, p["scale1"])
    q, k, v = (
        (a @ p[name]).reshape(*a.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)
        for name in "qkv"
    )
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    attended = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(h.shape)
    h = h + attended @ p["o"]
    return h + jax.nn.gelu(_norm(h, p["scale2"]) @ p["w1"]) @ p["w2"]


LAYERS = {"mlp": _mlp, "conv": _conv, "transformer": _transformer}


def head(h, p, labels):
    """Mean over positions, 10 classes, cross-entropy."""
    h = h.reshape(h.shape[0], -1, h.shape[-1]).mean(1)
    logits = jax.nn.log_softmax(h @ p["w"] + p["b"])
    return -jnp.take_along_axis(logits, labels[:, None], 1).mean()


def build(name: str, depth: int, scan: bool):
    """The loss, `loss(params, batch)`, and the parameters."""
    layer = LAYERS[name]
    layers, last = values(name, depth)
    if scan:
        layers = {k: np.stack([p[k] for p in layers]) for k in PROBLEMS[name].layer}

    def loss(params, batch):
        h, labels = batch
        if scan:
            h, _ = jax.lax.scan(lambda h, p: (layer(h, p), None), h, params["layers"])
        else:
            for p in params["layers"]:
                h = layer(h, p)
        return head(h, params["head"], labels)

    # A copy, because numpy's own memory cannot be donated.
    own = jax.tree.map(
        lambda x: jnp.array(x, copy=True), {"layers": layers, "head": last}
    )
    return loss, own
