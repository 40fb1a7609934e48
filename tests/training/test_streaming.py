"""Data read as it is needed: bit by bit what data in memory gives, or refused."""

import gc
import re
import threading

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.training import augment
from capsjax.training.binding import unit_in_step
from capsjax.training.data import DataError, Split
from capsjax.training.data.ahead import read_ahead
from capsjax.training.dataset import (
    bind,
    permutation,
    permutation_padded,
    split_of,
    take,
)
from capsjax.training.learner import NOTHING, Learner
from capsjax.training.optimizers import optimizer_of

BYTES = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 1)).astype(np.uint8)
REAL = np.divide(BYTES, 255, dtype=np.float32)
LABELS = (np.arange(50) % 3).astype(np.int32)


def network(shape=(6, 6, 1)):
    image = cj.input("image", shape)
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 3), cap="softmax")
    graph = cj.graph(digit, name="tiny", losses={"digit": "cross_entropy"})
    return cj.compile(graph)


class Source:
    """Random access to single items, as grain has it."""

    def __init__(self, items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


class Several(Source):
    """Gives many at once, too, as data sets of torch may."""

    def __getitems__(self, indices):
        return [self.items[index] for index in indices]


class Table:
    """What is used of a `datasets.Dataset` of Hugging Face."""

    def __init__(self, columns, form=None):
        self.columns, self.form = columns, form
        self.column_names = list(columns)
        self.shape = (len(self), len(columns))

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def with_format(self, form):
        return Table(self.columns, form)

    def __getitem__(self, key):
        assert self.form == "numpy", "as Python lists they would be slow"
        return {name: np.asarray(x)[key] for name, x in self.columns.items()}


def named():
    items = zip(BYTES, LABELS, strict=True)
    return [{"image": image, "digit": label} for image, label in items]


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "image.npy", BYTES)
    np.save(tmp_path / "digit.npy", LABELS)
    return tmp_path


WAYS = {
    "mapped": lambda folder: cj.load_data(folder).train,
    "mapped by hand": lambda folder: {
        name: np.load(folder / f"{name}.npy", mmap_mode="r")
        for name in ("image", "digit")
    },
    "on the host": lambda folder: {"image": BYTES, "digit": LABELS},
    "a split": lambda folder: Split(BYTES, LABELS),
    "source": lambda folder: Source(named()),
    "pairs": lambda folder: Source(zip(BYTES, LABELS, strict=True)),
    "a list": lambda folder: named(),
    "several": lambda folder: Several(named()),
    "table": lambda folder: Table({"image": BYTES, "digit": LABELS}),
    "no channels": lambda folder: Table({"image": BYTES[..., 0], "digit": LABELS}),
}


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_bit_by_bit_those_of_data_in_memory(mapped, way):
    net = network()
    held = bind(net, {"image": REAL, "digit": LABELS}, "data")
    data = bind(net, WAYS[way](mapped), "data", stream=True)
    assert held.on_device and not data.on_device and len(data) == 50
    order = permutation(50, 8, 1, 1)
    prepare = jax.jit(data.prepare)
    feeds = list(data.feeds(order))
    assert len(feeds) == len(order)
    for batch, rows in zip(feeds, order, strict=True):
        (image,) = (x for x in batch.values() if x.ndim > 1)
        assert image.dtype == np.uint8, "bytes travel as bytes"
        expected = take(held.arrays, rows)
        found = prepare(batch)
        assert found.keys() == expected.keys()
        for name in found:
            assert found[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(found[name], expected[name])


def trained(data, order, change=None):
    learner = Learner(network(), optimizer_of("adam"))
    carry = learner.initial(0)

    @jax.jit
    def step(carry, batch, i):
        batch = data.prepare(batch)
        if change is not None:
            batch = change(jax.random.key(i), batch, True)
        return learner.step(carry, batch, NOTHING)

    if data.on_device:
        batches = (take(data.arrays, rows) for rows in order)
    else:
        batches = data.feeds(order)
    for i, batch in enumerate(batches):
        carry = step(carry, batch, i)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(carry)]


@pytest.mark.parametrize("change", [None, augment.shift(1)], ids=["plain", "shifted"])
def test_training_is_bit_by_bit_that_of_data_in_memory(mapped, change):
    net, order = network(), permutation(50, 8, 1, 1)
    held = bind(net, {"image": REAL, "digit": LABELS}, "data")
    streamed = bind(net, cj.load_data(mapped).train, "data", stream=True)
    one, two = (trained(data, order, change) for data in (held, streamed))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bytes_become_numbers_exactly_within_programs():
    values = np.arange(256, dtype=np.uint8)
    expected = np.divide(values, 255, dtype=np.float32)
    np.testing.assert_array_equal(jax.jit(unit_in_step)(values), expected)
    less = jax.jit(lambda x: unit_in_step(x) - np.float32(0.13))(values)
    np.testing.assert_array_equal(less, expected - np.float32(0.13))


