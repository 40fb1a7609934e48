"""Keeps orbax's messages out of the log: what matters is raised, or named."""

import logging
import os


class Quiet(logging.Filter):
    """A filter of absl's logger that orbax's messages do not pass; others do."""

    def filter(self, record: logging.LogRecord) -> bool:
        return f"{os.sep}orbax{os.sep}" not in record.pathname

    def __enter__(self) -> "Quiet":
        logging.getLogger("absl").addFilter(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("absl").removeFilter(self)
