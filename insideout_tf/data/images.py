"""The only way from an image, in a file or in memory, to the grey levels of a face.

Image files are untrusted: size and format are checked before the decoder runs.
"""

import os
import warnings

import numpy as np

from insideout_tf.data import forms, inputs, levels, pillow
from insideout_tf.data.contract import FER2013
from insideout_tf.errors import Note, UserError

MAX_FILE_BYTES = 50_000_000  # a face needs a few kilobytes
MAX_PIXELS = 100_000_000
MAX_ASPECT_RATIO = 4  # of a face in an array; a longer one is an array of another meaning
SEVERAL_FRAMES = ("GIF", "PNG", "TIFF", "WEBP")  # formats of Pillow that hold them as equals
# Names of files in class folders. Other pictures are recognised by their content, a damaged one by these.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".jfif", ".jpe"),
    *(".tif", ".tiff", ".gif", ".avif", ".heic", ".heif"),
)


class SizeError(UserError):
    """An image file of a data set has another size than the data set."""

    def __init__(self, where, expected, size):
        expected, received = (f"{width}×{height}" for width, height in (expected, size))
        super().__init__(
            f"{where}: expected an image of {expected} pixels. Give --input-size N for all, or crop "
            f"and resize it, or remove it. Received: {received}"
        )


def decode_face(data, where, size=None, channels=None, crop=None):
    """Decodes an image file of a data set to a face.

    Args:
        data: the bytes of the file.
        where: its name, for messages.
        size: the (width, height) that the image must have; or one number, a side in pixels to which
            it is resized as in `shrink`.
        channels: 1 for grey levels (ITU-R 601 luma), 3 for colour; None keeps what the file has.
        crop: which part of an image is resized; None: all of it. (left, top, right, bottom) in pixels
            of the image as it is stored, without what lies beyond its edges; or "middle", the largest
            square in the middle. A `size` that the image must have already ignores it.

    Returns:
        uint8 `[side, side]` grey levels, or `[side, side, 3]`. With `channels` None, a file whose
        channels are equal everywhere is grey.

    Raises:
        SizeError: the image has another size.
        UserError: the bytes are not an image, or it has too many pixels.
    """
    is_resized = isinstance(size, int)
    with pillow.open_image(data, where) as image:
        if not is_resized and size and image.size != size:  # known from the header, before decoding
            raise SizeError(where, size, image.size)
        check_pixels(image, where)
        if image.format in SEVERAL_FRAMES and getattr(image, "n_frames", 1) > 1:
            raise UserError(
                f"{where}: expected one picture. Save the frame that you mean as a file, or remove it. "
                f"Received: {image.n_frames} frames"
            )
        image = _crop(image, crop if is_resized else None, where)
        image = levels.to_8_bits(image, where)
        if channels == 1:
            image = levels.to_grey(image, where)
        elif image.mode != "L":
            image = image.convert("RGB")
            if channels is None and _is_grey(image):
                image = image.getchannel(0)
        if is_resized:
            image = resize(image, size)
        array = np.asarray(image, np.uint8)
    if channels == 3 and array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=-1)
    return array


def _crop(image, crop, where):
    """Returns the part of a PIL image that `crop` names, upright; see `decode_face`."""
    from PIL import ImageOps

    if isinstance(crop, tuple):  # boxes are measured on the file, whatever its EXIF tag says
        left, top = (max(0, each) for each in crop[:2])
        right, bottom = (min(limit, each) for limit, each in zip(image.size, crop[2:]))
        if left >= right or top >= bottom:
            raise UserError(
                f"{where}: expected a face box inside the picture of {image.size[0]}×{image.size[1]} "
                f"pixels. Correct or remove the row. Received: {', '.join(map(str, crop))}"
            )
        return image.crop((left, top, right, bottom))
    image = ImageOps.exif_transpose(image)
    if crop == "middle":
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    return image


def measure(data, where):
    """Returns (width, height) of an image file by its header; raises `UserError` if it is none."""
    with pillow.open_image(data, where) as image:
        return image.size


def _is_grey(image):
    """Returns True if the three channels of an RGB image are equal everywhere."""
    array = np.asarray(image)
    return bool((array[..., :1] == array[..., 1:]).all())


