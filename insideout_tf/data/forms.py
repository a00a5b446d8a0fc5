"""Pictures and arrays in the forms that people hold: by what they hold, not by their exact type."""

import collections.abc
import os
import re

import numpy as np

from insideout_tf.data import pillow
from insideout_tf.errors import UserError

MIN_PIXEL_TEXT = 64  # numbers in a text from which it is one of pixels and no path


def is_encoded(value):
    """Returns True for a path, bytes of an image file, or a file object."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview)
    return isinstance(value, kinds) or hasattr(value, "read")


def is_image(value):
    """Returns True for a PIL image."""
    return hasattr(value, "convert") and hasattr(value, "getbands")


def to_items(value):
    """Returns the pictures of a collection as a list, or None for one picture and for numbers.

    A collection is a list, a tuple, a pandas Series, an array of paths, a set, a generator or another
    iterable. Nested lists of numbers, as JSON has them, are numbers.
    """
    if is_encoded(value) or is_image(value) or isinstance(value, collections.abc.Mapping):
        return None
    if isinstance(value, (list, tuple)):
        return None if _is_nested_numbers(value) else list(value)
    if hasattr(value, "__array__") or hasattr(value, "__cuda_array_interface__"):
        if not _may_hold_objects(value):
            return None
        array = np.asarray(value)
        if array.dtype.kind not in "OUST" or array.ndim != 1:
            return None
        return [os.fsdecode(each) for each in array] if array.dtype.kind == "S" else list(array)
    return list(value) if isinstance(value, collections.abc.Iterable) else None


def _is_nested_numbers(value):
    """Returns True if lists hold numbers, and equally many everywhere."""
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if not isinstance(first, (int, float, np.number)):
        return False
    try:
        return np.asarray(value).dtype.kind in "uif"
    except ValueError:  # faces of several sizes: each is an array of its own
        return not isinstance(value[0], (list, tuple))


def _may_hold_objects(value):
    """Returns True if an array or a table can hold paths, which tensors of numbers cannot."""
    return getattr(getattr(value, "dtype", None), "kind", "-") in "OUST"


def to_array(value, where):
    """Returns numbers as an array: of lists, or of an array or tensor of any framework on any device.

    Raises `UserError` for what is none, and for a tensor without values.
    """
    try:
        array = np.asarray(_to_host(value))
    except Exception as error:  # frameworks raise many kinds, for tensors without values too
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        if isinstance(value, (list, tuple)):  # of different lengths
            raise UserError(
                f"{where}: expected an array of numbers. Convert it. Received: "
                f"{type(value).__name__}, {reason}"
            ) from None
        raise UserError(
            f"{where}: expected numbers that can be read. Call this outside of a compiled function, "
            f"with a tensor that has values: give `np.asarray(tensor)`. Received: {type(value).__name__}, {reason}"
        ) from None
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and its kin
        array = array.astype(np.float32)
    if array.dtype.kind not in "uif":
        raise UserError(
            f"{where}: expected numbers, paths, bytes or PIL images. Convert them. Received: "
            f"{type(value).__name__} of {array.dtype}"
        )
    return array


def _to_host(value):
    """Returns a tensor of PyTorch or CuPy as one that NumPy can read; anything else as it is."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.float() if "bfloat16" in str(getattr(value, "dtype", "")) else value
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        return value.get()
    return value


def load_image(image, where):
    """Decodes a PIL image that may be lazy; raises `UserError` for a closed or truncated one."""
    from PIL import ImageOps

    try:
        with pillow.silenced():
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises several kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise UserError(
            f"{where}: expected a PIL image that is whole and open. Open its file again, or give its "
            f"path. Received: {reason}"
        ) from None


def check_path_text(text):
    """Raises `UserError` for a text of pixels, as FER2013's CSV has them, in the place of a path."""
    count = len(re.findall(r"\d+", text))
    if count >= MIN_PIXEL_TEXT and re.fullmatch(r"[\d\s.,;\[\]()]+", text):
        raise UserError(
            "images: expected paths or arrays. Make an array of a text of pixels: "
            "`np.array(text.split(), 'uint8').reshape(48, 48)`. Received: a text of "
            f"{count:,} numbers"
        )
