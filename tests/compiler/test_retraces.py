"""Each reason of a trace is named, and nothing is said where there is none."""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj


def step(params, batch, train=True, key=None, *, rate=1.0):
    """A function with every kind of argument."""
    total = params["c1"]["W"]["image"].sum() + batch["image"].sum()
    return total * rate if train else total


PARAMS = {"c1": {"B": np.ones(2), "W": {"image": np.ones((3, 2))}}}
BATCH = {"image": np.ones((4, 3))}
KEY = np.zeros(2, np.uint32)

CHANGES = {
    "shape": (
        lambda f: f(PARAMS, {"image": np.ones((2, 3))}),
        ["batch['image']: float64[4, 3] -> float64[2, 3]"],
    ),
    "type": (
        lambda f: f(PARAMS, {"image": np.ones((4, 3), np.float32)}),
        ["batch['image']: float64[4, 3] -> float32[4, 3]"],
    ),
    "parameter": (
        lambda f: f({"c1": PARAMS["c1"] | {"B": np.ones(5)}}, BATCH),
        ["params['c1']['B']: float64[2] -> float64[5]"],
    ),
    "structure": (
        lambda f: f(PARAMS | {"c2": np.ones(1)}, {"images": BATCH["image"]} | BATCH),
        [
            "params['c2']: nothing -> float64[1]",
            "batch['images']: nothing -> float64[4, 3]",
        ],
    ),
    "static": (lambda f: f(PARAMS, BATCH, train=False), ["train: nothing -> False"]),
    "key": (lambda f: f(PARAMS, BATCH, key=KEY), ["key: nothing -> uint32[2]"]),
    "number": (
        lambda f: f(PARAMS, BATCH, rate=2.0),
        ["rate: nothing -> float64[] (a Python number)"],
    ),
    "none": (
        lambda f: f(PARAMS, BATCH, key=None),
        ["key, given: nothing -> by name"],
    ),
    "way": (
        lambda f: f(PARAMS, batch=BATCH),
        ["batch, given: by position -> by name"],
    ),
}


@pytest.mark.parametrize(("call", "lines"), CHANGES.values(), ids=CHANGES)
def test_each_reason_is_named(call, lines, caplog):
    explained = cj.explain_retraces(step, static_argnames="train")
    for _ in range(2):
        explained(PARAMS, BATCH)
    assert explained.retraces == []
    with caplog.at_level(logging.WARNING, "capsjax"):
        call(explained)
        call(explained)
    expected = "\n    ".join(["step was traced again (trace 2):", *lines])
    expected = expected.replace("-> False", "-> False (static)")
    assert explained.retraces == [expected]
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_static_by_number_and_the_nearest_call():
    explained = cj.explain_retraces(lambda x, n: x * n, static_argnums=1)
    explained(np.ones(2), 1)
    explained(np.ones(3), 2)
    explained(np.ones(3), 3)
    assert [text.splitlines()[1:] for text in explained.retraces] == [
        ["    x: float64[2] -> float64[3]", "    n: 1 (static) -> 2 (static)"],
        ["    n: 2 (static) -> 3 (static)"],
    ]


def test_an_object_that_looks_alike():
    class Net:
        def __repr__(self):
            return "Net"

    explained = cj.explain_retraces(lambda net, x: x, static_argnums=0)
    explained(Net(), 1.0)
    explained(Net(), 1.0)
    (text,) = explained.retraces
    assert text.endswith("\n    net: Net (static) -> another that looks alike")


def test_a_setting_of_jax():
    explained = cj.explain_retraces(jnp.dot)
    before = jax.config.values["jax_default_matmul_precision"]
    explained(np.ones(2), np.ones(2))
    try:
        jax.config.update("jax_default_matmul_precision", "highest")
        explained(np.ones(2), np.ones(2))
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    assert explained.retraces[0].endswith(
        f"\n    JAX's setting jax_default_matmul_precision: {before!r} -> 'highest'"
    )


def test_cleared_caches():
    explained = cj.explain_retraces(functools.partial(step, rate=2.0))
    explained(PARAMS, BATCH)
    explained._jitted.clear_cache()  # as jax.clear_caches() does, of this one alone
    explained(PARAMS, BATCH)
    assert "no argument has changed, and no global setting" in explained.retraces[0]
