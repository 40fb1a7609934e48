"""torch on the CPU, eager and compiled: modules, channels last, fused optimizers.

Channels last and fused optimizers are the faster choices of torch here.
"""

import functools
import os
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench.problems import (
    LEARNING_RATES,
    RECONSTRUCTION,
    ROUTING_ITERATIONS,
    SQUASH_EPSILON,
    Problem,
    Values,
)
from bench.problems.deep import NORM_EPSILON, NORM_MOMENTUM

torch.set_num_threads(os.cpu_count() or 1)


def _layer(layer) -> nn.Module:
    if len(layer.weight) == 1:
        return nn.BatchNorm2d(layer.weight[0], NORM_EPSILON, 1 - NORM_MOMENTUM)
    if len(layer.weight) == 2:
        return nn.Linear(*layer.weight)
    kernel, _, channels, features = layer.weight
    return nn.Conv2d(
        channels,
        features,
        kernel,
        layer.stride,
        kernel // 2,
        bias=layer.bias is not None,
    )


def _fill(module, weights):
    """torch keeps a dense weight as [out, in], a kernel as [out, in, y, x]."""
    value = weights["W"]
    if value.ndim > 1:
        value = value.transpose((3, 2, 0, 1) if value.ndim == 4 else (1, 0))
    with torch.no_grad():
        module.weight.copy_(torch.tensor(value))
        if "B" in weights:
            module.bias.copy_(torch.tensor(weights["B"]))
    return module


class Network(nn.Module):
    """The operations of `bench.problems.deep`, and the network made of them."""

    def __init__(self, problem: Problem, values: Values):
        super().__init__()
        self.architecture = problem.architecture
        self.layers = nn.ModuleDict(
            {
                each.name: _fill(_layer(each), values[each.name])
                for each in problem.layers
            }
        )

    def conv(self, name, x, features, kernel, stride=1, bias=False):
        return self.layers[name](x)

    def norm(self, name, x):
        return self.layers[name](x)

    def relu(self, x):
        return F.relu(x)

    def max_pool(self, x):
        return F.max_pool2d(x, 3, 1, 1)

    def average_pool(self, x):
        return F.avg_pool2d(x, 2)

    def concatenate(self, parts):
        return torch.cat(parts, 1)

    def mean(self, x):
        return x.mean((2, 3))

    def dense(self, name, x, features):
        return self.layers[name](x)

    def forward(self, x, labels):
        return F.cross_entropy(self.architecture(self, x), labels)


def _squash(s):
    square = s.square().sum(-1, keepdim=True)
    return s * square / ((1 + square) * (square + SQUASH_EPSILON).sqrt())


def _route(votes):
    """Routing by agreement; votes: [batch, lower, upper, out]."""
    agreement = votes.new_zeros(votes.shape[:3])
    for iteration in range(ROUTING_ITERATIONS):
        coupling = agreement.softmax(2)
        upper = _squash(torch.einsum("blu,bluo->buo", coupling, votes))
        if iteration < ROUTING_ITERATIONS - 1:
            agreement = agreement + torch.einsum("bluo,buo->blu", votes, upper)
    return upper


def _margin_loss(upper, labels):
    length = (upper.square().sum(-1) + SQUASH_EPSILON).sqrt()
    target = F.one_hot(labels, length.shape[-1])
    present = target * F.relu(0.9 - length) ** 2
    absent = 0.5 * (1 - target) * F.relu(length - 0.1) ** 2
    return (present + absent).sum(-1).mean()


class CapsNet(nn.Module):
    """CapsNet, with the decoder if the problem has one."""

    def __init__(self, problem: Problem, values: Values):
        super().__init__()
        self.conv = _fill(nn.Conv2d(1, 256, 9), values["conv"])
        self.primary = _fill(nn.Conv2d(256, 256, 9, 2), values["primary"])
        self.vote = nn.Parameter(torch.tensor(values["digit"]["W"]))
        names = [each.name for each in problem.layers if "decoder" in each.name]
        sizes = (160, 512, 1024, 784)
        self.decoder = nn.ModuleList(
            _fill(nn.Linear(sizes[i], sizes[i + 1]), values[name])
            for i, name in enumerate(names)
        )

    def forward(self, x, labels):
        h = self.primary(F.relu(self.conv(x)))
        # In the shared layout the capsules of one position stand side by side.
        lower = _squash(h.permute(0, 2, 3, 1).reshape(len(x), -1, 8))
        upper = _route(torch.einsum("bli,luoi->bluo", lower, self.vote))
        loss = _margin_loss(upper, labels)
        if not len(self.decoder):
            return loss
        target = F.one_hot(labels, upper.shape[1])[..., None]
        h = (upper * target).flatten(1)
        for layer in self.decoder[:-1]:
            h = F.relu(layer(h))
        found = self.decoder[-1](h).sigmoid()
        squares = (x.flatten(1) - found).square().sum(-1)
        return loss + RECONSTRUCTION * squares.mean()


class TorchProgram:
    """What `bench.models.program.Program` is for JAX."""

    def __init__(self, model: nn.Module, optimizer: str, compiled: bool):
        self.model = model.to(memory_format=torch.channels_last)
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
        self.optimizer = kind(model.parameters(), LEARNING_RATES[optimizer], fused=True)
        self.compiled = compiled
        self.loss = torch.compile(model) if compiled else model

    def put(self, batch):
        x, labels = batch
        x = torch.tensor(x.transpose(0, 3, 1, 2))
        x = x.contiguous(memory_format=torch.channels_last)
        return x, torch.tensor(labels.astype(np.int64))

    def step(self, batch):
        self.optimizer.zero_grad()
        loss = self.loss(*batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def compile(self, batch) -> dict:
        """Runs forward and backward once, which compiles both; eager has nothing to."""
        if not self.compiled:
            return {}
        start = time.perf_counter()
        self.loss(*batch).backward()
        return {"trace_and_compile_s": time.perf_counter() - start}

    def residual_bytes(self, batch) -> int:
        """Bytes of the storages that autograd saves, beyond parameters and batch."""
        tensors = [*self.model.parameters(), *self.model.buffers(), *batch]
        known = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        saved: dict[int, int] = {}

        def save(tensor):
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            loss = self.loss(*batch)  # kept alive: addresses must not be used twice
        total = sum(size for address, size in saved.items() if address not in known)
        del loss
        return total


def _build(problem: Problem, optimizer: str, values: Values, compiled: bool):
    network = Network if problem.architecture else CapsNet
    return TorchProgram(network(problem, values), optimizer, compiled)


eager = functools.partial(_build, compiled=False)
compiled = functools.partial(_build, compiled=True)
