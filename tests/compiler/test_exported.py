"""Exported networks compute what the network does, elsewhere and without its code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler.exported import flat
from tests.compiler.test_ahead import KEY, batch, network, start
from tests.helpers_capsjax import close, draw, quick


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a small network, for batches of any size."""
    net = network()
    folder = tmp_path_factory.mktemp("exported") / "words"
    net.export(folder, *start(net))
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """A copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "words"))


def test_any_batch_size(whole):
    net = network()
    params, state = start(net)
    model = cj.load_exported(whole)
    assert model.platforms == ("cpu", "cuda", "rocm", "tpu")
    for size in (1, 5):
        inputs = {"words": batch(size)["words"]}
        expected = quick(net.apply)(params, state, inputs)
        outputs, new = jax.jit(model)(inputs)
        close((outputs, new), (expected[0], flat(expected[1])))


def test_gradient_in_training(tmp_path):
    net = network()
    params, state = start(net)
    net.export(tmp_path / "a", params, state, function="gradient")
    model = cj.load_exported(tmp_path / "a")
    own = quick(jax.value_and_grad(net.loss, has_aux=True))
    (loss, (outputs, new)), gradients = own(params, state, batch(), key=KEY)
    expected = (loss, (outputs, flat(new))), flat(gradients)
    found = model(batch(), key=KEY)
    close(found, expected)
    moved: Any = {name: 2 * np.asarray(array) for name, array in model.params.items()}
    (loss, _), _ = model.run(moved, found[0][1][1], batch(), key=KEY)
    params = jax.tree.map(lambda array: 2 * np.asarray(array), params)
    close(loss, own(params, new, batch(), key=KEY)[0][0])


def test_convolutions_of_any_batch_size(tmp_path):
    """Kernels are chosen by batch size: here by none."""
    image = cj.input("image", (6, 6, 4))
    c = cj.capsule(
        "c", cj.conv(image, 5, (3, 3), stride=(2, 2), padding="SAME"), cap="relu"
    )
    pool = cj.capsule("pool", cj.identity(c), cap=cj.caps.max_pool((3, 3)), bias=None)
    net = cj.compile(cj.graph(pool, losses={"pool": "mean_squared_error"}))
    params, state = start(net)
    net.export(tmp_path / "a", params, state, function="gradient")
    given = {"image": draw((3, 6, 6, 4)), "pool": draw((3, 1, 1, 5), 1)}
    (loss, _), gradients = cj.load_exported(tmp_path / "a")(given)
    own = quick(jax.value_and_grad(net.loss, has_aux=True))
    (expected, _), derivatives = own(params, state, given)
    close((loss, gradients), (expected, flat(derivatives)))


def test_capsules_that_run_as_one_are_stored_by_name(tmp_path):
    """Parameters stand by name; the program takes them stacked."""
    x = cj.input("x", (3,))
    parts = [cj.capsule(f"p{i}", cj.matmul(x, 2), cap="tanh") for i in range(4)]
    join = cj.capsule("join", *(cj.identity(part) for part in parts))
    net = cj.compile(cj.graph(join))
    params, state = start(net)
    net.export(tmp_path / "a", params, state)
    named = cj.load_parameters(tmp_path / "a" / "parameters.safetensors")
    close(net.from_named(named), params, 0)
    outputs, _ = cj.load_exported(tmp_path / "a")({"x": draw((2, 3))})
    close(outputs, quick(net.apply)(params, state, {"x": draw((2, 3))})[0])
    assert cj.load(tmp_path / "a" / "graph.json") == net.graph


def test_a_folded_run_of_any_batch_size(tmp_path):
    """Parameters of a run are stacked in the program, not on disk."""
    h = cj.input("x", (8,))
    for number in range(12):
        h = cj.capsule(f"h{number}", cj.matmul(h, 8), cap="tanh")
    others = (each for each in cj.passes.PIPELINE if each.name != "fold")
    passes = (*others, cj.passes.Pass(cj.passes.fold_all, observable=True))
    graph = cj.graph(h, losses={"h11": "mean_squared_error"})
    net = cj.compile(graph, passes=passes)
    params, state = start(net)
    assert len(params) < 12
    net.export(tmp_path / "a", params, state, function="gradient")
    named = cj.load_parameters(tmp_path / "a" / "parameters.safetensors")
    assert len(named) == 12
    given = {"x": draw((3, 8)), "h11": draw((3, 8), 1)}
    own = quick(jax.value_and_grad(net.loss, has_aux=True))
    (expected, _), derivatives = own(params, state, given)
    (loss, _), gradients = cj.load_exported(tmp_path / "a")(given)
    close((loss, gradients), (expected, flat(derivatives)))


def test_neurons(tmp_path):
    """The wiring of neurons is state."""
    dag = cj.neural.random_dag("scale_free", inputs=4, neurons=12, in_degree=3)
    net = cj.compile(dag)
    params, state = start(net)
    net.export(tmp_path / "a", params, state)
    names = [(name, (3, *shape)) for name, shape in net.typed.inputs]
    inputs = {name: draw(shape) for name, shape in names}
    outputs, _ = cj.load_exported(tmp_path / "a")(inputs)
    close(outputs, quick(net.apply)(params, state, inputs)[0])


ELSEWHERE = """
import sys, jax, numpy
jax.config.update("jax_enable_x64", True)
import capsjax as cj
from capsjax.graph.kinds import CAPS
assert "thirded" not in CAPS
model = cj.load_exported(sys.argv[1])
outputs, _ = model({"x": numpy.ones((2, 3))})
print(*(float(y) for y in outputs["h"].ravel()))
"""


def test_own_kinds_run_where_they_are_not_registered(tmp_path, own_kinds):
    @cj.register_cap("thirded")
    class Thirded(cj.Cap):
        def forward(self, u):
            return jnp.sin(u) / 3

    h = cj.capsule("h", cj.matmul(cj.input("x", (3,)), 2), cap="thirded")
    net = cj.compile(cj.graph(h))
    params, state = start(net)
    net.export(tmp_path / "a", params, state)
    command = [sys.executable, "-W", "error", "-c", ELSEWHERE, str(tmp_path / "a")]
    root = Path(cj.__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    expected = quick(net.apply)(params, state, {"x": np.ones((2, 3))})[0]["h"]
    close(np.array([float(y) for y in done.stdout.split()]), np.ravel(expected))


def test_a_kind_that_must_know_the_batch_size(tmp_path, own_kinds):
    @cj.register_cap("counted")
    class Counted(cj.Cap):
        def forward(self, u):
            return u * int(u.shape[0] > 3)

    h = cj.capsule("h", cj.matmul(cj.input("x", (3,)), 2), cap="counted")
    net = cj.compile(cj.graph(h, name="counting"))
    params, state = start(net)
    with pytest.raises(ValueError) as caught:
        net.export(tmp_path / "a", params, state)
    assert str(caught.value).startswith(
        "network 'counting' can't be exported for batches of any size: "
    )
    assert str(caught.value).endswith("; cure: a batch size, such as batch=32")
    assert not list(tmp_path.iterdir())
    net.export(tmp_path / "a", params, state, 4)
    model = cj.load_exported(tmp_path / "a")
    inputs = {"x": draw((4, 3))}
    close(model(inputs), quick(net.apply)(params, state, inputs))


def test_a_folder_in_use_is_left_alone(whole):
    before = sorted(os.listdir(whole))
    net = network()
    with pytest.raises(FileExistsError, match="is not empty; choose another folder"):
        net.export(whole, *start(net))
    assert sorted(os.listdir(whole)) == before


FILES = ("graph.json", "layout.stablehlo", "parameters.safetensors")
FILES += ("program.stablehlo", "state.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_one_error(copied, name):
    path = copied / name
    content = path.read_bytes()
    for spoiled in (b"", content[:-1], content[:9] + b"?" + content[10:]):
        path.write_bytes(spoiled)
        with pytest.raises(ValueError) as caught:
            cj.load_exported(copied)
        assert str(caught.value) == (
            f"{path}: found another content than was written; expected the SHA-256 of "
            "manifest.json; cure: copy or export it again"
        )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "\xff", "null"])
def test_a_foreign_manifest_is_one_error(copied, content):
    (copied / "manifest.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError) as caught:
        cj.load_exported(copied)
    assert str(caught.value) == (
        f"{copied / 'manifest.json'}: found something else; expected the manifest of "
        "an exported network, which net.export writes"
    )


def spoil(copied: Path, **changes):
    """Other entries in the manifest."""
    path = copied / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_other_versions_and_platforms(copied):
    spoil(copied, platforms=["tpu"])
    with pytest.raises(ValueError, match="found a program for tpu; expected one for c"):
        cj.load_exported(copied)
    spoil(copied, format_version=2)
    with pytest.raises(ValueError, match="found format_version 2; expected 1; cure: "):
        cj.load_exported(copied)


def test_what_jax_cannot_read_is_one_error(copied):
    from hashlib import sha256

    files = json.loads((copied / "manifest.json").read_text())["files"]
    (copied / "program.stablehlo").write_bytes(b"StableHLO of the year 3000")
    digest = sha256(b"StableHLO of the year 3000").hexdigest()
    spoil(copied, files=files | {"program.stablehlo": digest})
    with pytest.raises(ValueError, match="found what JAX .* can't read .*export it ag"):
        cj.load_exported(copied)


FAULTS = {
    "name": ({"word": np.ones((2, 4))}, "'word': unknown name; did you mean 'words'?"),
    "missing": ({}, "'words': missing; expected int64 of shape [batch, 4]"),
    "shape": (
        {"words": np.ones((2, 5), int)},
        "'words': found int64 of shape (2, 5); expected int64 of shape [batch, 4]",
    ),
    "type": (
        {"words": np.ones((2, 4))},
        "'words': found float64 of shape (2, 4); expected int64 of shape [batch, 4]",
    ),
    "none": ({"words": np.ones((0, 4), int)}, "'words': found int64 of shape (0, 4)"),
    "array": (np.ones((2, 4)), "arrays are given by name, such as {'words': array}"),
}


@pytest.mark.parametrize(("given", "message"), FAULTS.values(), ids=FAULTS)
def test_a_batch_that_does_not_fit(whole, given, message):
    with pytest.raises(ValueError) as caught:
        cj.load_exported(whole)(given)
    assert message in str(caught.value)
