"""The table of capsule functions: one kind or family a file.

A declaration names them (`cap="relu"`) or makes them with settings
(`cap=cj.caps.max_pool((2, 2))`).
"""

from capsjax.caps.activations import Elu as elu
from capsjax.caps.activations import Gelu as gelu
from capsjax.caps.activations import Identity as identity
from capsjax.caps.activations import LeakyRelu as leaky_relu
from capsjax.caps.activations import Relu as relu
from capsjax.caps.activations import Selu as selu
from capsjax.caps.activations import Sigmoid as sigmoid
from capsjax.caps.activations import Silu as silu
from capsjax.caps.activations import Softplus as softplus
from capsjax.caps.activations import Tanh as tanh
from capsjax.caps.base import Cap, register_cap
from capsjax.caps.distributions import LogSoftmax as log_softmax
from capsjax.caps.distributions import Softmax as softmax
from capsjax.caps.pooling import AvgPool as avg_pool
from capsjax.caps.pooling import GlobalAvgPool as global_avg_pool
from capsjax.caps.pooling import MaxPool as max_pool
from capsjax.caps.routing import Route as route
from capsjax.caps.vectors import Length as length
from capsjax.caps.vectors import Squash as squash

__all__ = [
    "Cap",
    "avg_pool",
    "elu",
    "gelu",
    "global_avg_pool",
    "identity",
    "leaky_relu",
    "length",
    "log_softmax",
    "max_pool",
    "register_cap",
    "relu",
    "route",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "squash",
    "tanh",
]
