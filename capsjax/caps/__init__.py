"""The table of capsule functions: one kind or family a file.

A declaration names them (`cap="relu"`) or makes them with settings
(`cap=cj.caps.max_pool((2, 2))`).
"""

from capsjax.caps.activations import Elu as elu
from capsjax.caps.activations import Gelu as gelu
from capsjax.caps.activations import Identity as identity
from capsjax.caps.activations import LeakyRelu as leaky_relu
from capsjax.caps.activations import Relu as relu
from capsjax.caps.activations import ScaledTanh as scaled_tanh
from capsjax.caps.activations import Selu as selu
from capsjax.caps.activations import Sigmoid as sigmoid
from capsjax.caps.activations import Silu as silu
from capsjax.caps.activations import Softplus as softplus
from capsjax.caps.activations import Tanh as tanh
from capsjax.caps.adaptive_pooling import AdaptiveAvgPool as adaptive_avg_pool
from capsjax.caps.base import Cap, register_cap
from capsjax.caps.distributions import LogSoftmax as log_softmax
from capsjax.caps.distributions import Softmax as softmax
from capsjax.caps.dot_product_attention import Attention as attention
from capsjax.caps.drawing import Dropout as dropout
from capsjax.caps.drawing import DropPath as drop_path
from capsjax.caps.drawing import Noise as noise
from capsjax.caps.drawing import SpatialDropout as spatial_dropout
from capsjax.caps.equinox_layer import EquinoxLayer as equinox
from capsjax.caps.normalization import GroupNorm as group_norm
from capsjax.caps.normalization import LayerNorm as layer_norm
from capsjax.caps.normalization import RmsNorm as rms_norm
from capsjax.caps.pooling import AvgPool as avg_pool
from capsjax.caps.pooling import GlobalAvgPool as global_avg_pool
from capsjax.caps.pooling import MaxPool as max_pool
from capsjax.caps.quantizing import Quantize as quantize
from capsjax.caps.quantizing import Sign as sign
from capsjax.caps.quantizing import Step as step
from capsjax.caps.radial_basis import RadialBasis as radial_basis
from capsjax.caps.response import LocalResponseNorm as local_response_norm
from capsjax.caps.routing import Route as route
from capsjax.caps.slots import Mask as mask
from capsjax.caps.slots import Multiply as multiply
from capsjax.caps.standardization import Standardize as standardize
from capsjax.caps.vectors import Length as length
from capsjax.caps.vectors import Squash as squash

__all__ = [
    "Cap",
    "adaptive_avg_pool",
    "attention",
    "avg_pool",
    "drop_path",
    "dropout",
    "elu",
    "equinox",
    "gelu",
    "global_avg_pool",
    "group_norm",
    "identity",
    "layer_norm",
    "leaky_relu",
    "length",
    "local_response_norm",
    "log_softmax",
    "mask",
    "max_pool",
    "multiply",
    "register_cap",
    "noise",
    "quantize",
    "radial_basis",
    "relu",
    "rms_norm",
    "route",
    "scaled_tanh",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "softmax",
    "softplus",
    "spatial_dropout",
    "squash",
    "standardize",
    "step",
    "tanh",
]
