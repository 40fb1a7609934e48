"""Members are spread over local devices, each with lanes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PROGRAM = Path(__file__).with_name("sharded_sweep.py")


def test_eight_devices_train_what_one_does():
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
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.pop("apart") < 1e-12
    # One program each: of one lane on each device, and of three for 24 members.
    assert found == {"loop": [1, 1], "vmap": [3, 1], "neurons": 12, "devices": [8]}
