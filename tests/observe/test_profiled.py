"""Traces for viewers: written, read back, and with capsules' names in them."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

import capsjax as cj


@pytest.fixture(scope="module")
def step():
    x = cj.input("x", (8,))
    h = cj.capsule("hidden", cj.matmul(x, 16), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    given = {"x": jnp.ones((4, 8)), "y": jnp.zeros(4, int)}
    compiled = net.lower(given, "gradient").compile()
    params, state = net.init(jax.random.key(0))
    return compiled, lambda: jax.block_until_ready(compiled(params, state, given))


def events(path):
    return json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]


def test_a_trace_is_written_and_read_back(step, tmp_path):
    compiled, run = step
    with cj.profiled(tmp_path) as trace:
        run()
        trace.names(compiled)
    kinds = sorted("".join(path.suffixes) for path in trace.files)
    assert kinds == [".trace.json.gz", ".xplane.pb"]
    assert all(tmp_path in path.parents for path in trace.files)
    for_perfetto, for_tensorboard = sorted(trace.files, key=lambda path: path.suffix)
    own = [e for e in events(for_perfetto) if "capsule" in e.get("args", {})]
    places = {event["args"]["capsule"] for event in own}
    assert {"hidden", "hidden/backward", "y", "y/backward"} & places
    assert all(place.split("/")[0] in ("hidden", "y") for place in places)
    for event in own:
        assert event["name"].startswith(f"{event['args']['capsule']}: ")
        assert event["args"]["hlo_module"] == "jit_gradient"
    data = jax.profiler.ProfileData.from_file(str(for_tensorboard))
    found = {
        dict(event.stats).get("hlo_op")
        for plane in data.planes
        for line in plane.lines
        for event in line.events
    }
    assert {event["args"]["hlo_op"] for event in own} <= found


def test_without_names_operations_keep_those_of_xla(step, tmp_path):
    with cj.profiled(tmp_path) as trace:
        step[1]()
    (path,) = [p for p in trace.files if p.name.endswith(".trace.json.gz")]
    own = [e for e in events(path) if "hlo_op" in e.get("args", {})]
    assert own and all(event["name"] == event["args"]["hlo_op"] for event in own)


def test_what_stands_in_the_folder_is_left_alone(step, tmp_path):
    with cj.profiled(tmp_path) as first:
        step[1]()
    before = {path: path.read_bytes() for path in first.files}
    second = []
    with pytest.raises(ZeroDivisionError):
        with cj.profiled(tmp_path / "other") as trace:
            second.append(trace)
            trace.names(step[0])
            step[1]()
            raise ZeroDivisionError
    assert len(second[0].files) == 2 and not {*second[0].files} & {*first.files}
    assert {path: path.read_bytes() for path in first.files} == before


def test_one_trace_at_a_time(tmp_path):
    with cj.profiled(tmp_path / "one"):
        with pytest.raises(RuntimeError):
            with cj.profiled(tmp_path / "two"):
                pass
