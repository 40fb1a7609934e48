"""A folder of compiled programs: what one process has compiled, the next one loads.

Two things are kept in it:

    xla-PROCESSOR/   XLA's executables, by JAX's persistent compilation cache, keyed by
                     the program, the versions of JAX and XLA, platform and options.
                     Executables for CPUs hold machine code, so that each kind of
                     processor has a folder of its own.
    steps/           traced training steps of the command line (`stored_step`), keyed
                     by the document's content hash, so that nothing is traced again.

The folder holds nothing but what can be made again; it may be deleted at any time.
"""

import hashlib
import os
import platform
from pathlib import Path

import jax

VARIABLE = "CAPSJAX_CACHE"
"""The environment variable that moves the folder, or is "off"."""

_SUFFIXES = {"xla-*": ("-cache", "-atime"), "steps": (".step",)}


def use_cache(
    folder: str | os.PathLike[str] | None = None, *, max_bytes: int = 2 * 2**30
) -> Path | None:
    """Keeps compiled programs on disk: a second process need not compile them again.

    Sets JAX's persistent compilation cache for this process; `import capsjax` does
    not. Call it at the start of a notebook or script. The command line calls it
    itself. Whoever can write to the folder can make this process run code: keep it to
    yourself.

    Args:
        folder: Where; "off" for nowhere. If left out, what the environment variable
            CAPSJAX_CACHE says; else, if JAX was given a folder already, that one, left
            as it is; else the folder `capsjax` among the user's caches, such as
            ~/.cache/capsjax.
        max_bytes: Now, at the call, what was not used for the longest time is removed
            until the rest takes at most this.

    Returns:
        The folder; None if compiled programs are not kept, because of "off", or since
        nothing was said and the user's caches can't be written to.

    Raises:
        ValueError: `max_bytes` is negative.
        OSError: The folder that was named can't be made.

    Example:
        >>> import jax, tempfile, capsjax as cj
        >>> folder = cj.use_cache(tempfile.mkdtemp())
        >>> sorted(path.name.split("-")[0] for path in folder.iterdir())
        ['steps', 'xla']
        >>> cj.use_cache("off")
    """
    from jax.experimental.compilation_cache import compilation_cache

    if max_bytes < 0:
        raise ValueError(f"max_bytes is {max_bytes}; expected 0 or more")
    chosen = folder or os.environ.get(VARIABLE)
    present = jax.config.values["jax_compilation_cache_dir"]
    if not chosen and present:
        return Path(present)
    if chosen == "off":
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.reset_cache()
        return None
    folder = Path(chosen) if chosen else _default()
    programs = folder / f"xla-{processor()}"
    try:
        programs.mkdir(parents=True, exist_ok=True)
        (folder / "steps").mkdir(exist_ok=True)
        _shrink(folder, max_bytes)
    except OSError:
        if chosen:
            raise
        return None  # nobody asked for it, as in a container without a home
    jax.config.update("jax_compilation_cache_dir", os.fspath(programs))
    # Small programs count, too: initial values are made of some fifty.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    compilation_cache.reset_cache()  # JAX may have looked already, and found no folder
    return folder


def cache_folder() -> Path | None:
    """The folder of this process's caches, if it is to have one: see `use_cache`."""
    chosen = os.environ.get(VARIABLE)
    if chosen == "off":
        return None
    return Path(chosen) if chosen else _default()


def _default() -> Path:
    """The folder among the user's caches, wherever the platform has them."""
    import platformdirs

    return platformdirs.user_cache_path("capsjax", appauthor=False)


def processor() -> str:
    """The kind of processor, as far as it can be told: its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        found = next(x for x in lines if x.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        found = platform.processor()
    digest = hashlib.sha256(f"{platform.machine()} {found}".encode())
    return digest.hexdigest()[:12]


def _shrink(folder: Path, max_bytes: int) -> None:
    """Removes files, those unused for the longest time first, until the rest fits.

    JAX's own bound reads a file for each entry whenever it writes one, which takes
    longer than compiling small programs. Only files of a cache are touched.
    """
    found = []
    for part, suffixes in _SUFFIXES.items():
        for path in folder.glob(f"{part}/*"):
            if path.name.endswith(suffixes):
                try:
                    status = path.stat()
                except OSError:
                    continue  # another process was quicker
                used = max(status.st_atime, status.st_mtime)
                found.append((used, status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= max_bytes:
            break
        total -= size
        path.unlink(missing_ok=True)
