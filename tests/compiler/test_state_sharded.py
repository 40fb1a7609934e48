"""Batch statistics and masks are those of the whole batch, wherever its parts lie."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("sharded_program.py")


def test_eight_devices_compute_what_one_does():
    flags = (
        "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    )
    root = str(PROGRAM.parents[2])
    result = subprocess.run(
        [sys.executable, str(PROGRAM)],
        env=os.environ
        | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.pop("masks") and found.pop("shards") == 8
    assert 0.2 < found.pop("kept") < 0.8
    assert max(found.values()) < 1e-12, found