def resize(image, side):
    """Returns a PIL image with another side: bilinear with antialiasing, whatever its proportions."""
    from PIL import Image

    if image.size == (side, side):
        return image
    return image.resize((side, side), Image.Resampling.BILINEAR)


def check_pixels(image, where):
    """Raises `UserError` for a PIL image of more than `MAX_PIXELS`; it need not be decoded."""
    if image.size[0] * image.size[1] > MAX_PIXELS:
        raise UserError(
            f"{where}: expected an image of at most {MAX_PIXELS:,} pixels. Shrink it. Received: "
            f"{image.size[0]}×{image.size[1]}"
        )


def read_face(path, contract=FER2013):
    """Returns the face crop in an image file of any size as uint8 of `contract.face_shape`.

    It is `read_image`, then `shrink`, and raises the same errors.
    """
    return shrink(read_image(path), contract)


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
    with pillow.open_image(data, where) as image:
        check_pixels(image, where)
        count = getattr(image, "n_frames", 1) if image.format in SEVERAL_FRAMES else 1
        if count > 1:
            note = f"{where}: 1 of {count} frames is read, the first. `predict` and analyze_video read all of a GIF, WebP or APNG"
            warnings.warn(note, Note, stacklevel=2)
        is_deep = levels.has_16_bits(image)
        upright = ImageOps.exif_transpose(image)
        upright.load()
        if is_deep and levels.highest_level(upright) < levels.MIN_DEEP_LEVEL // 256:
            levels.refuse_shallow(where, f"{levels.highest_level(upright) * 256 + 255:,}")
        return levels.to_8_bits(upright, where)


