"""capsjax for convolutional networks: an architecture declared as a graph."""

import functools

import capsjax as cj
from bench.problems import Problem
from bench.problems.deep import NORM_EPSILON, NORM_MOMENTUM
from capsjax.graph import Incoming


class Sum:
    """The total input of a capsule whose function may still come."""

    def __init__(self, name: str, *edges: Incoming, bias: bool = False):
        self.name = name
        self.edges = edges
        self.bias = bias

    def capsule(self, cap):
        bias = "channel" if self.bias else None
        return cj.capsule(self.name, *self.edges, cap=cap, bias=bias)

    @functools.cached_property
    def node(self):
        return self.capsule("identity")

    def __radd__(self, other):
        """A residual connection: one more edge."""
        edges = *self.edges, cj.identity(_node(other))
        return Sum(self.name, *edges, bias=self.bias)

    def __add__(self, other):
        return other.__radd__(self)


def _node(x):
    return x.node if isinstance(x, Sum) else x


class Operations:
    """The operations of `bench.problems.deep`, which declare capsules.

    A batch norm is two capsules: one standardizes, the next one scales the channels and
    shifts them by its bias. There the nonlinearity stands, too, and there a residual
    connection comes in.
    """

    def __init__(self):
        self.unnamed = 0

    def conv(self, name, x, features, kernel, stride=1, bias=False):
        window, strides, pads = (kernel,) * 2, (stride,) * 2, ((kernel // 2,) * 2,) * 2
        edge = cj.conv(_node(x), features, window, stride=strides, padding=pads)
        return Sum(name, edge, bias=bias)

    def norm(self, name, x):
        cap = cj.caps.standardize(NORM_MOMENTUM, NORM_EPSILON, unbiased=False)
        standard = Sum(f"{name}-standard", cj.identity(_node(x))).capsule(cap)
        return Sum(name, cj.channel_scale(standard), bias=True)

    def relu(self, x):
        return x.capsule("relu")

    def max_pool(self, x):
        return self._pool(x, cj.caps.max_pool((3, 3), (1, 1), "SAME"))

    def average_pool(self, x):
        return self._pool(x, cj.caps.avg_pool((2, 2)))

    def mean(self, x):
        return self._pool(x, "global_avg_pool")

    def concatenate(self, parts):
        return self._without_parameters(*(cj.place(_node(x)) for x in parts)).node

    def dense(self, name, x, features):
        return Sum(name, cj.matmul(x, features), bias=True)

    def _pool(self, x, cap):
        return self._without_parameters(cj.identity(_node(x))).capsule(cap)

    def _without_parameters(self, *edges):
        self.unnamed += 1
        return Sum(f"unnamed-{self.unnamed}", *edges)


def graph(problem: Problem):
    """Declares an architecture; capsules with parameters are named like its layers."""
    assert problem.architecture
    image = cj.input("x", problem.input_shape)
    output = problem.architecture(Operations(), image).capsule("softmax")
    losses = {output.name: "cross_entropy"}
    return cj.graph(output, name=problem.name, losses=losses)
