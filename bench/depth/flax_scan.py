"""Flax NNX: a layer's module, made and run over all layers by nnx.vmap and nnx.scan."""

import jax
import jax.numpy as jnp
from flax import nnx

from bench.depth.hand import head
from bench.depth.problems import FEATURES, HEADS, PROBLEMS, values


class MLPLayer(nnx.Module):
    """h <- tanh(h W + b)."""

    def __init__(self, p):
        self.dense = _linear(p["w"], p["b"])

    def __call__(self, h):
        return jnp.tanh(self.dense(h))


class ConvLayer(nnx.Module):
    """h <- relu(h + C2 * relu(C1 * h))."""

    def __init__(self, p):
        self.first, self.second = _conv(p["w1"], p["b1"]), _conv(p["w2"], p["b2"])

    def __call__(self, h):
        return nnx.relu(h + self.second(nnx.relu(self.first(h))))


class TransformerLayer(nnx.Module):
    """Attention and two dense layers, each behind a norm and beside a skip."""

    def __init__(self, p):
        self.norms = nnx.List(_norm(p[name]) for name in ("scale1", "scale2"))
        self.heads = nnx.List(_linear(p[name]) for name in "qkv")
        self.out, self.up, self.down = (_linear(p[name]) for name in ("o", "w1", "w2"))

    def __call__(self, h):
        a = self.norms[0](h)
        q, k, v = (each(a).reshape(*a.shape[:2], HEADS, -1) for each in self.heads)
        h = h + self.out(nnx.dot_product_attention(q, k, v).reshape(h.shape))
        return h + self.down(nnx.gelu(self.up(self.norms[1](h))))


def _linear(w, b=None):
    layer = nnx.Linear(*w.shape, use_bias=b is not None, rngs=nnx.Rngs(0))
    layer.kernel = nnx.Param(w)
    if b is not None:
        layer.bias = nnx.Param(b)
    return layer


def _conv(w, b):
    *window, channels, features = w.shape
    layer = nnx.Conv(channels, features, window, rngs=nnx.Rngs(0))
    layer.kernel, layer.bias = nnx.Param(w), nnx.Param(b)
    return layer


def _norm(scale):
    layer = nnx.LayerNorm(
        FEATURES,
        epsilon=1e-5,
        use_bias=False,
        use_fast_variance=False,
        rngs=nnx.Rngs(0),
    )
    layer.scale = nnx.Param(scale)
    return layer


LAYERS = {"mlp": MLPLayer, "conv": ConvLayer, "transformer": TransformerLayer}


def build(name: str, depth: int):
    """The loss, `loss(params, batch)`, and the parameters."""
    layers, last = values(name, depth)
    stacked = {
        k: jnp.stack([jnp.asarray(p[k]) for p in layers]) for k in PROBLEMS[name].layer
    }
    model = nnx.vmap(LAYERS[name])(stacked)
    definition, params = nnx.split(model)

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    def run(h, layer):
        return layer(h)

    def loss(params, batch):
        h, labels = batch
        h = run(h, nnx.merge(definition, params["layers"]))
        return head(h, params["head"], labels)

    own = jax.tree.map(lambda x: jnp.array(x, copy=True), last)
    return loss, {"layers": params, "head": own}
