"""Known networks as graphs: `cj.zoo.names()`, `cj.zoo.graph("lenet-5")`.

One file a family. A network is a function that declares its graph with the public
functions of capsjax, so each is also an example of how a graph is written.
"""

# The order of these imports is the order of `names()`.
from capsjax.zoo.paper import cnn, figure_12, mlp  # isort: skip
from capsjax.zoo.lenet import lenet_5  # isort: skip
from capsjax.zoo.capsnet import capsnet, capsnet_digits  # isort: skip
from capsjax.zoo.autoencoder import autoencoder  # isort: skip
from capsjax.zoo.reinforcement import (  # isort: skip
    alphago_policy,
    alphago_value,
    alphago_zero,
    dqn,
)
from capsjax.zoo.transformers import gpt_2, vit_b_16  # isort: skip
from capsjax.zoo.registry import graph, names, options_of

__all__ = [
    "alphago_policy",
    "alphago_value",
    "alphago_zero",
    "autoencoder",
    "capsnet",
    "capsnet_digits",
    "cnn",
    "dqn",
    "figure_12",
    "gpt_2",
    "graph",
    "lenet_5",
    "mlp",
    "names",
    "options_of",
    "vit_b_16",
]
