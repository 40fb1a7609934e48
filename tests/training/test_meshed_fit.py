"""fit on a mesh does what it does on one device, checkpoints included."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import capsjax as cj
from tests.training import meshed_fit

pytestmark = pytest.mark.processes


def test_eight_devices_train_what_one_does(tmp_path):
    root = str(Path(__file__).parents[2])
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, meshed_fit.__file__, str(tmp_path)],
        env=os.environ
        | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"rows", "both", "saved", "resumed"}
    assert all(gap < 1e-5 for gap in found.values()), found


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="expected sizes whose product"):
        cj.fit(meshed_fit.network(), meshed_fit.examples(), mesh={"data": 3})
