"""What this package sets up of Pillow: HEIC, and no messages on the terminal."""

import contextlib
import functools
import logging
import warnings

from insideout_tf import processes

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its messages reach the terminal
_silence_lock = processes.ForkSafeLock()
_silence_count = 0


@functools.cache
def reads_heif():
    """Returns whether HEIC can be read: the package pillow-heif is installed, and lets Pillow do it."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextlib.contextmanager
def silenced():
    """Keeps Pillow's warnings about a file from the terminal; threads may overlap.

    The callers check what matters themselves. `warnings.catch_warnings` would not do: it restores what
    another thread has changed meanwhile.
    """
    global _silence_count
    with _silence_lock:
        _silence_count += 1
        if _silence_count == 1:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.filterwarnings("ignore", module=r"pillow_heif")
    try:
        yield
    finally:
        with _silence_lock:
            _silence_count -= 1
            if _silence_count == 0:
                for entry in list(warnings.filters):
                    pattern = getattr(entry[3], "pattern", None)
                    if entry[0] == "ignore" and pattern in (r"PIL\.", r"pillow_heif"):
                        warnings.filters.remove(entry)  # type: ignore[attr-defined]