def _read_bytes(source):
    """Returns (the bytes of an image file, its name for messages); `source` as of `read_image`."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, where = bytes(source), "picture"
    elif hasattr(source, "read"):
        name = getattr(source, "name", None)
        where = name if isinstance(name, str) else "picture"
        try:
            data = source.read(MAX_FILE_BYTES + 1)
        except ValueError as error:  # a closed file
            raise UserError(
                f"{where}: expected an open file object. Open it again. Received: {error}"
            ) from None
        if not isinstance(data, bytes):
            raise UserError(
                f"{where}: expected a file object that gives bytes. Open it in mode 'rb'. Received: "
                f"{type(data).__name__}"
            )
    else:
        where = os.path.expanduser(os.fsdecode(source))
        forms.check_path_text(where)
        size = inputs.check_regular_file(where, "an image file").st_size
        check_size(where, size)
        with open(where if size else os.devnull, "rb") as file:  # empty ones of /proc can block
            return file.read(MAX_FILE_BYTES), where
    check_size(where, len(data))
    return data, where


def check_size(where, size):
    """Raises `UserError` for a file of more than `MAX_FILE_BYTES`."""
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{where}: expected an image of at most {MAX_FILE_BYTES:,} bytes. Shrink it. Received: "
            f"{size:,} bytes"
        )


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
    from PIL import Image

    if forms.is_encoded(picture):
        return read_image(picture)
    if forms.is_image(picture):
        check_pixels(picture, "picture")
        return levels.to_8_bits(forms.load_image(picture, "picture"), "picture")
    array = forms.to_array(picture, "picture")
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
    array = levels.to_whole(array, "picture")
    return Image.fromarray(
        array[..., 0] if array.shape[2:] == (1,) else np.ascontiguousarray(array)
    )


def shrink(image, contract=FER2013):
    """Returns a PIL image of a face as a model's contract has it, uint8 of `contract.face_shape`.

    The image is turned upright by its EXIF tag, loses its transparency, becomes grey by ITU-R 601
    luma for a model of grey levels, and is resized to the model's side. The resize is bilinear with
    antialiasing and ignores the aspect ratio. An image that fits does not change.
    """
    image = forms.load_image(image, "images")
    if contract.channels == 1:
        image = levels.to_grey(image, "images")
    else:
        image = levels.to_8_bits(image, "images").convert("RGB")
    return np.asarray(resize(image, contract.side), np.uint8)


def to_faces(images, contract=FER2013):
    """Returns faces in any usual form as a model's contract has them: by default 48×48 grey levels.

    Each face goes through `shrink`. Numbers that are not whole are rounded.

    Args:
        images: an array `[n, h, w]` or `[n, h, w, c]` of numbers in 0..255, with 1, 3 or 4 channels:
            red, green, blue, alpha; or one face without the n. OpenCV's arrays have blue first: give
            `array[..., ::-1]`. A tensor of any framework, and nested lists of numbers, count as arrays.
            Or what `read_image` takes: a path, the bytes of an image file, a file object. Or a PIL
            image; or a list, a Series, a generator or another collection of any of these.
        contract: the `Contract` of the model.

    Returns:
        uint8 `[n, side, side]` grey levels, or `[n, side, side, 3]` for a model of colour.

    Raises:
        UserError: another form; numbers outside 0..255; fractions in 0..1 (they would look black);
            and what `read_image` raises. Also shapes of more than one meaning: `[n, 2304]` (rows of
            a CSV: reshape them), `[3, h, w]` and `[4, h, w]` unless h and w are the model's side
            (channels first, or grey faces: transpose it, or add a last axis of 1), and a face more
            than `MAX_ASPECT_RATIO` times as long as wide.

    Example:
        >>> to_faces("face.png").shape
        (1, 48, 48)
    """
    if forms.is_encoded(images):
        return shrink(read_image(images), contract)[None]
    items = forms.to_items(images)
    if items is not None:
        if not items:
            return np.zeros((0, *contract.face_shape), np.uint8)
        return np.concatenate([to_faces(item, contract) for item in items])
    if forms.is_image(images):
        check_pixels(images, "images")
        return shrink(images, contract)[None]
    array = forms.to_array(images, "images")
    shape = array.shape
    channels = shape[-1] if array.ndim >= 3 and shape[-1] in (1, 3, 4) else 0
    if array.ndim == (3 if channels else 2):
        array = array[None]
    _check_meaning(shape, array, channels, contract.side)
    array = levels.to_whole(array, "images")
    if channels == 1:
        array = array[..., 0]
    if array.shape[1:] == contract.face_shape:
        return np.ascontiguousarray(array)
    from PIL import Image

    return to_faces([Image.fromarray(face) for face in array], contract)


def _check_meaning(shape, array, channels, side):
    """Raises `UserError` unless an array of faces has one meaning.

    shape: as the user gave it. array: with the axis of faces. channels: of its last axis, or 0. side:
    of the model's faces.
    """
    if shape[-1:] == (side**2,):
        raise UserError(
            f"images: expected faces as rows and columns. If these are rows of {side}×{side} "
            f"pixels, give `.reshape(-1, {side}, {side})`. Received: shape {list(shape)}"
        )
    if array.ndim != (4 if channels else 3) or 0 in array.shape[1:]:
        raise UserError(
            "images: expected an array of shape [n, h, w] or [n, h, w, 1, 3 or 4], or one face "
            f"without the n. Reshape it. Received: shape {list(shape)}"
        )
    height, width = array.shape[1:3]
    if len(shape) == 3 and shape[0] in (3, 4) and not channels and {height, width} != {side}:
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


def to_model_input(pixels, contract=None):
    """Returns faces as the input of a model: float32 `[n, side, side, channels]`, 0..255.

    Args:
        pixels: grey levels `[n, side, side]` or colour `[n, side, side, 3]`, of any number type.
        contract: the `Contract` of the model, to verify the shape; None verifies only that faces
            are square.

    Raises:
        UserError: another shape.
    """
    pixels = np.asarray(pixels)
    expected = contract.face_shape if contract else pixels.shape[1:2] * 2 + pixels.shape[3:]
    if pixels.ndim not in (3, 4) or pixels.shape[1:] != expected:
        shown = ", ".join(map(str, expected)) if contract else "side, side"
        raise UserError(
            f"faces: expected an array of shape [n, {shown}]. Use `to_faces`. "
            f"Received: shape {list(pixels.shape)}"
        )
    return (pixels if pixels.ndim == 4 else pixels[..., None]).astype(np.float32)
