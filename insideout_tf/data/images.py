"""The only path from an image, in a file or in memory, to the pixels a model sees."""

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
# The formats whose decoders may run, whatever a file is named (Pillow knows some that start programs).
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def decode_face(data, where):
    """Decodes the bytes of one 48×48 image file to uint8 `[48, 48]` grey (ITU-R 601 luma).

    Raises `UserError` naming `where` when the bytes are no image or of another size.
    """
    with _opened(data, where) as image:
        if image.size != (FACE_SIDE, FACE_SIDE):  # known from the header, before decoding
            raise UserError(
                f"{where}: expected an image of {FACE_SIDE}×{FACE_SIDE} pixels. Crop and "
                f"resize it, or remove it. Received: {image.size[0]}×{image.size[1]}"
            )
        return np.asarray(_grey(image, where), np.uint8)


def read_face(path):
    """Returns the face crop in an image file of any size as uint8 `[48, 48]` grey.

    Turned upright as its EXIF tag says, then as `shrink`. Raises `UserError` naming the file.
    """
    return shrink(read_image(path))


def read_image(path):
    """Returns the picture in an image file as a PIL image, decoded and upright by its EXIF tag.

    16-bit grey levels become 8-bit ones. Raises `UserError` naming the file when it is no image,
    damaged, of other levels than 0..255, or too large to be decoded (`MAX_FILE_BYTES`,
    `MAX_PIXELS`, judged before decoding).
    """
    from PIL import ImageOps

    path = pathlib.Path(path)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{path}: expected an image of at most {MAX_FILE_BYTES:,} bytes. Shrink it. Received: "
            f"{size:,} bytes"
        )
    with _opened(path.read_bytes(), path) as image:
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise UserError(
                f"{path}: expected an image of at most {MAX_PIXELS:,} pixels. Shrink it. Received: "
                f"{image.size[0]}×{image.size[1]}"
            )
        upright = ImageOps.exif_transpose(image)
        upright.load()
        return _in_8_bits(upright, path)


def to_picture(picture):
    """Returns a path's picture, a PIL image, or a uint8 array `[h, w]` or `[h, w, 3]` as PIL image, upright."""
    from PIL import Image, ImageOps

    if isinstance(picture, (str, os.PathLike)):
        return read_image(picture)
    if hasattr(picture, "convert"):
        return _in_8_bits(ImageOps.exif_transpose(picture), "picture")
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(
            "picture: expected a path, a PIL image or an array uint8 [h, w] or [h, w, 3]. Received: "
            f"{type(picture).__name__} of {array.dtype} {list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UserError(
            f"picture: expected 1, 3 or 4 channels, last. Received: shape {list(array.shape)}"
        )
    return Image.fromarray(
        array[..., 0] if array.shape[2:] == (1,) else np.ascontiguousarray(array)
    )


def shrink(image):
    """Turns a PIL image of a face into uint8 `[48, 48]`, the one way every image goes.

    Upright by its EXIF tag; grey by ITU-R 601 luma, transparency dropped; bilinear to 48×48 with
    antialiasing (each result pixel averages all it covers), whatever the shape was. An image of
    48×48 grey levels stays as it is.
    """
    from PIL import Image, ImageOps

    grey = _grey(ImageOps.exif_transpose(image), "images")
    if grey.size != (FACE_SIDE, FACE_SIDE):
        grey = grey.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(grey, np.uint8)


def to_faces(images):
    """Returns faces in any usual form as uint8 `[n, 48, 48]`.

    images: an array (uint8, or any number type in 0..255) of shape `[n, h, w]`, `[n, h, w, 1]`,
    `[n, h, w, 3]` or `[n, h, w, 4]` (red, green, blue; alpha dropped), or of one face, without the n;
    a path; a PIL image; or a list of these. Numbers are rounded to whole grey levels, and each face
    goes through `shrink`. Raises `UserError` for anything else, and for fractions in 0..1, which
    would look black.
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
            "images: expected numbers, paths or PIL images. Received: "
            f"{type(images).__name__} of {array.dtype}"
        )
    channels = array.shape[-1] if array.ndim >= 3 and array.shape[-1] in (1, 3, 4) else 0
    if array.ndim == (3 if channels else 2):
        array = array[None]
    if array.ndim != (4 if channels else 3) or 0 in array.shape[1:]:
        raise UserError(
            "images: expected an array of shape [n, h, w] or [n, h, w, 1, 3 or 4], or one face "
            f"without the n. Received: shape {list(np.shape(images))}"
        )
    if array.dtype != np.uint8:
        array = _whole(array, "images")
    if channels == 1:
        array = array[..., 0]
    if array.shape[1:] == (FACE_SIDE, FACE_SIDE):
        return np.ascontiguousarray(array)
    from PIL import Image

    return to_faces([Image.fromarray(face) for face in array])


def _whole(array, where):
    """Returns numbers in 0..255 as uint8, rounded; refuses others, and fractions of one."""
    if not array.size:
        return array.astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # so that NaN is refused
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
def _opened(data, where):
    """Yields the PIL image of the bytes of a file; whatever Pillow raises becomes a `UserError`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # A header that claims a huge image is refused by its size.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        with opened as image:
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


def _grey(image, where):
    image = _in_8_bits(image, where)
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _in_8_bits(image, where):
    """Returns a picture of deeper grey levels in 256 of them, any other as it is."""
    from PIL import Image

    if image.mode.startswith("I;16"):  # Pillow would cut off what is above 255
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_whole(np.asarray(image), where))
    return image


def to_model_input(pixels):
    """Returns uint8 or float `[n, 48, 48]` grey levels 0..255 as float32 `[n, 48, 48, 1]`."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[1:] != (FACE_SIDE, FACE_SIDE):
        raise UserError(
            f"faces: expected an array of shape [n, {FACE_SIDE}, {FACE_SIDE}]. "
            f"Received: shape {list(pixels.shape)}"
        )
    return pixels[..., None].astype(np.float32)
