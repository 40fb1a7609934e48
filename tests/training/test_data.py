"""Sound files are read exactly; unsound ones are refused by name and fault."""

import gzip
import hashlib
import pickle
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsjax.training.data import Data, DataError, Named, load_data

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
ARRAYS = {
    "x_train": np.arange(24, dtype=np.uint8).reshape(4, 3, 2),
    "y_train": np.array([0, 2, 1, 0]),
    "x_test": np.full((2, 3, 2), 255, np.uint8),
    "y_test": np.array([3, 1]),
}


def idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shapes"
    path.mkdir()
    for split, name in (("train", "train"), ("t10k", "test")):
        (path / f"{split}-images-idx3-ubyte").write_bytes(idx(ARRAYS[f"x_{name}"]))
        (path / f"{split}-labels-idx1-ubyte").write_bytes(idx(ARRAYS[f"y_{name}"]))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return save(tmp_path / "shapes.npz")


def save(path: Path, **changes: np.ndarray) -> Path:
    np.savez_compressed(path, **(ARRAYS | changes), allow_pickle=True)
    return path


def refused(source: str | Path) -> DataError:
    with pytest.raises(DataError) as info:
        load_data(source)
    return info.value


def check_shapes(source: Path) -> None:
    data = load_data(source)
    assert (data.name, data.classes) == ("shapes", 4)
    for split, name in ((data.train, "train"), (data.test, "test")):
        expected = ARRAYS[f"x_{name}"].astype(np.float32)[..., None] / np.float32(255)
        assert split.inputs.dtype == np.float32 and split.targets.dtype == np.int32
        np.testing.assert_array_equal(split.inputs, expected)
        np.testing.assert_array_equal(split.targets, ARRAYS[f"y_{name}"])


# Digits


def test_digits_are_the_same_bit_by_bit():
    data = load_data("digits")
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(split.inputs.astype("<f4").tobytes())
        digest.update(split.targets.astype("<i4").tobytes())
    assert digest.hexdigest() == (
        "58d905764d366c101d1bba86585b0adcb2b6cd60cc39f3b6150ec41dae033f66"
    )


def test_digits_from_the_file_are_those_of_scikit_learn(monkeypatch):
    found = load_data("digits")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    expected = load_data("digits")
    for part in ("train", "test"):
        for name in ("inputs", "targets"):
            a, b = (getattr(getattr(d, part), name) for d in (found, expected))
            assert a.dtype == b.dtype and (a == b).all()


def test_digits_are_stratified_and_scaled():
    data = load_data("digits")
    assert data.train.inputs.min() == 0 and data.train.inputs.max() == 1
    train, test = (np.bincount(s.targets) for s in (data.train, data.test))
    assert (len(data.train), len(data.test)) == (1442, 355)
    assert np.all(np.abs(test / (train + test) - 0.2) < 0.005)


def test_a_data_set_prints_in_one_line():
    of_each = "(inputs float32 (8, 8, 1), targets int32 ())"
    assert repr(load_data("digits")) == (
        f"Data('digits', train=1,442 x {of_each}, test=355 x {of_each}, classes=10)"
    )
    named = Data("own", Named({"a": np.zeros((3, 2), np.float32)}), None, None)
    assert repr(named) == "Data('own', train=3 x (a float32 (2,)))"


# Folders of idx files


def test_idx_folder(folder: Path):
    check_shapes(folder)


def test_idx_folder_by_its_other_names(folder: Path):
    for path in list(folder.iterdir()):
        name = path.name.replace("-idx", ".idx") + ".gz"
        (folder / name).write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    check_shapes(folder)


def test_gzip_is_told_by_content(folder: Path):
    path = folder / TRAIN_IMAGES
    path.rename(folder / f"{TRAIN_IMAGES}.gz")
    check_shapes(folder)


def test_mnist():
    if not MNIST.is_dir():
        pytest.skip("no MNIST at ../shared/data/mnist")
    data = load_data(MNIST)
    assert data.train.inputs.shape == (60000, 28, 28, 1)
    assert data.test.inputs.shape == (10000, 28, 28, 1)
    assert (data.name, data.classes) == ("mnist", 10)
    assert data.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train.inputs.max() == 1


