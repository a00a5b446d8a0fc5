"""The only way from an image, in a file or in memory, to the grey levels of a face.

Image files are untrusted: size and format are checked before the decoder runs.
"""

import contextlib
import io
import os

import numpy as np

from insideout_tf.data import inputs, pillow
from insideout_tf.errors import UserError

FACE_SIDE = 48  # pixels; FER2013 (Goodfellow et al. 2013, section 4)
MAX_FILE_BYTES = 50_000_000  # a face needs a few kilobytes
MAX_PIXELS = 100_000_000
MAX_ASPECT_RATIO = 4  # of a face in an array; a longer one is an array of another meaning
MIN_DEEP_LEVEL = 4096  # a file of 16 bits whose levels stay below it holds 8 or 12 bits
# The formats that Pillow may decode, whatever the file name says. Others can start programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
# Of the images in a class folder of a data set.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
# Of pictures elsewhere, which are recognised by their content; a damaged one is known by its name.
PICTURE_SUFFIXES = (*SUFFIXES, ".jfif", ".jpe", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")
_STANDARD_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")


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


def read_image(source):
    """Decodes an image to a PIL image, turned upright by its EXIF tag.

    16-bit grey levels become 8-bit grey levels, and CIE L*a*b* becomes sRGB.

    Args:
        source: the path of a file in one of `FORMATS` (`~` is the home folder), the bytes of such a
            file, or a file object that is open for reading bytes, such as an upload. HEIC is read if
            the package pillow-heif is installed.

    Raises:
        UserError: nothing or no regular file is there; the file is damaged or not an image, is larger
            than `MAX_FILE_BYTES`, has more than `MAX_PIXELS` by its header, has grey levels outside
            0..255, or has 8-bit or 12-bit levels in 16 bits.
        OSError: the operating system refuses to open the file, for instance without permission.
    """
    from PIL import ImageOps

    data, where = _read_bytes(source)
    with _open_image(data, where) as image:
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise UserError(
                f"{where}: expected an image of at most {MAX_PIXELS:,} pixels. Shrink it. Received: "
                f"{image.size[0]}×{image.size[1]}"
            )
        is_deep = _has_16_bits(image)
        upright = ImageOps.exif_transpose(image)
        upright.load()
        if is_deep and _highest_level(upright) < MIN_DEEP_LEVEL // 256:
            _refuse_shallow(where, f"{_highest_level(upright) * 256 + 255:,}")
        return _to_8_bits(upright, where)


def _read_bytes(source):
    """Returns (the bytes of an image file, its name for messages); `source` as of `read_image`."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, where = bytes(source), "picture"
    elif hasattr(source, "read"):
        data, name = source.read(MAX_FILE_BYTES + 1), getattr(source, "name", None)
        where = name if isinstance(name, str) else "picture"
        if not isinstance(data, bytes):
            raise UserError(
                f"{where}: expected a file object that gives bytes. Open it in mode 'rb'. Received: "
                f"{type(data).__name__}"
            )
    else:
        where = os.path.expanduser(os.fsdecode(source))
        size = inputs.check_regular_file(where, "an image file").st_size
        _check_size(where, size)
        with open(where, "rb") as file:
            return file.read(MAX_FILE_BYTES), where
    _check_size(where, len(data))
    return data, where


def _check_size(where, size):
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{where}: expected an image of at most {MAX_FILE_BYTES:,} bytes. Shrink it. Received: "
            f"{size:,} bytes"
        )


def is_encoded(value):
    """Returns True for what `read_image` takes: a path, bytes, or a file object."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview)
    return isinstance(value, kinds) or hasattr(value, "read")


def to_picture(picture):
    """Returns a picture in any usual form as a PIL image, upright.

    Args:
        picture: what `read_image` takes; a PIL image; or an array `[h, w]` or `[h, w, c]` of numbers
            in 0..255, with 1, 3 or 4 channels: red, green, blue, alpha. OpenCV's arrays have blue
            first: give `array[..., ::-1]`. Numbers that are not whole are rounded.

    Raises:
        UserError: another form, numbers outside 0..255, or fractions in 0..1; and what `read_image`
            raises.
    """
    from PIL import Image, ImageOps

    if is_encoded(picture):
        return read_image(picture)
    if hasattr(picture, "convert"):
        return _to_8_bits(ImageOps.exif_transpose(picture), "picture")
    array = _to_array(picture, "picture")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise UserError(
            "picture: expected a path, bytes, a PIL image or an array [h, w] or [h, w, 3]. Convert "
            f"it. Received: {type(picture).__name__} of {array.dtype} {list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UserError(
            "picture: expected 1, 3 or 4 channels, as the last axis. Transpose or select them. "
            f"Received: shape {list(array.shape)}"
        )
    array = _to_whole(array, "picture")
    return Image.fromarray(
        array[..., 0] if array.shape[2:] == (1,) else np.ascontiguousarray(array)
    )


def _to_array(value, where):
    """Returns numbers as an array. Raises `UserError` for what is none."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise UserError(
            f"{where}: expected an array of numbers. Convert it. Received: "
            f"{type(value).__name__}, {error}"
        ) from None
    if array.dtype.kind not in "uif":
        raise UserError(
            f"{where}: expected numbers, paths, bytes or PIL images. Convert them. Received: "
            f"{type(value).__name__} of {array.dtype}"
        )
    return array


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
        images: an array `[n, h, w]` or `[n, h, w, c]` of numbers in 0..255, with 1, 3 or 4 channels:
            red, green, blue, alpha; or one face without the n. OpenCV's arrays have blue first: give
            `array[..., ::-1]`. Or what `read_image` takes: a path, the bytes of an image file, a file
            object. Or a PIL image; or a list of any of these.

    Raises:
        UserError: another form; numbers outside 0..255; fractions in 0..1 (they would look black);
            and what `read_image` raises. Also shapes of more than one meaning: `[n, 2304]` (rows of
            a CSV: reshape them), `[3, h, w]` and `[4, h, w]` unless h and w are 48 (channels first,
            or grey faces: transpose it, or add a last axis of 1), and a face more than
            `MAX_ASPECT_RATIO` times as long as wide.

    Example:
        >>> to_faces("face.png").shape
        (1, 48, 48)
    """
    if is_encoded(images):
        return shrink(read_image(images))[None]
    if isinstance(images, (list, tuple)):
        if not images:
            return np.zeros((0, FACE_SIDE, FACE_SIDE), np.uint8)
        return np.concatenate([to_faces(image) for image in images])
    if hasattr(images, "convert"):  # a PIL image
        return shrink(images)[None]
    array = _to_array(images, "images")
    shape = array.shape
    channels = shape[-1] if array.ndim >= 3 and shape[-1] in (1, 3, 4) else 0
    if array.ndim == (3 if channels else 2):
        array = array[None]
    _check_meaning(shape, array, channels)
    array = _to_whole(array, "images")
    if channels == 1:
        array = array[..., 0]
    if array.shape[1:] == (FACE_SIDE, FACE_SIDE):
        return np.ascontiguousarray(array)
    from PIL import Image

    return to_faces([Image.fromarray(face) for face in array])


def _check_meaning(shape, array, channels):
    """Raises `UserError` unless an array of faces has one meaning.

    shape: as the user gave it. array: with the axis of faces. channels: of its last axis, or 0.
    """
    if shape[-1:] == (FACE_SIDE**2,):
        raise UserError(
            f"images: expected faces as rows and columns. If these are rows of {FACE_SIDE}×{FACE_SIDE} "
            f"pixels, give `.reshape(-1, {FACE_SIDE}, {FACE_SIDE})`. Received: shape {list(shape)}"
        )
    if array.ndim != (4 if channels else 3) or 0 in array.shape[1:]:
        raise UserError(
            "images: expected an array of shape [n, h, w] or [n, h, w, 1, 3 or 4], or one face "
            f"without the n. Reshape it. Received: shape {list(shape)}"
        )
    height, width = array.shape[1:3]
    if len(shape) == 3 and shape[0] in (3, 4) and not channels and {height, width} != {FACE_SIDE}:
        raise UserError(
            f"images: expected an array of one meaning. If the first axis has the {shape[0]} channels "
            f"of a face, give `.transpose(1, 2, 0)`; if these are {shape[0]} grey faces, give "
            f"`[..., None]`. Received: shape {list(shape)}"
        )
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise UserError(
            f"images: expected faces at most {MAX_ASPECT_RATIO} times as long as wide. The axes are "
            f"faces, rows, columns, channels: reshape the array. Received: shape {list(shape)}"
        )


def _to_whole(array, where):
    """Returns numbers in 0..255 as uint8, rounded. Raises `UserError` for others and for fractions."""
    if array.dtype == np.uint8:
        return array
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

    has_heif = pillow.reads_heif()
    if not has_heif and inputs.find_picture_format(data[: inputs.HEAD_BYTES]) == "HEIF":
        raise UserError(
            f"{where}: expected the package pillow-heif, which reads HEIC. Install it with `pip "
            "install pillow-heif`, or save the picture as JPEG. Received: no such package"
        )
    try:
        with pillow.silenced():
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


def _has_16_bits(image):
    """Returns True if the file of a PIL image, not yet decoded, has 16 bits a channel of colour."""
    parameters = [tile[3] for tile in getattr(image, "tile", ())]
    words = [
        word
        for each in parameters
        for word in (each if isinstance(each, tuple) else (each,))
        if isinstance(word, str)
    ]
    return any(";16" in word for word in words) and not image.mode.startswith(("I", "F"))


def _highest_level(image):
    """Returns the highest level of the channels of a PIL image, without its alpha channel."""
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    levels = [high for name, (_, high) in zip(image.getbands(), bands) if name not in "Aa"]
    return max(levels)


def _refuse_shallow(where, highest):
    """Raises the `UserError` for a picture of 16 bits that holds fewer."""
    raise UserError(
        f"{where}: expected levels over the whole range of 16 bits, 0 to 65,535. They look like those "
        f"of 8 or 12 bits: scale them, or save the picture with 8 bits. Received: at most {highest}"
    )


def _to_grey(image, where):
    """Returns a PIL image as one of 8-bit grey levels (mode L)."""
    image = _to_8_bits(image, where)
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _to_8_bits(image, where):
    """Returns a PIL image of 16-bit, 32-bit or float grey levels as one of 8 bits, others unchanged.

    CIE L*a*b* becomes sRGB. A mode that Pillow cannot convert raises `UserError`.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        levels = np.asarray(image)
        highest = int(levels.max(initial=0))
        if 0 < highest < MIN_DEEP_LEVEL:
            _refuse_shallow(where, f"{highest:,}")
        return Image.fromarray((levels // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_to_whole(np.asarray(image), where))
    if image.mode in _STANDARD_MODES:
        return image
    try:
        return _lab_to_rgb(image) if image.mode == "LAB" else image.convert("RGB")
    except Exception as error:  # Pillow and LittleCMS raise several kinds
        raise UserError(
            f"{where}: expected grey levels or RGB. Convert the picture. Received: mode "
            f"{image.mode}, {type(error).__name__}"
        ) from None


def _lab_to_rgb(image):
    from PIL import ImageCms

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    return ImageCms.applyTransform(image, transform)


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
