"""from_torch, from_keras: what their tensors are called and how they lie.

Neither framework is imported: arrays by name are enough.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from capsjax.compiler import Network
from capsjax.pretrained.convert import Convention, convert

Params = dict[str, Any]
State = dict[str, Any]


def _reversed(w: np.ndarray) -> np.ndarray:
    """[out, in, window...] to [window..., in, out]; [out, in] to [in, out]."""
    return w.transpose(*range(2, w.ndim), 1, 0) if w.ndim > 1 else w


def _by_multiplier(w: np.ndarray) -> np.ndarray:
    """[window..., channels, multiplier] to [window..., 1, channels * multiplier]."""
    return w.reshape(*w.shape[:-2], 1, -1)


_TORCH = Convention(
    title="torch",
    separator=".",
    weight={},
    default_weight="weight",
    bias="bias",
    shift="bias",
    state={"mean": "running_mean", "variance": "running_var"},
    layout={
        kind: _reversed
        for kind in ("conv", "depthwise_conv", "conv_transpose", "matmul", "dot")
    },
    features=0,
    channels_first=True,
    counters=("num_batches_tracked",),
)

_KERAS = Convention(
    title="Keras",
    separator="/",
    weight={"channel_scale": "gamma", "embed": "embeddings"},
    default_weight="kernel",
    bias="bias",
    shift="beta",
    state={"mean": "moving_mean", "variance": "moving_variance"},
    layout={"depthwise_conv": _by_multiplier},
    features=-1,
    channels_first=False,
    counters=("seed_generator_state",),
)


def from_torch(
    net: Network, tensors: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> tuple[Params, State]:
    """Takes weights and running statistics from a PyTorch state dict.

    Layouts are changed as the kind of each edge asks: convolutions from
    [out, in, window...] to [window..., in, out], matrices from [out, in] to [in, out].
    Behind a flattened map of channels, which PyTorch flattens channels first, the
    rows of a matrix are brought into our order.

    For networks of the zoo the table of names is at hand, and PyTorch is not needed
    where the weights are in a file of safetensors:

        net = cj.compile(cj.zoo.graph("resnet-50"))
        tensors = safetensors.numpy.load_file("resnet-50.safetensors")
        names = cj.zoo.names_in("torchvision", "resnet-50")
        params, state = cj.from_torch(net, tensors, names)

    Args:
        net: The network.
        tensors: `model.state_dict()`, or what `safetensors` read: arrays by name.
        names: The module there of each capsule: `{"stem": "features.0"}`. A capsule
            that is not listed is looked for by its own name, with dots for slashes.
            The running statistics of a capsule belong to the module of the capsule
            that scales it. Single parameters can be listed, too
            (`"stem:B": "features.0.bias"`), and entries may stand for many:
            `"stage{i}/block{j}/conv{k}": "layer{i}.{j-1}.conv{k}"`. Behind a name,
            `.T` transposes and `[2/3]` takes the second of three parts of the features:
            `"value": "attn.c_attn.T[3/3]"`.

    Returns:
        `(params, state)`, as `net.init` returns them, in JAX's default float.

    Raises:
        ValueError: Something is missing, left over or of another shape; lists all of
            it.
        TypeError: There are no arrays by name.

    Example:
        >>> import capsjax as cj, numpy as np
        >>> x = cj.input("x", (4,))
        >>> net = cj.compile(cj.graph(cj.capsule("digit", cj.matmul(x, 2))))
        >>> tensors = {"fc.weight": np.ones((2, 4)), "fc.bias": np.zeros(2)}
        >>> params, state = from_torch(net, tensors, {"digit": "fc"})
        >>> net.named(params)["digit"]["W"]["x"].shape
        (4, 2)
    """
    tensors = _table(tensors, "tensors", "model.state_dict(), or arrays by name")
    return convert(net, tensors, _names(names), _TORCH)


def from_keras(
    net: Network,
    weights: Mapping[str, Any] | Sequence[Any],
    names: Mapping[str, str] | None = None,
) -> tuple[Params, State]:
    """Takes weights and running statistics from a Keras model.

    Args:
        net: The network.
        weights: `model.weights`, or arrays by path. The name of the model, where all
            paths begin with it, is left out.
        names: The layer there of each capsule, `{"stem": "conv1_conv"}`; more can be
            said as for `from_torch`.

    Returns:
        `(params, state)`, as `net.init` returns them, in JAX's default float.

    Raises:
        ValueError: Something is missing, left over or of another shape; lists all of
            it.
        TypeError: There are no arrays by name.

    Example:
        >>> import capsjax as cj, numpy as np
        >>> x = cj.input("x", (4,))
        >>> net = cj.compile(cj.graph(cj.capsule("digit", cj.matmul(x, 2))))
        >>> weights = {"fc/kernel": np.ones((4, 2)), "fc/bias": np.zeros(2)}
        >>> params, state = from_keras(net, weights, {"digit": "fc"})
        >>> net.named(params)["digit"]["W"]["x"].shape
        (4, 2)
    """
    if isinstance(weights, list | tuple):
        weights = {each.path: each for each in weights}
    weights = _table(weights, "weights", "model.weights, or arrays by path")
    return convert(net, _without_model(weights), _names(names), _KERAS)


def _names(given: Any) -> dict[str, str]:
    cure = 'a table {"stem": "features.0"}, as cj.zoo.names_in makes it'
    return {} if given is None else _table(given, "names", cure)


def _table(given: Any, argument: str, expected: str) -> dict[str, Any]:
    """A mapping without further mappings in it.

    Raises:
        TypeError: It is none; says what is to be given.
    """
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise TypeError(f"{argument}: found a {kind}; expected {expected}")
    for name, each in given.items():
        if isinstance(each, Mapping):
            raise TypeError(
                f"{argument}, {name!r}: found a {type(each).__name__}; expected an "
                f"array; cure: give what is under {name!r} alone"
            )
    return dict(given)


def _without_model(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights without the name that Keras puts before all paths of some models."""
    paths = [path for path in weights if not path.endswith(_KERAS.counters)]
    models = {path.split("/")[0] for path in paths}
    if len(models) > 1 or any(path.count("/") < 2 for path in paths):
        return dict(weights)
    return {path.split("/", 1)[-1]: array for path, array in weights.items()}
