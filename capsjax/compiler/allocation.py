"""Memory of programs on CPU, kept from one step to the next.

XLA allocates a program's temporaries afresh for every call. The C library of Linux
takes blocks of more than 32 MiB from the system each time and gives them back, and the
system fills every page with zeros when it is first touched: 16 layers of two 3x3
convolutions, whose step has 34 MiB of temporaries, take 46 ms instead of 32 ms.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_MOST = 2**31 - 1


def keep_memory() -> bool:
    """Makes this process keep the memory that it frees, for steps that come after.

    For training on CPU; call it once, before the first step. `capsjax train` does. It
    concerns all of the process, which will hold on to the most that it ever needed.

    Returns:
        Whether the C library could be told: it is glibc's (Linux).

    Example:
        >>> import capsjax as cj
        >>> cj.keep_memory() in (True, False)
        True

    Source: mallopt(3): M_MMAP_MAX, M_TRIM_THRESHOLD.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    options = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _MOST, _M_TOP_PAD: 2**26}
    return all([library.mallopt(option, to) for option, to in options.items()])
