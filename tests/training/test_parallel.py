"""Many devices and processes train what one does, and hold a part of it each."""

import contextlib
import json
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

import capsjax as cj
from capsjax.compiler.axes import leaves
from capsjax.training.parallel import Placement, distributed
from tests.training.sharded_training import FOLDED

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parent


def environment(devices: int, **more: str) -> dict[str, str]:
    """That of a child with so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "JAX_"))}
    return kept | {
        "XLA_FLAGS": flags + " --xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(FOLDER.parents[1]),
        **more,
    }


IN_64 = {
    **{"residual": ["8", "1,8"], "layers divided": ["2,4"], "folded": ["2,4"]},
    **{"neurons": ["4,2"], "lenet-5": ["2,4"], "capsnet-digits": ["4,2"]},
}
IN_32 = {
    **{"mlp": ["4,2", "1,8"], "residual": ["4,2"], "gpt-2": ["1,8"]},
}


@pytest.mark.parametrize(
    ("bits", "most", "asked"), [(64, 1e-12, IN_64), (32, 1e-5, IN_32)]
)
def test_eight_devices_train_what_one_does(bits, most, asked):
    program = [sys.executable, "-W", "error", str(FOLDER / "sharded_training.py")]
    done = subprocess.run(
        [*program, json.dumps(asked)],
        env=environment(8, JAX_ENABLE_X64=str(int(bits == 64))),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == sum(map(len, asked.values()))
    for name, row in found.items():
        assert row["apart"] < most, (name, row)
        assert row.get("deltas", 0.0) < most, (name, row)
        assert row["held"] == row["planned"] == row["donated"], (name, row)
        parts = 1 if name.endswith(" 8") else int(name[-1])
        if name.split()[0] not in ("layers", "neurons", "lenet-5"):
            # All parameters are divided, and what is like them; not state and keys.
            assert row["held"] < row["whole"] / parts + 600, (name, row)


@contextlib.contextmanager
def free_port():
    """A port that nobody else is given; a coordinator can be bound to it, too."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def together(
    environments: list[dict[str, str]], *arguments: str, seconds: int = 240
) -> list[str]:
    """What processes print that run side by side; all are ended at the end."""
    command = [sys.executable, str(FOLDER / "several_processes.py"), *arguments]
    children = [
        subprocess.Popen(
            command,
            env=each,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in environments
    ]
    try:
        texts = [child.communicate(timeout=seconds) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    for child, (_, errors) in zip(children, texts, strict=True):
        assert child.returncode == 0, errors
    return [text for text, _ in texts]


def by_variables(port: int, count: int, index: int) -> dict[str, str]:
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(index),
    }


def by_slurm(port: int, count: int, index: int) -> dict[str, str]:
    """What `srun` says to a task on one machine."""
    return {
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "JAX_COORDINATOR_PORT": str(port),
    }


@pytest.mark.parametrize(("count", "said"), [(2, by_variables), (4, by_slurm)])
def test_several_processes_train_what_one_does(count, said):
    with free_port() as port:
        given = [said(port, count, i) for i in range(count)]
        texts = together([environment(8 // count, **each) for each in given], "train")
    # Gloo writes into the standard output, too.
    found = [json.loads(text.splitlines()[-1]) for text in texts]
    assert [each["process"] for each in found] == [[i, count] for i in range(count)]
    assert found[0]["apart"] < 1e-5
    assert len({each["digest"] for each in found}) == 1
    for each in found:
        assert each["spread"] == [8] and each["again"] == 0
        assert each["rows"] == 16 // count


def test_nothing_says_who_takes_part():
    (text,) = together([environment(1)], "join", "60")
    assert re.match(
        r"ValueError: found nothing that says which processes train together .*; "
        r"expected a cluster that JAX knows \(SLURM by srun, .* cure: start with one "
        "of these, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID",
        text,
    )


def test_who_does_not_come_in_time():
    with free_port() as port, free_port() as nobody:
        given = by_variables(port, 2, 0), by_variables(nobody, 2, 1)
        texts = together([environment(1, **each) for each in given], "join", "2")
    assert texts[0].startswith(
        f"TimeoutError: process 0 waited 2 s for all 2 processes at 127.0.0.1:{port}: "
        "found that not all have come; expected each with its own JAX_PROCESS_ID; "
    )
    assert texts[1].startswith(
        "TimeoutError: process 1 waited 2 s for all 2 processes at "
        f"127.0.0.1:{nobody}: found no coordinator there; expected process 0 on that "
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES: found 'two'; expected"),
        ({"JAX_PROCESS_ID": "-1"}, "found '-1'; expected a whole number from 0"),
        (
            {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
            "JAX_PROCESS_ID: found 2 with JAX_NUM_PROCESSES=2; expected 0 to 1",
        ),
        (
            {"JAX_COORDINATOR_ADDRESS": "node1"},
            "JAX_COORDINATOR_ADDRESS: found 'node1'; expected host:port of process 0",
        ),
    ],
)
def test_variables_that_say_nothing(monkeypatch, given, message):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        distributed()


def test_jax_is_in_use_already():
    jax.devices()
    with pytest.raises(
        RuntimeError, match="found JAX in use already; .* call it first"
    ):
        distributed()


def net_of(*, width: int = 6, layers: int = 2) -> Any:
    h = cj.input("x", (4,))
    for i in range(layers):
        h = cj.capsule(f"h{i}", cj.matmul(h, width), cap="tanh")
    graph = cj.graph(cj.capsule("y", cj.matmul(h, 3)), name="small")
    return cj.compile(graph, passes=FOLDED) if layers > 2 else cj.compile(graph)


def abstract(**sizes: int) -> Mesh:
    """A mesh as large as is asked for, of the one device there is: for messages."""
    devices = np.array(jax.devices()[:1] * math.prod(sizes.values()))
    return Mesh(devices.reshape(*sizes.values()), tuple(sizes))


def specs(net: Any, rules: Any, **sizes: int) -> dict[str, tuple[Any, ...]]:
    placement = Placement.of(net, abstract(**sizes), rules)
    return {":".join(name): tuple(spec) for name, spec in placement.specs.items()}


def test_axes_of_folded_and_merged_weights():
    x = cj.input("x", (4,))
    a, b = (cj.capsule(n, cj.matmul(x, size)) for n, size in (("a", 3), ("b", 5)))
    net = cj.compile(cj.graph(a, b))
    found = leaves(net.program.typed)
    merged = found["a", "W", "x+1"]
    assert merged.axes == ("in", "out") and merged.shape == (4, 8)
    assert merged.names == (("a", "W", "x"), ("b", "W", "x"))
    run = leaves(net_of(width=4, layers=40).program.typed)
    stacks = [leaf for leaf in run.values() if leaf.stacked]
    assert {leaf.axes for leaf in stacks} == {
        ("layers", "out"),
        ("layers", "in", "out"),
    }
    assert all(len(leaf.names) == leaf.shape[0] for leaf in stacks)


def test_rules_for_capsules_go_first_and_mesh_axes_are_taken_once():
    net = net_of()
    rules = {"in": "model", "out": "model", "y:out": None, "h*:B:out": None}
    found = specs(net, rules, data=1, model=2)
    assert found["h0:W:x"] == ("model", None)
    assert found["h0:B"] == (None,) and found["y:B"] == (None,)
    assert found["y:W:h1"] == ("model", None)
    by_number = specs(net, {"h0:W:0": ("model", "data")}, data=2, model=2)
    assert by_number["h0:W:x"] == (("model", "data"), None)
    assert by_number["h1:W:h0"] == (None, None)


def test_sizes_that_cannot_be_divided_are_said_all_at_once():
    with pytest.raises(ValueError) as caught:
        specs(net_of(), {"out": "model"}, data=1, model=4)
    text = str(caught.value)
    assert text.startswith("placement of network 'small' has 6 problems:\n")
    assert (
        "parameter h0:W:x\n"
        "    found:    size 6 of axis 'out' (shape (4, 6))\n"
        "    expected: a multiple of 4, the size of mesh axis 'model'\n"
        "    cure:     a rule that leaves it whole, 'h0:W:x:out': None; or another size"
    ) in text
    cures = dict.fromkeys(re.findall("'([^']*)': None", text))
    assert len(cures) == 6
    whole = specs(net_of(), {"out": "model", **cures}, data=1, model=4)
    assert not any(any(spec) for spec in whole.values())


def test_cures_for_stacks():
    net = net_of(width=6, layers=40)
    with pytest.raises(ValueError, match="39 more that stand|38 more that stand") as e:
        specs(net, {"out": "model"}, data=1, model=4)
    cures = dict.fromkeys(re.findall("'([^']*)': None", str(e.value)))
    specs(net, {"out": "model", **cures}, data=1, model=4)


def test_one_array_is_divided_in_one_way():
    net = net_of(width=4, layers=40)
    message = (
        "parameters h0:B, h20:B\n    found:    rules that divide them in different ways"
        "\n    expected: one way: they stand in one array of the compiled network"
    )
    with pytest.raises(ValueError, match=message):
        specs(net, {"out": "model", "h20:out": None}, data=1, model=2)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"ouput": "model"}, "found:    the axis 'ouput'"),
        ({"out": "modle"}, "found:    the mesh axis 'modle'\n.*\n.*'model'"),
        ({"h7:out": "model"}, "(?s)rule 'h7:out'.*found:    no such parameter"),
        ({"out": 3}, "'out': 3\n    expected: an axis, or capsule:axis"),
    ],
)
def test_rules_that_are_for_nothing(rules, message):
    with pytest.raises(ValueError, match=message):
        specs(net_of(), rules, data=1, model=2)