@pytest.mark.parametrize(
    ("name", "content", "found", "expected"),
    [
        (TRAIN_IMAGES, b"", "it begins with the bytes (none)", "00 00 08 03"),
        (
            TRAIN_LABELS,
            idx(ARRAYS["x_train"]),
            "it begins with the bytes 00 00 08 03",
            "00 00 08 01, which is labels of unsigned bytes, rank 1",
        ),
        (
            TRAIN_IMAGES,
            idx(ARRAYS["x_train"])[:9],
            "it ends in its header, after 9 bytes",
            "a header of 16 bytes",
        ),
        (
            TRAIN_IMAGES,
            idx(ARRAYS["x_train"])[:-1],
            "23 bytes after the header",
            "4 x 3 x 2 = 24 bytes after the header",
        ),
        (TRAIN_LABELS, idx(ARRAYS["y_train"]) + b"\0", "5 bytes after", "4 = 4 bytes"),
        (
            TRAIN_IMAGES,
            gzip.compress(idx(ARRAYS["x_train"])[:-1], mtime=0),
            "only 23 bytes after the header",
            "4 x 3 x 2 = 24 bytes",
        ),
        (
            TRAIN_IMAGES,
            gzip.compress(idx(ARRAYS["x_train"]) + bytes(10**6), mtime=0),
            "more than 24 bytes",
            "4 x 3 x 2 = 24 bytes",
        ),
        (
            TRAIN_IMAGES,
            gzip.compress(idx(ARRAYS["x_train"]), mtime=0)[:-9],
            "damaged gzip: Compressed file ended",
            "a whole file",
        ),
        (
            TRAIN_IMAGES,
            gzip.compress(idx(ARRAYS["x_train"]), mtime=0)[:-8] + bytes(8),
            "damaged gzip: CRC check failed",
            "a whole file",
        ),
        (TRAIN_IMAGES, b"\x1f\x8b\x08" + b"\0" * 20, "damaged gzip: ", "a whole file"),
        (TRAIN_IMAGES, idx(np.zeros((0, 3, 2))), "of shape (0, 3, 2)", "one example"),
        (
            TRAIN_LABELS,
            idx(np.zeros(5)),
            "4 inputs and 5 targets",
            "as many targets as inputs",
        ),
        (
            TRAIN_IMAGES,
            idx(np.zeros((4, 3, 3))),
            "inputs of float32 (3, 3, 1) to train on and float32 (3, 2, 1) to test on",
            "one shape and type per example in both",
        ),
    ],
)
def test_damaged_idx(folder: Path, name: str, content: bytes, found: str, expected):
    (folder / name).write_bytes(content)
    error = refused(folder)
    assert error.place.startswith(str(folder))
    assert found in error.found and expected in error.expected and error.cure


def test_idx_error_reads_well(folder: Path):
    path = folder / TRAIN_LABELS
    path.write_bytes(idx(ARRAYS["y_train"])[:-1])
    assert str(refused(folder)) == (
        f"{path}\n"
        "    found:    3 bytes after the header\n"
        "    expected: 4 = 4 bytes after the header\n"
        "    cure:     fetch or write the file again"
    )


def test_missing_idx_file(folder: Path):
    (folder / TRAIN_LABELS).unlink()
    assert refused(folder).found == (
        "no train-labels-idx1-ubyte among t10k-images-idx3-ubyte,"
        " t10k-labels-idx1-ubyte, train-images-idx3-ubyte"
    )


def test_empty_folder(tmp_path: Path):
    assert refused(tmp_path).found == "an empty folder"


def test_header_beyond_memory_is_refused_before_allocating(folder: Path):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    (folder / TRAIN_IMAGES).write_bytes(gzip.compress(header, mtime=0))
    assert refused(folder).found.startswith("a header that asks for 368,934,881,216")


# .npz files


def test_npz(archive: Path):
    check_shapes(archive)


def test_npz_of_floats_and_columns_of_labels(tmp_path: Path):
    data = load_data(
        save(
            tmp_path / "a.npz",
            x_train=np.full((4, 5), 7.0),
            x_test=np.full((2, 5), 9.0, ">f8"),
            y_train=np.array([[0], [1], [2], [3]], np.uint8),
            y_test=np.array([[0], [1]], np.uint8),
        )
    )
    assert data.train.inputs.dtype == data.test.inputs.dtype == np.float32
    assert data.train.inputs.shape == (4, 5) and data.test.inputs.max() == 9
    assert data.train.targets.tolist() == [0, 1, 2, 3] and data.classes == 4


def test_targets_that_are_not_labels(tmp_path: Path):
    data = load_data(save(tmp_path / "a.npz", y_train=np.eye(4), y_test=np.eye(4)[:2]))
    assert data.train.targets.dtype == np.float32 and data.classes is None


