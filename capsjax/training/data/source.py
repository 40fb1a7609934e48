"""One function for every source of data."""

import difflib
import os
from pathlib import Path

from capsjax.training.data.digits import read_digits
from capsjax.training.data.idx import read_folder
from capsjax.training.data.npy import holds_npy, map_folder
from capsjax.training.data.npz import read_npz
from capsjax.training.data.split import ACCEPTED, Data, DataError


def load_data(source: str | os.PathLike[str]) -> Data:
    """Reads a training set and a test set.

    Args:
        source: One of

            * `"digits"`: 1,797 real handwritten digits of 8x8 pixels, embedded in
              scikit-learn. Within each class every fifth is a test example, so the
              split is stratified, and the same everywhere, bit by bit.
            * A folder of idx files under MNIST's names, gzipped or not.
            * An `.npz` file with `x_train`, `y_train`, `x_test` and `y_test`, as
              Keras stores its data sets. Bytes become [0, 1], and images of bytes
              get a channel axis where they have none; floats are taken as they are.
            * A folder of `.npy` files, which may be larger than memory: they are
              mapped into it and read as they are needed. It has `x_train.npy`,
              `y_train.npy`, `x_test.npy` and `y_test.npy`; or folders `train` and, if
              wanted, `test`, of arrays by the names of a network's inputs and outputs,
              such as `train/image.npy` and `train/digit.npy`; or such arrays itself,
              without a test set. Bytes stay bytes until they are used.

    Returns:
        The data on the host: inputs as float32, labels as int32; of `.npy` files, as
        they are stored.

    Raises:
        DataError: There is no such source, or it is not sound. The message names
            the file and the fault.

    Example:
        >>> data = load_data("digits")
        >>> data.train.inputs.shape, len(data.test), data.classes
        ((1442, 8, 8, 1), 355, 10)

    Source:
        Digits: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits
        (UCI, 1998). The idx format and MNIST: Y. LeCun, C. Cortes and C. Burges.
    """
    if source == "digits":
        return read_digits()
    path = Path(os.path.expanduser(source))
    try:
        if path.is_dir():
            return map_folder(path) if holds_npy(path) else read_folder(path)
        if path.is_file():
            return read_npz(path)
        raise _unknown(source, path)
    except OSError as error:
        raise DataError(
            error.filename or path,
            error.strerror or str(error),
            "a file that can be read",
            "check its permissions, and the disk",
        ) from error


def _unknown(source: str | os.PathLike[str], path: Path) -> DataError:
    """There is nothing of that name: proposes the nearest name there is."""
    folder = path.parent
    neighbours = {p.name: str(p) for p in folder.iterdir()} if folder.is_dir() else {}
    names = {"digits": "digits"} | neighbours
    near = difflib.get_close_matches(path.name, names, 1)
    return DataError(
        f"data source {os.fspath(source)!r}",
        "no such name, folder or file",
        ACCEPTED,
        f"did you mean {names[near[0]]!r}?" if near else "check the path",
    )
