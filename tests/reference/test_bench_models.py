"""All versions of a benchmark's network compute the same thing.

Equal losses over several steps say more than equal outputs: from the second on they
depend on every gradient.
"""

import functools

import numpy as np
import pytest

from bench import models
from bench.problems import PROBLEMS

STEPS = 3
BATCH = 4
TOLERANCE = 1e-4
REFERENCE = "hand"
COUNTS = {
    "mlp": 669_706,
    "lenet-5": 61_706,
    "capsnet": 6_804_224,
    "capsnet-decoder": 8_215_568,
    "resnet-18": 11_173_962,
    "densenet-bc-40-12": 176_122,
}
DEEP = ("resnet-18", "densenet-bc-40-12", "inception", "capsnet-decoder")
TRIPLES = [
    (problem, peer, optimizer)
    for problem in PROBLEMS
    for peer in models.PEERS
    for optimizer in ("sgd", "adam")
    if peer != REFERENCE and models.covers(peer, problem)
    # What torch compiles is the module beside it, and compiling takes minutes.
    if peer != "torch-compile"
    # Deep networks compile long; the optimizers are the same for all of them.
    if optimizer == "sgd" or problem not in DEEP or problem == "capsnet-decoder"
]


@functools.cache
def losses(peer: str, problem: str, optimizer: str) -> np.ndarray:
    program = models.build(peer, PROBLEMS[problem], optimizer)
    batch = program.put(PROBLEMS[problem].batch(BATCH))
    return np.array([program.step(batch) for _ in range(STEPS)])


@pytest.mark.parametrize(("problem", "peer", "optimizer"), TRIPLES)
def test_losses_agree_with_hand_written_jax(problem, peer, optimizer):
    if not models.installed(peer):
        pytest.skip(f"{peer} is not installed")
    expected = losses(REFERENCE, problem, optimizer)
    found = losses(peer, problem, optimizer)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert len(set(expected)) == STEPS, "the steps change nothing, so they test nothing"


@pytest.mark.parametrize(("problem", "count"), COUNTS.items())
def test_parameter_counts_are_the_published_ones(problem, count):
    assert PROBLEMS[problem].parameter_count == count
