"""Folders of `.npy` files are mapped, not read; unsound ones are refused by name."""

import pickle
import re

import numpy as np
import pytest

import capsjax as cj
from capsjax.training.data import DataError, Named
from capsjax.training.data.spec import is_mapped

X = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
Y = np.array([0, 2, 1, 0])
FILES = {"x_train": X, "y_train": Y, "x_test": X[:2], "y_test": np.array([[3], [1]])}


def save(folder, arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def refused(folder) -> DataError:
    with pytest.raises(DataError) as caught:
        cj.load_data(folder)
    return caught.value


def test_files_under_the_names_of_keras(tmp_path):
    data = cj.load_data(save(tmp_path / "shapes", FILES))
    assert (data.name, data.classes) == ("shapes", 4)
    assert (len(data.train), len(data.test)) == (4, 2)
    for split, x, y in ((data.train, X, Y), (data.test, X[:2], [3, 1])):
        assert is_mapped(split.inputs) and split.inputs.dtype == np.uint8
        np.testing.assert_array_equal(split.inputs, x[..., None])
        assert split.targets.dtype == np.int32
        np.testing.assert_array_equal(split.targets, y)


def test_they_train_as_the_same_data_in_an_archive_does(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8)
    arrays = {"x_train": x, "x_test": x[:9], "y_train": np.arange(40) % 3}
    arrays["y_test"] = arrays["y_train"][:9]
    np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
    image = cj.input("image", (6, 6, 1))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 3), cap="softmax")
    net = cj.compile(cj.graph(digit, losses={"digit": "cross_entropy"}))
    runs = [
        cj.fit(net, cj.load_data(each), epochs=2, batch_size=8, progress=False)
        for each in (tmp_path / "a.npz", save(tmp_path / "b", arrays))
    ]
    one, two = (run.history.drop(columns="seconds") for run in runs)
    assert one.equals(two)
    np.testing.assert_array_equal(*(run.params["digit"]["B"] for run in runs))


def test_files_by_name_in_folders_by_split(tmp_path):
    save(tmp_path / "train", {"image": X, "digit": Y})
    save(tmp_path / "test", {"image": X[:3], "digit": Y[:3]})
    data = cj.load_data(tmp_path)
    assert isinstance(data.train, Named) and list(data.train.arrays) == [
        "digit",
        "image",
    ]
    assert (len(data.train), len(data.test), data.classes) == (4, 3, None)
    assert all(is_mapped(array) for array in data.train.arrays.values())


def test_files_by_name_have_no_test_set(tmp_path):
    data = cj.load_data(save(tmp_path, {"image": X, "digit": Y}))
    assert len(data.train) == 4 and data.test is None


@pytest.mark.parametrize("drop", ["y_train", "x_test"])
def test_a_missing_file(tmp_path, drop):
    save(tmp_path, {name: x for name, x in FILES.items() if name != drop})
    assert refused(tmp_path).found.startswith(f"no {drop}.npy among ")


def test_other_numbers_of_rows(tmp_path):
    error = refused(save(tmp_path, {"image": X, "digit": Y[:3]}))
    assert error.found == "3 rows in digit.npy and 4 in image.npy"
    error = refused(save(tmp_path / "k", FILES | {"y_test": Y}))
    assert error.found == "2 inputs and 4 targets"


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code in a file was run",))


DAMAGED = {
    "short": (lambda b: b[:-1], "damaged: "),
    "long": (lambda b: b + b"\0", "153 bytes"),
    "cut": (lambda b: b[:20], "damaged: "),
    "nothing": (lambda b: b"", "damaged: "),
    "other": (lambda b: b"PK\3\4" + b[4:], "damaged: "),
    "header": (lambda b: b.replace(b"'descr'", b"'decsr'"), "damaged: "),
    "pickle": (lambda b: pickle.dumps(Bomb()), "damaged: "),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files(tmp_path, case):
    change, found = DAMAGED[case]
    path = save(tmp_path, {"image": X}) / "image.npy"
    path.write_bytes(change(path.read_bytes()))
    error = refused(tmp_path)
    assert error.place == str(path) and error.found.startswith(found)
    assert re.search("a whole .npy file|as its header says", error.expected)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array(["a", "b"]), "values of type <U1"),
        (np.zeros((0, 3)), "an empty set, of shape (0, 3)"),
        (np.array(3.0), "an empty set, of shape ()"),
        (np.array([-1, 0]), "labels from -1 to 0"),
    ],
)
def test_arrays_that_are_no_data(tmp_path, array, found):
    name = "y_train" if found.startswith("labels") else "image"
    rest = FILES | {"x_train": X[:2]} if name == "y_train" else {}
    assert refused(save(tmp_path, rest | {name: array})).found == found
