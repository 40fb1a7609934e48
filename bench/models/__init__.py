"""The versions of each network, one module per peer, loaded only when asked for."""

import importlib
import importlib.util
from collections.abc import Callable

from bench.problems import Problem

_SHALLOW = ("mlp", "lenet-5", "capsnet", "deep-mlp")
_DEEP = ("resnet-18", "densenet-bc-40-12", "inception", "capsnet-decoder")

# peer -> module and function in it, the package it needs, the problems it has.
_PEERS = {
    "hand": ("hand.build", "jax", _SHALLOW + _DEEP),
    "hand-scan": ("hand_scan.build", "jax", ("deep-mlp",)),
    "equinox": ("equinox_models.build", "equinox", _SHALLOW),
    "flax": ("flax_models.build", "flax", _SHALLOW + _DEEP),
    "keras": ("keras_models.build", "keras", _DEEP),
    "torch": ("torch_models.eager", "torch", ("capsnet", *_DEEP)),
    "torch-compile": ("torch_models.compiled", "torch", ("capsnet", *_DEEP)),
    "capsjax": ("ours.build", "capsjax", _SHALLOW + _DEEP),
}
PEERS = tuple(_PEERS)


def installed(peer: str) -> bool:
    """Says whether the package that a peer needs is there."""
    return importlib.util.find_spec(_PEERS[peer][1]) is not None


def covers(peer: str, problem: str) -> bool:
    """Says whether a peer has a version of this problem."""
    return problem in _PEERS[peer][2]


def load(peer: str) -> Callable:
    """Imports a peer's module, and with it the framework; returns what builds."""
    module, function = _PEERS[peer][0].split(".")
    return getattr(importlib.import_module(f"bench.models.{module}"), function)


def build(peer: str, problem: Problem, optimizer: str = "adam", seed: int = 0):
    """Builds a peer's `Program` for a problem, from the shared weights."""
    return load(peer)(problem, optimizer, problem.values(seed))
