"""Faces as NumPy arrays in one .npz file."""

import zipfile

import numpy as np

from insideout_tf.data import contract
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import USAGES, Faces
from insideout_tf.data.reading import AS_THE_DATA
from insideout_tf.errors import UserError

MAX_ARRAY_BYTES = 4 << 30  # FER2013 has 0.1 GB
KEYS = ("pixels", "emotion", "usage")


def read_npz(path, reading=AS_THE_DATA):
    """Reads an .npz file with the arrays `pixels`, `emotion` and `usage`, and perhaps `classes`.

    `pixels` is uint8 `[n, side, side]`, `[n, side, side, 1]` or, in colour, `[n, side, side, 3]`;
    `emotion` integers `[n]` from 0 on; `usage` integers `[n]` in 0..2; `classes` the names of the
    classes as text `[k]`. Without `classes`, they are those of `reading`, or FER2013's seven. Objects are
    not unpickled.

    Args:
        path: `pathlib.Path` of the file.
        reading: a `Reading`; with `bad_rows="skip"`, faces with a bad label or usage are listed.

    Returns:
        `Faces`.

    Raises:
        UserError: a damaged file, a missing array, another shape or type, a bad value (with its
            index), or no good face at all.
    """
    pixels, labels, usage, names = _load(path)
    classes = _read_classes(path, names) or reading.classes or EMOTIONS
    _check_pixels(path, pixels)
    is_bad, messages = np.zeros(len(pixels), bool), []
    for name, values, highest in (
        ("emotion", labels, len(classes) - 1),
        ("usage", usage, len(USAGES) - 1),
    ):
        is_wrong = _find_wrong(path, name, values, len(pixels), highest)
        for index in np.flatnonzero(is_wrong):
            message = (
                f"{path}, index {index}: expected {name!r} from 0 to {highest}. Correct or remove "
                f"the face. Received: {values[index]}"
            )
            if reading.bad_rows == "stop":
                raise UserError(message)
            messages.append(message)
        is_bad |= is_wrong
    if is_bad.all():
        raise UserError(
            f"{path}: expected at least one face. Give another file. Received: {len(is_bad)} faces"
            + (", all bad" if len(is_bad) else "")
        )
    pixels = pixels[~is_bad] if is_bad.any() else pixels
    return Faces(
        pixels[..., 0] if pixels.shape[3:] == (1,) else pixels,
        labels[~is_bad].astype(np.uint8),
        usage[~is_bad].astype(np.uint8),
        source=str(path),
        skipped=tuple(messages),
        classes=tuple(classes),
    )


def _load(path):
    """Returns the arrays `KEYS` of an .npz file and `classes` or None, unchecked."""
    expected = (
        "an npz with 'pixels' uint8 [n, side, side], 'emotion' [n] from 0 on and 'usage' [n] "
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
            names = arrays["classes"] if "classes" in arrays else None
            return (*(arrays[key] for key in KEYS), names)
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise UserError(
            f"{path}: expected {expected}. The file looks damaged; make or download it "
            f"again. Received: {type(error).__name__}: {error}"
        ) from None


def _read_classes(path, names):
    """Returns the class names in an array of text, a tuple, or None for None."""
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(
            f"{path}: expected 'classes' as text [k]. Correct the array. Received: {names.dtype} "
            f"{list(names.shape)}"
        )
    classes = tuple(str(name) for name in names)
    contract.check_classes(classes, f"{path}: 'classes'")
    return classes


def _check_pixels(path, pixels):
    shape = pixels.shape[1:]
    is_right = pixels.dtype == np.uint8 and pixels.ndim in (3, 4) and shape[2:] in ((), (1,), (3,))
    if not (
        is_right and shape[0] == shape[1] and contract.MIN_SIDE <= shape[0] <= contract.MAX_SIDE
    ):
        raise UserError(
            f"{path}: expected 'pixels' of type uint8 and shape [n, side, side], such as [n, 48, 48], "
            "or [n, side, side, 3] in colour. "
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
