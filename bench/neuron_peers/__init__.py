"""The subjects of `bench.neurons`, loaded only when asked for."""

import importlib
import importlib.util

# subject -> module, function that builds it from a problem, package it needs
_PEERS = {
    "capsjax": ("ours", "neurons", "capsjax"),
    "prototype": ("scanned", "prototype", "jax"),
    "scan-autodiff": ("scanned", "autodiff", "jax"),
    "unrolled-levels": ("unrolled", "levels", "jax"),
    "naive": ("unrolled", "naive", "jax"),
    "connex": ("connex_peer", "build", "connex"),
    "torch": ("torch_peer", "build", "torch"),
    "capsjax lifted": ("ours", "lifted", "capsjax"),
    "capsules": ("ours", "capsules", "capsjax"),
}
MLP_PEERS = ("capsules", "capsjax lifted", "capsjax")
PEERS = tuple(peer for peer in _PEERS if peer not in MLP_PEERS or peer == "capsjax")


def installed(peer: str) -> bool:
    """Says whether the package that a subject needs is there."""
    return importlib.util.find_spec(_PEERS[peer][2]) is not None


def load(peer: str):
    """Imports a subject's module, and with it the framework."""
    return importlib.import_module(f"bench.neuron_peers.{_PEERS[peer][0]}")


def build(peer: str, problem):
    """Builds a subject's program for a problem, from the shared weights."""
    return getattr(load(peer), _PEERS[peer][1])(problem)
