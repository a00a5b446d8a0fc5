"""The only way from an image, in a file or in memory, to the grey levels of a face.

Image files are untrusted: size and format are checked before the decoder runs.
"""

import contextlib
import io
import os
import pathlib
import warnings

import numpy as np

from insideout_tf.errors import UserError

FACE_SIDE = 48  # pixels; FER2013 (Goodfellow et al. 2013, section 4)
MAX_FILE_BYTES = 50_000_000  # a face needs a few kilobytes
MAX_PIXELS = 100_000_000
# The formats that Pillow may decode, whatever the file name says. Others can start programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def decode_face(data, where):
    """Decodes an image file of 48×48 pixels to grey levels, uint8 `[48, 48]` (ITU-R 601 luma).

    Args:
        data: the bytes of the file.
        where: its name, for messages.

    Raises:
        UserError: the bytes are not an image, or it has another size.
    """
    with _open_image(data, where) as image:
        if image.size != (FACE_SIDE, FACE_SIDE):  # known from the header, before decoding
            raise UserError(
                f"{where}: expected an image of {FACE_SIDE}×{FACE_SIDE} pixels. Crop and "
                f"resize it, or remove it. Received: {image.size[0]}×{image.size[1]}"
            )
        return np.asarray(_to_grey(image, where), np.uint8)


def read_face(path):
    """Returns the face crop in an image file of any size as grey levels, uint8 `[48, 48]`.

    It is `read_image`, then `shrink`, and raises the same errors.
    """
    return shrink(read_image(path))


def read_image(path):
    """Decodes an image file to a PIL image, turned upright by its EXIF tag.

    16-bit grey levels become 8-bit grey levels.

    Args:
        path: the path of a file in one of `FORMATS`.

    Raises:
        UserError: the file is damaged or not an image, is larger than `MAX_FILE_BYTES`, has more
            than `MAX_PIXELS` by its header, or has grey levels outside 0..255.
        OSError: the file cannot be opened.
    """
    from PIL import ImageOps

    path = pathlib.Path(path)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{path}: expected an image of at most {MAX_FILE_BYTES:,} bytes. Shrink it. Received: "
            f"{size:,} bytes"
        )
    with _open_image(path.read_bytes(), path) as image:
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise UserError(
                f"{path}: expected an image of at most {MAX_PIXELS:,} pixels. Shrink it. Received: "
                f"{image.size[0]}×{image.size[1]}"
            )
        upright = ImageOps.exif_transpose(image)
        upright.load()
        return _to_8_bits(upright, path)


def to_picture(picture):
    """Returns a picture in any usual form as a PIL image, upright.

    picture: a path, a PIL image, or an array uint8 `[h, w]` or `[h, w, c]` with 1, 3 or 4 channels
    (red, green, blue, alpha). Raises `UserError` for other forms, and what `read_image` raises.
    """
    from PIL import Image, ImageOps

    if isinstance(picture, (str, os.PathLike)):
        return read_image(picture)
    if hasattr(picture, "convert"):
        return _to_8_bits(ImageOps.exif_transpose(picture), "picture")
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(
            "picture: expected a path, a PIL image or an array uint8 [h, w] or [h, w, 3]. Convert "
            f"it. Received: {type(picture).__name__} of {array.dtype} {list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UserError(
            "picture: expected 1, 3 or 4 channels, as the last axis. Transpose or select them. "
            f"Received: shape {list(array.shape)}"
        )
    return Image.fromarray(
        array[..., 0] if array.shape[2:] == (1,) else np.ascontiguousarray(array)
    )


def shrink(image):
    """Returns a PIL image of a face as grey levels, uint8 `[48, 48]`.

    The image is turned upright by its EXIF tag, loses its transparency, becomes grey by ITU-R 601
    luma, and is resized to 48×48. The resize is bilinear with antialiasing and ignores the aspect
    ratio. An image of 48×48 grey levels does not change.
    """
    from PIL import Image, ImageOps

    grey = _to_grey(ImageOps.exif_transpose(image), "images")
    if grey.size != (FACE_SIDE, FACE_SIDE):
        grey = grey.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(grey, np.uint8)


