"""Augmentations: exact laws, under jit and vmap, as plain data, and what is refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import capsjax as cj
from capsjax.training import augment

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).random((6, 5, 7, 2)).astype(np.float32)
BATCH = {"image": IMAGES, "y": np.arange(6, dtype=np.int32) % 3}
seeds = st.integers(0, 2**31 - 1)
few = settings(max_examples=15)

ALL = {
    "shift": augment.shift(2),
    "crop": augment.crop(2),
    "flip": augment.flip(0.5),
    "normalize": augment.normalize((0.5, 0.4), 0.25),
    "mixup": augment.mixup(0.3, classes=(("y", 3),)),
    "chain": augment.chain(augment.shift(1), augment.flip(), augment.normalize(0.5)),
}


def test_every_kind_has_its_laws_tested():
    own = {k for k in augment.AUGMENTATIONS if not k.startswith("doctest_")}
    assert set(ALL) == own


def shifted(image, rows, columns):
    """np.roll, what comes in from the other side being zero."""
    moved = np.roll(image, (rows, columns), axis=(0, 1))
    for axis, by in enumerate((rows, columns)):
        came = [slice(None)] * 3
        came[axis] = slice(0, by) if by >= 0 else slice(by, None)
        moved[tuple(came)] = 0
    return moved


@few
@given(seeds, st.integers(0, 4))
def test_a_shift_is_a_roll_with_zeros(seed, pixels):
    moved = augment.shift(pixels)(jax.random.key(seed), BATCH, True)["image"]
    reach = range(-pixels, pixels + 1)
    for before, after in zip(IMAGES, np.asarray(moved), strict=True):
        found = [shifted(before, r, c) for r in reach for c in reach]
        assert any((after == each).all() for each in found)


def test_every_shift_occurs_about_as_often():
    point = np.zeros((4096, 5, 5, 1), np.float32)
    point[:, 2, 2] = 1
    moved = augment.shift(2)(KEY, {"image": point}, True)["image"]
    share = np.asarray(moved).mean(axis=0)
    assert (np.abs(share - 1 / 25) < 0.015).all()


def test_shift_by_nothing_is_the_identity():
    moved = augment.shift(0)(KEY, BATCH, True)
    np.testing.assert_array_equal(moved["image"], IMAGES)
    np.testing.assert_array_equal(moved["y"], BATCH["y"])


@few
@given(seeds, st.integers(0, 3))
def test_crop_with_zeros_is_shift(seed, pixels):
    key = jax.random.key(seed)
    cut = augment.crop(pixels, fill="constant")(key, BATCH, True)["image"]
    moved = augment.shift(pixels)(key, BATCH, True)["image"]
    np.testing.assert_array_equal(cut, moved)


@pytest.mark.parametrize("fill", ["edge", "reflect", "symmetric", "wrap"])
def test_a_crop_is_a_window_of_the_padded_image(fill):
    cut = np.asarray(augment.crop(2, fill)(KEY, BATCH, True)["image"])
    margin = ((2, 2), (2, 2), (0, 0))
    for before, after in zip(IMAGES, cut, strict=True):
        padded = np.pad(before, margin, mode=fill)
        windows = [padded[r : r + 5, c : c + 7] for r in range(5) for c in range(5)]
        assert any((after == each).all() for each in windows)


@few
@given(seeds)
def test_flipped_twice_is_the_identity(seed):
    flip, key = augment.flip(0.5), jax.random.key(seed)
    once = flip(key, BATCH, True)
    np.testing.assert_array_equal(flip(key, once, True)["image"], IMAGES)
    for before, after in zip(IMAGES, np.asarray(once["image"]), strict=True):
        assert (after == before).all() or (after == before[:, ::-1]).all()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_flip_never_and_always(probability):
    found = augment.flip(probability)(KEY, BATCH, True)["image"]
    expected = IMAGES[:, :, ::-1] if probability else IMAGES
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("train", [False, True])
def test_normalized_images_have_mean_zero_and_deviation_one(train):
    mean, std = IMAGES.mean(axis=(0, 1, 2)), IMAGES.std(axis=(0, 1, 2))
    found = augment.normalize(mean, std)(KEY, BATCH, train)["image"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.mean(found, axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(found, axis=(0, 1, 2)), 1, rtol=1e-4)


def test_of_a_networks_arrays_normalize_changes_inputs_alone():
    net = cj.compile(cj.zoo.graph("autoencoder", shape=(4, 4, 1), sizes=(3,)))
    image = IMAGES[:, :4, :4, :1]
    batch = {"image": image, "reconstruction": image}
    found = augment.normalize(0.5).of_network(net)(KEY, batch, True)
    np.testing.assert_array_equal(found["reconstruction"], batch["reconstruction"])
    np.testing.assert_array_equal(found["image"], batch["image"] - np.float32(0.5))
    moved = augment.shift(2).of_network(net)(KEY, batch, True)
    np.testing.assert_array_equal(moved["image"], moved["reconstruction"])


@pytest.mark.parametrize("alpha", [0.1, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_mixup_is_convex_and_mixes_targets_alike(seed, alpha):
    rows = np.eye(6, dtype=np.float32)
    batch = {"x": rows, "y": np.arange(6, dtype=np.int32)}
    mix = augment.mixup(alpha, classes=(("y", 6),))
    found = mix(jax.random.key(seed), batch, True)
    np.testing.assert_array_equal(found["x"], found["y"])
    x = np.asarray(found["x"])
    assert (x >= 0).all() and (x <= 1).all()
    np.testing.assert_allclose(x.sum(axis=1), 1, rtol=1e-6)
    assert (np.count_nonzero(x, axis=1) <= 2).all()


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_shares_of_mixup_have_the_moments_of_beta(alpha):
    rows = np.arange(20_000, dtype=np.int32)
    batch = {"x": np.float32(rows[:, None] == 0), "y": rows % 2}
    mix = augment.mixup(alpha, classes=(("y", 2),))
    shares = np.asarray(mix(KEY, batch, True)["y"][:, 0])
    mixed = shares[(shares != 0) & (shares != 1)]  # those of two classes
    assert mixed.mean() == pytest.approx(0.5, abs=0.02)
    assert mixed.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.05)


def test_mixup_takes_classes_from_the_network():
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 3), cap="softmax")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    mix = augment.mixup(0.2).of_network(net)
    assert mix.classes == (("y", 3),)
    batch = {"x": np.ones((6, 4), np.float32), "y": BATCH["y"]}
    mixed = mix(KEY, batch, True)
    assert mixed["y"].shape == (6, 3)
    params, state = net.init(jax.random.key(0))
    loss, _ = net.loss(params, state, mixed)
    assert jnp.isfinite(loss)


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("normalize", "chain")])
def test_nothing_happens_in_evaluation(name):
    found = ALL[name](KEY, BATCH, False)
    for own in BATCH:
        np.testing.assert_array_equal(found[own], BATCH[own])


@pytest.mark.parametrize("name", ALL)
def test_it_is_pure_under_jit_and_vmap(name):
    change = ALL[name]
    keys = jax.random.split(KEY, 3)
    plain = change(keys[1], BATCH, True)
    compiled = jax.jit(lambda key, batch: change(key, batch, True))(keys[1], BATCH)
    several = jax.jit(jax.vmap(lambda key: change(key, BATCH, True)))(keys)
    for own in BATCH:
        np.testing.assert_allclose(plain[own], compiled[own], rtol=1e-6)
        np.testing.assert_allclose(plain[own], several[own][1], rtol=1e-6)
    if name != "normalize":
        assert (several["image"] != several["image"][0]).any(), "each key draws anew"


def test_rows_that_are_images_flattened_move_alike():
    batch = {"image": IMAGES, "row": IMAGES.reshape(6, -1)}
    moved = augment.chain(augment.shift(2), augment.flip())(KEY, batch, True)
    assert moved["row"].shape == (6, 70)
    np.testing.assert_array_equal(moved["row"], moved["image"].reshape(6, -1))


def test_only_named_arrays_move():
    batch = {"a": IMAGES, "b": IMAGES}
    moved = augment.shift(2, names=("a",))(KEY, batch, True)
    assert (moved["a"] != IMAGES).any() and moved["b"] is IMAGES


def test_steps_of_a_chain_draw_their_own_numbers():
    twice = augment.chain(augment.flip(), augment.flip())
    found = twice(KEY, {"image": np.concatenate([IMAGES] * 8)}, True)["image"]
    assert (found != np.concatenate([IMAGES] * 8)).any(), "not each other's inverse"


@pytest.mark.parametrize("name", ALL)
def test_records_are_plain_data_and_back(name):
    own = ALL[name]
    document = own.document()
    assert document["kind"] == name
    again = augment.augmentation_of(document)
    assert again == own and hash(again) == hash(own)


def test_lists_and_names_are_declarations():
    found = augment.augmentation_of(["flip", {"kind": "shift", "pixels": 3}])
    assert found == augment.chain(augment.flip(), augment.shift(3))
    assert augment.augmentation_of(None) is None
    assert augment.augmentation_of(found) is found


def test_a_kind_of_ones_own(monkeypatch):
    monkeypatch.setattr(
        augment.AUGMENTATIONS, "_table", dict(augment.AUGMENTATIONS._table)
    )

    @augment.register_augmentation("own_kind")
    class Own(augment.Augmentation):
        by: float = 2.0

        def __call__(self, key, batch, train):
            return {**batch, "image": batch["image"] * self.by}

    found = augment.augmentation_of({"kind": "own_kind", "by": 3.0})
    assert isinstance(found, Own) and found.by == 3.0
    np.testing.assert_array_equal(found(KEY, BATCH, True)["image"], IMAGES * 3)


BAD = {
    "kind": (
        {"kind": "shfit"},
        "augmentation: found the kind 'shfit'; expected one of ",
    ),
    "setting": (
        {"kind": "shift", "pixel": 2},
        "augmentation, shift: found the setting 'pixel'; expected some of ",
    ),
    "place": (
        ["flip", {"kind": "no"}],
        "augmentation 1: found the kind 'no'; expected one of ",
    ),
    "pixels": (
        {"kind": "shift", "pixels": 1.5},
        "augmentation shift, pixels: found 1.5; expected a whole number of at least 0",
    ),
    "padding": (
        {"kind": "crop", "padding": -1},
        "augmentation crop, padding: found -1; expected a whole number of at least 0",
    ),
    "fill": (
        {"kind": "crop", "fill": "black"},
        "augmentation crop, fill: found 'black'; expected one of constant, edge,",
    ),
    "probability": (
        {"kind": "flip", "probability": 2},
        "augmentation flip, probability: found 2; expected a number from 0 to 1",
    ),
    "std": (
        {"kind": "normalize", "std": [1.0, 0.0]},
        "augmentation normalize, std: found (1.0, 0.0); expected a number above 0, or",
    ),
    "mean": (
        {"kind": "normalize", "mean": "0"},
        "augmentation normalize, mean: found '0'; expected a number, or one for each",
    ),
    "alpha": (
        {"kind": "mixup", "alpha": 0},
        "augmentation mixup, alpha: found 0; expected a number above 0",
    ),
    "true": (
        {"kind": "mixup", "alpha": True},
        "augmentation mixup, alpha: found True; expected a number of at least 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_declarations_that_are_refused(case):
    declared, text = BAD[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        augment.augmentation_of(declared)


def test_what_is_no_declaration():
    with pytest.raises(TypeError, match="augmentation: found int; expected one of cj"):
        augment.augmentation_of(3)
    with pytest.raises(TypeError, match="augmentation chain: found str; expected"):
        augment.chain("flip")  # type: ignore[arg-type]


ROWS = {"x": np.ones((6, 4), np.float32), "y": BATCH["y"]}
MISFITS = {
    "no images": (
        augment.shift(2),
        ROWS,
        "augmentation shift: found 'x' (6, 4), 'y' (6,); expected images [B, H, W, C];",
    ),
    "missing": (
        augment.flip(names=("z",)),
        BATCH,
        "'y' (6,); expected images [B, H, W, C] as 'z'; cure: give names=..., or",
    ),
    "channels": (
        augment.normalize((1.0, 2.0, 3.0)),
        BATCH,
        "found 3 numbers; expected one, or 2, as 'image' has 2 channels",
    ),
    "named": (
        augment.normalize(names=("z",)),
        BATCH,
        "found no 'z' among image, y; expected it",
    ),
    "labels": (
        augment.mixup(),
        BATCH,
        "augmentation mixup: found whole numbers as 'y'; expected what can be mixed;",
    ),
    "unmixed": (augment.mixup(names=("z",)), BATCH, "found no 'z' among image, y;"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_batches_that_do_not_suit(case):
    change, batch, text = MISFITS[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        change(KEY, batch, True)


def test_names_and_images_are_looked_for_in_the_network():
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 3), cap="softmax")
    net = cj.compile(cj.graph(y, name="tiny", losses={"y": "cross_entropy"}))
    text = "found the name 'z'; expected some of x, y, the inputs and outputs of"
    with pytest.raises(ValueError, match=text):
        augment.shift(2, names=("z",)).of_network(net)
    text = re.escape("found the inputs 'x' (4,); expected an image (H, W, C); cure:")
    with pytest.raises(ValueError, match=text):
        augment.chain(augment.normalize()).of_network(net)
