"""Data to train on: embedded digits, folders of idx files, `.npz` and `.npy` files.

What does not fit in memory is read as it is needed: `.npy` files are mapped into it,
and sources give single items (see `readers`).

Files are judged by what they hold, not by what they are called, and nothing is
allocated before a header has been compared with the size of its file and with the
memory of the machine.
"""

from capsjax.training.data.source import load_data
from capsjax.training.data.split import Data, DataError, Named, Split

__all__ = ["Data", "DataError", "Named", "Split", "load_data"]