def to_faces(images):
    """Returns faces in any usual form as grey levels, uint8 `[n, 48, 48]`.

    Each face goes through `shrink`. Numbers that are not whole are rounded.

    Args:
        images: an array `[n, h, w]` or `[n, h, w, c]` of numbers in 0..255, with 1, 3 or 4 channels
            (red, green, blue, alpha); one face without the n; a path; a PIL image; or a list of
            these.

    Raises:
        UserError: another form, numbers outside 0..255, or fractions in 0..1 (they would look
            black), and what `read_image` raises.

    Example:
        >>> to_faces("face.png").shape
        (1, 48, 48)
    """
    if isinstance(images, (str, os.PathLike)):
        return read_face(images)[None]
    if isinstance(images, (list, tuple)):
        if not images:
            return np.zeros((0, FACE_SIDE, FACE_SIDE), np.uint8)
        return np.concatenate([to_faces(image) for image in images])
    if hasattr(images, "convert"):  # a PIL image
        return shrink(images)[None]
    array = np.asarray(images)
    if array.dtype.kind not in "uif":
        raise UserError(
            "images: expected numbers, paths or PIL images. Convert them. Received: "
            f"{type(images).__name__} of {array.dtype}"
        )
    channels = array.shape[-1] if array.ndim >= 3 and array.shape[-1] in (1, 3, 4) else 0
    if array.ndim == (3 if channels else 2):
        array = array[None]
    if array.ndim != (4 if channels else 3) or 0 in array.shape[1:]:
        raise UserError(
            "images: expected an array of shape [n, h, w] or [n, h, w, 1, 3 or 4], or one face "
            f"without the n. Reshape it. Received: shape {list(np.shape(images))}"
        )
    if array.dtype != np.uint8:
        array = _to_whole(array, "images")
    if channels == 1:
        array = array[..., 0]
    if array.shape[1:] == (FACE_SIDE, FACE_SIDE):
        return np.ascontiguousarray(array)
    from PIL import Image

    return to_faces([Image.fromarray(face) for face in array])


def _to_whole(array, where):
    """Returns numbers in 0..255 as uint8, rounded. Raises `UserError` for others and for fractions."""
    if not array.size:
        return array.astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # this form is true for NaN
        raise UserError(
            f"{where}: expected grey levels from 0 to 255. Scale them. Received: numbers from "
            f"{low:g} to {high:g}"
        )
    if array.dtype.kind == "f" and 0 < high <= 1:
        raise UserError(
            f"{where}: expected grey levels from 0 to 255, not fractions: this model was trained on "
            "them as files hold them. Multiply by 255. Received: floating point numbers from "
            f"{low:g} to {high:g}"
        )
    return np.rint(array).astype(np.uint8)


@contextlib.contextmanager
def _open_image(data, where):
    """Yields the PIL image in the bytes of a file. Every error of Pillow becomes a `UserError`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # The callers check the size in the header themselves.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        with image:
            yield image
    except UserError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        if "BytesIO" in reason:
            reason = "not a recognised image format"
        raise UserError(
            f"{where}: expected a readable PNG or JPEG image. Replace or remove it. "
            f"Received: {len(data)} bytes, {reason}"
        ) from None


def _to_grey(image, where):
    """Returns a PIL image as one of 8-bit grey levels (mode L)."""
    image = _to_8_bits(image, where)
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _to_8_bits(image, where):
    """Returns a PIL image of 16-bit, 32-bit or float grey levels as one of 8 bits, others unchanged."""
    from PIL import Image

    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_to_whole(np.asarray(image), where))
    return image


def to_model_input(pixels):
    """Returns faces as the input of a model: float32 `[n, 48, 48, 1]`, 0..255.

    pixels: grey levels `[n, 48, 48]` of any number type. Raises `UserError` for another shape.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[1:] != (FACE_SIDE, FACE_SIDE):
        raise UserError(
            f"faces: expected an array of shape [n, {FACE_SIDE}, {FACE_SIDE}]. Use `to_faces`. "
            f"Received: shape {list(pixels.shape)}"
        )
    return pixels[..., None].astype(np.float32)
