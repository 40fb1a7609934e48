"""Data to train on: embedded digits, folders of idx files, `.npz` files.

Files are judged by what they hold, not by what they are called, and nothing is
allocated before a header has been compared with the size of its file and with the
memory of the machine.
"""

from capsjax.training.data.source import load_data
from capsjax.training.data.split import Data, DataError, Split

__all__ = ["Data", "DataError", "Split", "load_data"]
