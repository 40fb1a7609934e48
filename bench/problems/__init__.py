"""What is measured: networks, each with its shapes, its batch and its weights."""

from bench.problems.base import Layer, Problem, Values
from bench.problems.deep import DENSENET, INCEPTION, RESNET
from bench.problems.small import (
    CAPSNET,
    CAPSNET_DECODER,
    DEEP_MLP,
    LENET,
    MLP,
    RECONSTRUCTION,
    ROUTING_ITERATIONS,
    SQUASH_EPSILON,
)

__all__ = [
    "LEARNING_RATES",
    "OPTIMIZERS",
    "PROBLEMS",
    "RECONSTRUCTION",
    "ROUTING_ITERATIONS",
    "SQUASH_EPSILON",
    "Layer",
    "Problem",
    "Values",
]

_ALL = (
    MLP,
    LENET,
    CAPSNET,
    DEEP_MLP,
    RESNET,
    DENSENET,
    INCEPTION,
    CAPSNET_DECODER,
)
PROBLEMS = {problem.name: problem for problem in _ALL}
# They suit all networks; no speed depends on them.
LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
OPTIMIZERS = tuple(LEARNING_RATES)