@pytest.mark.parametrize("stream", [False, True])
def test_bytes_are_pictures_wherever_they_are_held(stream):
    """Labels, rows over classes and inputs of integers stay what they are."""
    image = cj.input("image", (6, 6, 1))
    word = cj.input("word", (), dtype="integer")
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 3), cj.embed(word, 9, 3), cap="softmax")
    again = cj.capsule(
        "again", cj.reshape(cj.capsule("r", cj.matmul(flat, 36)), (6, 6, 1))
    )
    losses = {"digit": "cross_entropy", "again": "mean_squared_error"}
    net = cj.compile(cj.graph(digit, again, losses=losses))
    rows = np.eye(3, dtype=np.uint8)[LABELS]
    words = LABELS.astype(np.uint8)
    arrays = {"image": BYTES, "word": words, "digit": rows, "again": BYTES}
    data = bind(net, arrays, "data", stream=stream)
    order = np.arange(50)[None]
    batch = data.arrays if data.on_device else next(data.feeds(order))
    found = data.prepare(batch)
    for name, expected in (arrays | {"image": REAL, "again": REAL}).items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_an_image_that_is_reconstructed_travels_once():
    graph = cj.zoo.graph("autoencoder", shape=(36,), sizes=(4,))
    data = bind(cj.compile(graph), Source(zip(BYTES, LABELS, strict=True)), "data")
    (batch,) = data.feeds(np.arange(8)[None])
    assert batch.keys() == {"inputs"}
    found = data.prepare(batch)
    for name in ("image", "reconstruction"):
        np.testing.assert_array_equal(found[name], REAL[:8].reshape(8, 36))