@pytest.mark.parametrize(
    ("changes", "place", "found"),
    [
        ({"x_train": np.array([{}] * 4)}, ", array 'x_train'", "Python objects"),
        ({"y_test": np.array(["a", "b"])}, ", array 'y_test'", "values of type <U1"),
        ({"x_test": np.zeros((0, 3, 2))}, ", array 'x_test'", "an empty set, of shape"),
        ({"y_test": np.array(3)}, ", array 'y_test'", "an empty set, of shape ()"),
        (
            {"x_test": np.zeros((2, 3, 2), int)},
            ", array 'x_test'",
            "inputs of type int64",
        ),
        ({"y_test": np.array([-1, 0])}, ", array 'y_test'", "labels from -1 to 0"),
        ({"y_test": np.array([0, 2**31])}, ", array 'y_test'", "labels from 0 to 2147"),
        (
            {"y_test": np.arange(3)},
            ", arrays 'x_test' and 'y_test'",
            "2 inputs and 3 targets",
        ),
        (
            {"y_test": np.array([0.5, 1])},
            "",
            "targets of int32 () to train on and float32 () to test on",
        ),
    ],
)
def test_unsound_npz(tmp_path: Path, changes: dict, place: str, found: str):
    path = save(tmp_path / "a.npz", **changes)
    error = refused(path)
    assert error.place == f"{path}{place}"
    assert found in error.found and error.expected and error.cure


def test_npz_is_never_unpickled(tmp_path: Path):
    path = save(tmp_path / "a.npz", y_train=np.array([Tripwire()] * 4))
    assert refused(path).expected == (
        "numbers; objects are never unpickled, because unpickling runs code"
    )


class Tripwire:
    """Fails the test that unpickles it."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_npz_without_an_array(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.zeros(3), labels=np.zeros(3))
    error = refused(path)
    assert error.found == "no y_train, x_test, y_test among labels, x_train"
    assert error.expected == "the arrays x_train, y_train, x_test, y_test"


def test_npz_that_is_no_archive(tmp_path: Path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"\x93NUMPY")
    assert refused(path).found == "a file that is not a zip archive"


def test_truncated_npz(archive: Path):
    with zipfile.ZipFile(archive) as packed:
        start = packed.getinfo("x_train.npy").header_offset + 60
    content = bytearray(archive.read_bytes())
    content[start : start + 20] = bytes(20)
    archive.write_bytes(content)
    error = refused(archive)
    assert error.place == str(archive)
    assert error.found.startswith("damaged archive: ")


def test_npz_header_that_disagrees_with_the_file(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, **ARRAYS)
    with zipfile.ZipFile(path) as packed:
        parts = {n: packed.read(n) for n in packed.namelist()}
    lie = parts["x_train.npy"].replace(b"(4, 3, 2)", b"(9, 9, 9)")
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in (parts | {"x_train.npy": lie}).items():
            packed.writestr(name, content)
    error = refused(path)
    assert error.found == "24 bytes of values"
    assert error.expected == "(9, 9, 9) of uint8 = 729 bytes"


def test_npz_beyond_memory_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=100)
    )
    assert refused(archive).found.startswith("a header that asks for")


# Names and paths


def test_unknown_name_proposes_the_nearest():
    assert str(refused("digit")) == (
        "data source 'digit'\n"
        "    found:    no such name, folder or file\n"
        "    expected: 'digits', a folder of idx files (as MNIST has them)"
        " or of .npy files, or an .npz file\n"
        "    cure:     did you mean 'digits'?"
    )


def test_missing_file_proposes_the_nearest(archive: Path):
    error = refused(archive.with_name("shape.npz"))
    assert error.cure == f"did you mean {str(archive)!r}?"
    assert refused("/no/such/file.npz").cure == "check the path"


def test_unreadable_file(archive: Path, monkeypatch: pytest.MonkeyPatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied", str(archive))

    monkeypatch.setattr(zipfile, "ZipFile", deny)
    error = refused(archive)
    assert (error.place, error.found) == (str(archive), "Permission denied")


def test_errors_travel_between_processes():
    error = refused("digit")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# Any damage at all


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_damage_is_refused_or_harmless(archive: Path, folder: Path, data):
    kind = data.draw(st.sampled_from(["npz", "idx", "gz"]))
    if kind == "npz":
        source, target, content = archive, archive, archive.read_bytes()
    else:
        content = idx(ARRAYS["x_train"])
        content = gzip.compress(content, mtime=0) if kind == "gz" else content
        source, target = folder, folder / TRAIN_IMAGES
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    target.write_bytes(broken[: data.draw(st.integers(0, len(broken)))])
    try:
        load_data(source)
    except DataError as error:
        assert str(folder.parent) in error.place
    finally:
        target.write_bytes(content)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text(alphabet="{}[]()':,\\ 0123456789<>fuOTruelnsdape_ro\n", max_size=80))
def test_any_npy_header_is_refused_or_harmless(tmp_path: Path, header: str):
    path = save(tmp_path / "a.npz")
    with zipfile.ZipFile(path, "a") as packed:
        text = header.encode()
        magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
        packed.writestr("x_train", magic + text)
    error = refused(path)
    assert str(path) in error.place
