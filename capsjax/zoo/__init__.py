"""Known networks as graphs: `cj.zoo.names()`, `cj.zoo.graph("lenet-5")`.

One file a family. A network is a function that declares its graph with the public
functions of capsjax, so each is also an example of how a graph is written.
"""

# The order of these imports is the order of `names()`.
from capsjax.zoo.paper import cnn, figure_12, mlp  # isort: skip
from capsjax.zoo.lenet import lenet_5, lenet_5_1998  # isort: skip
from capsjax.zoo.alexnet import alexnet, alexnet_original  # isort: skip
from capsjax.zoo.vgg import vgg_11, vgg_13, vgg_16, vgg_19  # isort: skip
from capsjax.zoo.googlenet import googlenet, googlenet_original  # isort: skip
from capsjax.zoo.resnet import (  # isort: skip
    resnet_18,
    resnet_20_cifar,
    resnet_34,
    resnet_50,
    resnet_56_cifar,
    resnet_101,
    resnet_110_cifar,
    resnet_152,
)
from capsjax.zoo.densenet import (  # isort: skip
    densenet_121,
    densenet_169,
    densenet_201,
    densenet_bc_40_12,
    densenet_bc_100_12,
)
from capsjax.zoo.capsnet import capsnet, capsnet_digits  # isort: skip
from capsjax.zoo.autoencoder import autoencoder  # isort: skip
from capsjax.zoo.reinforcement import (  # isort: skip
    alphago_policy,
    alphago_value,
    alphago_zero,
    dqn,
)
from capsjax.zoo.transformers import gpt_2, vit_b_16  # isort: skip
from capsjax.zoo.correspondence import names_in
from capsjax.zoo.overview import Sizes, overview
from capsjax.zoo.registry import graph, names, options_of, source_of

__all__ = [
    "Sizes",
    "alexnet",
    "alexnet_original",
    "alphago_policy",
    "alphago_value",
    "alphago_zero",
    "autoencoder",
    "capsnet",
    "capsnet_digits",
    "cnn",
    "densenet_121",
    "densenet_169",
    "densenet_201",
    "densenet_bc_100_12",
    "densenet_bc_40_12",
    "dqn",
    "figure_12",
    "googlenet",
    "googlenet_original",
    "gpt_2",
    "graph",
    "lenet_5",
    "lenet_5_1998",
    "mlp",
    "names",
    "names_in",
    "options_of",
    "overview",
    "resnet_101",
    "resnet_110_cifar",
    "resnet_152",
    "resnet_18",
    "resnet_20_cifar",
    "resnet_34",
    "resnet_50",
    "resnet_56_cifar",
    "source_of",
    "vgg_11",
    "vgg_13",
    "vgg_16",
    "vgg_19",
    "vit_b_16",
]
