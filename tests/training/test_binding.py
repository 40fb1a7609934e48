"""Routes by shape: where the arrays of a data set go, and what can not be known."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.training.binding import apply_routes, routes_by_shape
from capsjax.training.data import Data, Split
from capsjax.training.data.spec import spec_of
from capsjax.training.dataset import bind

IMAGES = np.random.default_rng(0).random((12, 18, 18, 1)).astype(np.float32)
LABELS = np.arange(12, dtype=np.int32) % 3
LABELLED = Split(IMAGES, LABELS)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def bind_split(net, given, what):
    """The arrays of a data set by the names of a network."""
    columns = {"inputs": given.inputs, "targets": given.targets}
    specs = {name: spec_of(array) for name, array in columns.items()}
    return apply_routes(routes_by_shape(net, specs, what), columns)


def with_decoder(**options):
    graph = cj.zoo.graph(
        "capsnet",
        shape=(18, 18, 1),
        classes=3,
        features=4,
        maps=1,
        decoder=True,
        **options,
    )
    return cj.compile(graph)


def network(inputs, outputs):
    """Every output reads every input, each flattened, and has its loss and shape."""
    nodes = [cj.input(name, shape) for name, shape in inputs.items()]
    flat = [
        cj.capsule(f"{node.name}-flat", cj.reshape(node, (-1,)), bias=None)
        for node in nodes
    ]
    made = []
    for name, (shape, _) in outputs.items():
        size = int(np.prod(shape))
        row = cj.capsule(f"{name}-row", *[cj.matmul(x, size) for x in flat])
        made.append(cj.capsule(name, cj.reshape(row, shape), cap="softmax", bias=None))
    losses = {name: loss for name, (_, loss) in outputs.items()}
    return cj.compile(cj.graph(*made, name="bound", losses=losses))


def test_capsnet_with_decoder_takes_labelled_images():
    found = bind_split(with_decoder(), LABELLED, "data")
    assert found.keys() == {"image", "label", "digit", "reconstruction"}
    assert found["image"] is IMAGES and found["reconstruction"] is IMAGES
    assert found["digit"] is LABELS
    np.testing.assert_array_equal(found["label"], ONE_HOT)
    held = bind(with_decoder(), LABELLED, "data").arrays
    assert held["image"] is held["reconstruction"], "held once, under both names"


def test_capsnet_with_decoder_learns_from_labelled_images():
    data = Data("drawn", LABELLED, LABELLED, 3)
    run = cj.fit(with_decoder(), data, epochs=2, batch_size=4, progress=False)
    assert list(run.history)[2:] == [
        "loss",
        "digit_accuracy",
        "validation_loss",
        "validation_digit_accuracy",
        "validation_digit_loss",
        "validation_reconstruction_loss",
    ]
    loss = run.history["validation_loss"]
    assert loss.iloc[-1] < loss.iloc[0]
    last = run.history.iloc[-1]
    total = (
        last["validation_digit_loss"] + 0.0005 * last["validation_reconstruction_loss"]
    )
    np.testing.assert_allclose(last["validation_loss"], total, rtol=1e-5)


@pytest.mark.parametrize("shape", [(18, 18, 1), (324,)])
def test_an_autoencoder_reconstructs_its_input(shape):
    net = cj.compile(cj.zoo.graph("autoencoder", shape=shape, sizes=(6, 2)))
    found = bind(net, LABELLED, "data").arrays
    for name in ("image", "reconstruction"):
        np.testing.assert_array_equal(found[name], IMAGES.reshape(12, *shape))


def test_targets_of_the_outputs_shape_go_before_the_inputs():
    net = network({"x": (5,)}, {"y": ((5,), "mean_squared_error")})
    given = Split(np.zeros((12, 5), np.float32), np.ones((12, 5), np.float32))
    found = bind_split(net, given, "data")
    assert found["x"] is given.inputs and found["y"] is given.targets


def test_every_head_over_classes_takes_the_labels():
    heads = {"main": ((3,), "cross_entropy"), "aux": ((3,), "cross_entropy")}
    found = bind_split(network({"x": (18, 18, 1)}, heads), LABELLED, "data")
    assert found["main"] is LABELS and found["aux"] is LABELS


def test_labels_that_are_one_hot_already_go_where_they_fit():
    found = bind_split(with_decoder(), Split(IMAGES, ONE_HOT), "data")
    assert found["label"] is ONE_HOT and found["digit"] is ONE_HOT


def test_integers_stay_integers_where_an_input_holds_them():
    image, label = cj.input("image", (4,)), cj.input("label", (), dtype="integer")
    both = cj.matmul(image, 4), cj.embed(label, 3, 4)
    y = cj.capsule("y", *both)
    net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
    given = Split(np.zeros((12, 4), np.float32), LABELS)
    found = bind(net, given, "data").arrays
    assert jnp.issubdtype(found["label"].dtype, jnp.integer)
    np.testing.assert_array_equal(found["label"], LABELS)
    assert cj.fit(net, given, epochs=1, progress=False).history["loss"].iloc[0] > 0


def test_learned_inputs_are_not_asked_for():
    x, token = cj.input("x", (4,)), cj.learned("token", (4,))
    y = cj.capsule("y", cj.identity(x), cj.identity(token), cap="softmax", bias=None)
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    given = Split(np.zeros((12, 4), np.float32), LABELS)
    assert bind_split(net, given, "data").keys() == {"x", "y"}
    run = cj.fit(net, {"x": given.inputs, "y": LABELS}, epochs=1, progress=False)
    assert bool(jnp.any(run.params["token"]["B"] != 0))
    with pytest.raises(ValueError, match="'token': unknown; expected x, y"):
        cj.fit(net, {"x": given.inputs, "y": LABELS, "token": LABELS}, progress=False)


def test_two_inputs_that_would_take_the_same_array():
    net = network({"x": (18, 18, 1), "z": (18, 18, 1)}, {"y": ((3,), "cross_entropy")})
    text = (
        "network 'bound': inputs 'x' and 'z' would both take the inputs of the data; "
        "give data as arrays by name, 'x', 'z', 'y'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        cj.fit(net, LABELLED, progress=False)


def test_labels_out_of_range_of_an_input():
    text = (
        "input 'label': found labels from 0 to 4; expected 0 to 2, as it has 3 "
        "numbers, one for each class"
    )
    given = Split(IMAGES, np.arange(12, dtype=np.int32) % 5)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        bind_split(with_decoder(), given, "data")


def test_arrays_that_fit_nowhere_are_named_with_their_shapes():
    net = network({"x": (7,)}, {"y": ((5,), "mean_squared_error")})
    with pytest.raises(ValueError) as caught:
        cj.fit(net, LABELLED, progress=False)
    assert str(caught.value) == (
        "data does not fit network 'bound':\n"
        "    input 'x': found examples of shape (18, 18, 1); expected (7,)\n"
        "    target of 'y': found int32 of shape () per example; expected (5,)"
    )


def test_a_network_may_make_images_of_labels():
    net = network({"label": (3,)}, {"y": ((18, 18, 1), "mean_squared_error")})
    found = bind_split(net, LABELLED, "data")
    np.testing.assert_array_equal(found["label"], ONE_HOT)
    assert found["y"] is IMAGES


def test_no_network_learns_labels_from_labels():
    net = network({"x": (7,)}, {"y": ((3,), "cross_entropy")})
    text = r"input 'x': found examples of shape \(18, 18, 1\); expected \(7,\)"
    with pytest.raises(ValueError, match=text):
        cj.fit(net, LABELLED, progress=False)