def test_batches_need_an_axis_and_rows_that_fit():
    net = net_of()
    with pytest.raises(
        ValueError, match="mesh axes 'b', no 'data'.*\n.*\n.*None to keep"
    ):
        Placement.of(net, abstract(b=2))
    placement = Placement.of(net, abstract(b=2, c=2), {"batch": ["b", "c"]})
    message = (
        r"x: found 6 rows; expected a multiple of 4, the size of mesh axis 'b' \(2\) x "
        r"'c' \(2\); cure: batch_size=4 or 8, or another mesh"
    )
    shape = jax.ShapeDtypeStruct((6, 4), "float32")
    with pytest.raises(ValueError, match=message):
        placement.batch({"x": shape})
    whole = Placement.of(net, abstract(b=2), {"batch": None})
    assert (
        whole.parts == 1
        and whole.batch({"x": shape})["x"].spec == whole.everywhere.spec
    )


def test_meshes():
    net = net_of()
    explicit = jax.make_mesh((1,), ("data",), (AxisType.Explicit,))
    assert Placement.of(net, explicit).mesh.axis_types == (AxisType.Auto,)
    assert Placement.of(net).devices == jax.device_count()
    with pytest.raises(
        ValueError, match="devices in 1 processes; expected sizes whose"
    ):
        Placement.of(net, {"data": 1000})
    with pytest.raises(ValueError, match="found the size 0 of axis 'data'; expected a"):
        Placement.of(net, {"data": 0})
    with pytest.raises(TypeError, match="found the mesh 8; expected sizes by axis"):
        Placement.of(net, 8)