@pytest.mark.parametrize("start", [0, 3, 6])
def test_an_epoch_goes_on_where_it_stopped(mapped, start):
    data = bind(network(), cj.load_data(mapped).train, "data", stream=True)
    order = permutation(50, 8, 1, 1)
    whole, rest = (list(data.feeds(order, at)) for at in (0, start))
    for one, two in zip(whole[start:], rest, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def test_batches_are_placed_as_asked():
    data = bind(network(), {"image": REAL, "digit": LABELS}, "data", stream=True)
    (batch,) = data.feeds(np.arange(8)[None], place=jax.device_put)
    assert all(isinstance(array, jax.Array) for array in batch.values())


def test_what_fits_is_brought_to_the_device_from_files_too(mapped):
    data = bind(network(), cj.load_data(mapped).train, "data")
    assert data.on_device and data.arrays["image"].dtype == np.float32
    np.testing.assert_array_equal(data.arrays["image"], REAL)
    with pytest.raises(ValueError, match="data is on the device; expected it on the"):
        next(data.feeds(np.arange(8)[None]))


def test_sets_by_split_are_parted():
    train, test = Table({"x": BYTES}), Table({"x": BYTES})
    assert split_of({"train": train, "test": test}) == (train, test)
    assert split_of({"train": train}) == (train, None)
    arrays = {"train": BYTES, "digit": LABELS}
    assert split_of(arrays) == (arrays, None), "an input may be called train"


# Reading ahead


def readers():
    return [x for x in threading.enumerate() if x.name.startswith("capsjax-data")]


@given(st.lists(st.integers()), st.integers(1, 5))
def test_reading_ahead_is_map(items, depth):
    assert list(read_ahead(lambda x: x + 1, items, depth)) == [x + 1 for x in items]


def test_no_more_is_read_ahead_than_said():
    read = []
    found = read_ahead(lambda x: read.append(x) or x, range(100), depth=3)
    assert next(found) == 0
    found.close()
    assert len(read) <= 4


def test_threads_end_when_the_iterator_is_closed_or_forgotten():
    data = bind(network(), {"image": REAL, "digit": LABELS}, "data", stream=True)
    feeds = data.feeds(permutation(50, 5, 1, 1))
    next(feeds)
    assert len(readers()) == 1
    feeds.close()
    assert not readers()
    feeds = data.feeds(permutation(50, 5, 1, 1))
    next(feeds)
    del feeds
    gc.collect()
    assert not readers()


# What is refused


def broken(index, **change):
    items = named()
    items[index] = {**items[index], **change}
    return items


FAULTS = {
    "nan": (
        broken(7, image=np.full((6, 6, 1), np.nan)),
        "data, example 7, array 'image'",
        "float64 of shape (6, 6, 1)",
    ),
    "label": (
        broken(9, digit=LABELS[0] + 3),
        "data, example 9, array 'digit'",
        "the label 3",
    ),
    "shape": (
        broken(8, image=BYTES[0, :5]),
        "data, example 8, array 'image'",
        "uint8 of shape (5, 6, 1)",
    ),
    "names": (broken(3, more=1), "data, example 3", "the arrays image, digit, more"),
    "text": (
        broken(3, digit="three"),
        "data, example 3, array 'digit'",
        "values of type <U5",
    ),
    "no item": ([*named()[:5], None, *named()[6:]], "data, example 5", "None"),
    "raises": (
        [*named()[:6], KeyError("pixels"), *named()[7:]],
        "data, example 6",
        "KeyError: 'pixels'",
    ),
}


@pytest.mark.parametrize("kind", [Source, Several])
@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_names_the_example(case, kind):
    items, place, found = FAULTS[case]
    data = bind(network(), kind(items), "data")
    with pytest.raises(DataError) as caught:
        list(data.feeds(np.arange(50).reshape(5, 10)))
    assert caught.value.place == place
    assert caught.value.found == found
    assert caught.value.expected and caught.value.cure
    assert not readers()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_name_the_example(value, tmp_path):
    spoiled = REAL.copy()
    spoiled[33, 2, 1] = value
    np.save(tmp_path / "image.npy", spoiled)
    np.save(tmp_path / "digit.npy", LABELS)
    train = cj.load_data(tmp_path).train
    data = bind(network(), train, "data", stream=True)
    order = np.arange(50)[::-1].reshape(5, 10)
    feeds = data.feeds(order)
    next(feeds)  # what is sound is fed
    with pytest.raises(DataError) as caught:
        next(feeds)
    assert caught.value.place == "data, example 33, array 'image'"
    assert caught.value.found == str(value)
    text = (
        "data does not fit network 'tiny':\n"
        f"    'image': found {value} in example 33; expected finite numbers; cure: "
        "leave such examples out, or put a number in their place"
    )
    for given_ in (train, {"image": spoiled, "digit": LABELS}):
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            bind(network(), given_, "data")


def test_large_arrays_are_checked_in_parts(monkeypatch):
    monkeypatch.setattr("capsjax.training.data.checks._CHUNK", 300)
    spoiled = REAL.copy()
    spoiled[41, 0, 0] = np.nan
    with pytest.raises(ValueError, match="found nan in example 41"):
        bind(network(), {"image": spoiled, "digit": LABELS}, "data")


def test_a_source_that_changes_its_length():
    source = Source(named())
    data = bind(network(), source, "data")
    source.items.append(source.items[0])
    with pytest.raises(DataError) as caught:
        list(data.feeds(np.arange(10)[None]))
    assert caught.value.found == "51 examples"
    assert caught.value.expected == "50, as when training began"


def test_an_empty_source():
    with pytest.raises(DataError) as caught:
        bind(network(), Source([]), "validation")
    assert (caught.value.place, caught.value.found) == ("validation", "an empty set")


def test_a_source_that_does_not_fit_is_told_by_its_first_item():
    items = [{"image": BYTES[0, :5], "label": LABELS[0]}]
    with pytest.raises(ValueError) as caught:
        bind(network(), Source(items), "data")
    assert str(caught.value) == (
        "data does not fit network 'tiny':\n"
        "    'label': unknown; expected image, digit\n"
        "    'digit': missing\n"
        "    input 'image': found examples of shape (5, 6, 1); expected (6, 6, 1)"
    )


def test_labels_of_mapped_files_are_checked_at_once(mapped):
    np.save(mapped / "digit.npy", LABELS + 1)
    text = "target of 'digit': found classes from 1 to 3; expected 0 to 2, as the"
    with pytest.raises(ValueError, match=text):
        bind(network(), cj.load_data(mapped).train, "data", stream=True)


# Order


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 9), st.integers(1, 9))
def test_padded_epochs_visit_every_example_once(count, size, seed, epoch):
    indices, weights = permutation_padded(count, size, seed, epoch)
    assert indices.shape == weights.shape == (-(-count // size), size)
    assert indices.dtype == np.int32 and weights.dtype == np.float32
    assert sorted(indices[weights == 1]) == list(range(count))
    assert set(np.unique(weights)) <= {0.0, 1.0} and (weights[:-1] == 1).all()
    dropping = permutation(count, size, seed, epoch)
    np.testing.assert_array_equal(indices[: len(dropping)], dropping)
