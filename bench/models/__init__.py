"""The versions of each network, one module per peer, loaded only when asked for."""

import importlib
import importlib.util

from bench.problems import Problem

# peer -> module, the package it needs, the problems it has (None: all).
_PEERS = {
    "hand": ("bench.models.hand", "jax", None),
    "hand-scan": ("bench.models.hand_scan", "jax", ("deep-mlp",)),
    "equinox": ("bench.models.equinox_models", "equinox", None),
    "flax": ("bench.models.flax_models", "flax", None),
    "capsjax": ("bench.models.ours", "capsjax", None),
}
PEERS = tuple(_PEERS)


def installed(peer: str) -> bool:
    """Says whether the package that a peer needs is there."""
    return importlib.util.find_spec(_PEERS[peer][1]) is not None


def covers(peer: str, problem: str) -> bool:
    """Says whether a peer has a version of this problem."""
    only = _PEERS[peer][2]
    return only is None or problem in only


def load(peer: str):
    """Imports a peer's module, and with it the framework."""
    return importlib.import_module(_PEERS[peer][0])


def build(peer: str, problem: Problem, optimizer: str = "adam", seed: int = 0):
    """Builds a peer's `Program` for a problem, from the shared weights."""
    import optax  # late: the harness's own process stays light

    # The learning rates suit all four networks; no speed depends on them.
    update = {"adam": optax.adam(1e-3), "sgd": optax.sgd(1e-2)}[optimizer]
    return load(peer).build(problem, update, problem.values(seed))
