"""Files that are whole or absent: written beside their place, then renamed into it."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file so that no reader, and no crash, ever sees a part of it.

    Args:
        path: The file; an existing one is replaced only by the whole new one.
        content: What it is to hold.

    Raises:
        OSError: It can't be written; an existing file is left as it was.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """The process's umask: it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
