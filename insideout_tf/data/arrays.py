"""Faces as NumPy arrays in one .npz file."""

import zipfile

import numpy as np

from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import USAGES, Faces
from insideout_tf.errors import UserError

MAX_ARRAY_BYTES = 4 << 30  # FER2013 has 0.1 GB
KEYS = ("pixels", "emotion", "usage")


def read_npz(path, bad_rows="stop"):
    """Reads an .npz file with the arrays `pixels`, `emotion` and `usage`.

    `pixels` is uint8 `[n, 48, 48]` or `[n, 48, 48, 1]`, `emotion` integers `[n]` in 0..6 and `usage`
    integers `[n]` in 0..2. Objects are not unpickled.

    Args:
        path: `pathlib.Path` of the file.
        bad_rows: "stop" at the first bad label or usage, or "skip" those faces and list them.

    Returns:
        `Faces`.

    Raises:
        UserError: a damaged file, a missing array, another shape or type, a bad value (with its
            index), or no good face at all.
    """
    pixels, labels, usage = _load(path)
    _check_pixels(path, pixels)
    is_bad, messages = np.zeros(len(pixels), bool), []
    for name, values, highest in (
        ("emotion", labels, len(EMOTIONS) - 1),
        ("usage", usage, len(USAGES) - 1),
    ):
        is_wrong = _find_wrong(path, name, values, len(pixels), highest)
        for index in np.flatnonzero(is_wrong):
            message = (
                f"{path}, index {index}: expected {name!r} from 0 to {highest}. Correct or remove "
                f"the face. Received: {values[index]}"
            )
            if bad_rows == "stop":
                raise UserError(message)
            messages.append(message)
        is_bad |= is_wrong
    if is_bad.all():
        raise UserError(
            f"{path}: expected at least one face. Give another file. Received: {len(is_bad)} faces"
            + (", all bad" if len(is_bad) else "")
        )
    side = images.FACE_SIDE
    return Faces(
        (pixels[~is_bad] if is_bad.any() else pixels).reshape(-1, side, side),
        labels[~is_bad].astype(np.uint8),
        usage[~is_bad].astype(np.uint8),
        source=str(path),
        skipped=tuple(messages),
    )


def _load(path):
    """Returns the arrays `KEYS` of an .npz file, unchecked."""
    expected = (
        "an npz with 'pixels' uint8 [n, 48, 48], 'emotion' [n] 0..6 and 'usage' [n] "
        "(0 Training, 1 PublicTest, 2 PrivateTest)"
    )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_ARRAY_BYTES:
            raise UserError(
                f"{path}: expected at most {MAX_ARRAY_BYTES >> 30} GB of arrays. Give a smaller "
                f"file. Received: {size >> 30} GB"
            )
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in KEYS if key not in arrays]
            if missing:
                raise UserError(
                    f"{path}: expected {expected}. Add {', '.join(missing)}. "
                    f"Received: {', '.join(arrays.files) or 'no arrays'}"
                )
            return tuple(arrays[key] for key in KEYS)
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise UserError(
            f"{path}: expected {expected}. The file looks damaged; make or download it "
            f"again. Received: {type(error).__name__}: {error}"
        ) from None


def _check_pixels(path, pixels):
    side = images.FACE_SIDE
    is_right = pixels.dtype == np.uint8 and pixels.ndim in (3, 4)
    if not is_right or pixels.shape[1:] not in ((side, side), (side, side, 1)):
        raise UserError(
            f"{path}: expected 'pixels' of type uint8 and shape [n, 48, 48]. "
            f"Convert the array. Received: {pixels.dtype} {list(pixels.shape)}"
        )


def _find_wrong(path, name, values, count, highest):
    """Returns bool `[count]`: which `values` are outside 0..highest. Raises for another shape."""
    if values.shape != (count,) or values.dtype.kind not in "ui":
        raise UserError(
            f"{path}: expected {name!r} as {count} whole numbers, one a face. "
            f"Correct the array. Received: {values.dtype} {list(values.shape)}"
        )
    return (values < 0) | (values > highest)
