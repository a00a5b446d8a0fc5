"""How this package uses Pillow: which formats, HEIC too, and no messages on the terminal."""

import contextlib
import functools
import io
import logging
import warnings

from insideout_tf import processes
from insideout_tf.data import inputs
from insideout_tf.errors import UserError

# The formats that Pillow may decode, whatever the file name says. Others can start programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
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


@contextlib.contextmanager
def open_image(data, where):
    """Yields the PIL image in the bytes of a file. Every error of Pillow becomes a `UserError`."""
    from PIL import Image

    has_heif = reads_heif()
    if not has_heif and inputs.find_picture_format(data[: inputs.HEAD_BYTES]) == "HEIF":
        raise UserError(
            f"{where}: expected the package pillow-heif, which reads HEIC. Install it with `pip "
            "install pillow-heif`, or save the picture as JPEG. Received: no such package"
        )
    try:
        with silenced():
            formats = (*FORMATS, "HEIF") if has_heif else FORMATS
            with Image.open(io.BytesIO(data), formats=formats) as image:
                yield image
    except UserError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if "BytesIO" in reason:
            reason = "not a recognised image format"
        raise UserError(
            f"{where}: expected a readable PNG or JPEG image. Replace or remove it. "
            f"Received: {len(data)} bytes, {reason}"
        ) from None
