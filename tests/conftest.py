"""What all tests share: 64-bit numbers, hypothesis without chance, own registries."""

import gc
import os

import jax
import pytest
from hypothesis import HealthCheck, settings

from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS

os.environ["CAPSJAX_CACHE"] = "off"  # also of the processes that tests start

# Programs run for milliseconds here, so they are compiled fast, not well: without
# LLVM's dear passes, and without the emitters of fused operations by way of MLIR, which
# take more than half of a compile (a big program 0.9 s in place of 2.4 s).
QUICK = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
)
os.environ["XLA_FLAGS"] = " ".join([*QUICK, os.environ.get("XLA_FLAGS", "")])

# Traces make objects by the million, hardly any of them in cycles: looking for those
# less often takes a tenth less time.
gc.set_threshold(50_000, 20, 50)

settings.register_profile(
    "capsjax",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("capsjax")


@pytest.fixture(scope="module", autouse=True)
def x64():
    """Everything below `tests/` computes in float64; doctests in float32."""
    with jax.enable_x64(True):
        yield


TABLES = (WEIGHTINGS, CAPS, LOSSES, BACKWARDS)
OWN = {table.noun: frozenset(table) for table in TABLES}


@pytest.fixture
def library_kinds(monkeypatch):
    """The library's own kinds alone: doctests and other tests leave kinds behind."""
    for table in TABLES:
        kinds = {kind: table[kind] for kind in table if kind in OWN[table.noun]}
        monkeypatch.setattr(table, "_table", kinds)
        table.version += 1
    yield
    for table in TABLES:
        table.version += 1


@pytest.fixture
def own_kinds(monkeypatch):
    """Kinds registered by a test are gone after it."""
    for table in TABLES:
        monkeypatch.setattr(table, "_table", dict(table._table))
    yield
    for table in TABLES:
        table.version += 1  # what was cached by version knows the test's kinds
