"""Grey levels and colours of 8 bits, from whatever a picture or an array holds."""

import numpy as np

from insideout_tf.errors import UserError

MIN_DEEP_LEVEL = 4096  # a file of 16 bits whose levels stay below it holds 8 or 12 bits
_STANDARD_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")


def has_16_bits(image):
    """Returns True if the file of a PIL image, not yet decoded, has 16 bits a channel of colour."""
    parameters = [tile[3] for tile in getattr(image, "tile", ())]
    words = [
        word
        for each in parameters
        for word in (each if isinstance(each, tuple) else (each,))
        if isinstance(word, str)
    ]
    return any(";16" in word for word in words) and not image.mode.startswith(("I", "F"))


def highest_level(image):
    """Returns the highest level of the channels of a PIL image, without its alpha channel."""
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    levels = [high for name, (_, high) in zip(image.getbands(), bands) if name not in "Aa"]
    return max(levels)


def refuse_shallow(where, highest):
    """Raises the `UserError` for a picture of 16 bits that holds fewer."""
    raise UserError(
        f"{where}: expected levels over the whole range of 16 bits, 0 to 65,535. They look like those "
        f"of 8 or 12 bits: scale them, or save the picture with 8 bits. Received: at most {highest}"
    )


def to_grey(image, where):
    """Returns a PIL image as one of 8-bit grey levels (mode L)."""
    image = to_8_bits(image, where)
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def to_8_bits(image, where):
    """Returns a PIL image of 16-bit, 32-bit or float grey levels as one of 8 bits, others unchanged.

    CIE L*a*b* becomes sRGB. A mode that Pillow cannot convert raises `UserError`.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        levels = np.asarray(image)
        highest = int(levels.max(initial=0))
        if 0 < highest < MIN_DEEP_LEVEL:
            refuse_shallow(where, f"{highest:,}")
        return Image.fromarray((levels // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(to_whole(np.asarray(image), where))
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


def to_whole(array, where):
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
