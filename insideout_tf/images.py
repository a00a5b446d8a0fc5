"""The only path from an image file to the pixels a model sees."""

import io
import warnings

import numpy as np

from insideout_tf.errors import UserError

FACE_SIDE = 48  # pixels; FER2013 (Goodfellow et al. 2013, section 4)
MAX_FILE_BYTES = 50_000_000  # a face needs a few kilobytes
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def decode_face(data, where):
    """Decodes the bytes of one 48×48 image file to uint8 `[48, 48]` grey (ITU-R 601 luma).

    Raises `UserError` naming `where` when the bytes are no image or of another size.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # A header that claims a huge image is refused below, by its size.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data))
        with opened as image:
            if image.size != (FACE_SIDE, FACE_SIDE):  # known from the header, before decoding
                raise UserError(
                    f"{where}: expected an image of {FACE_SIDE}×{FACE_SIDE} pixels. Crop and "
                    f"resize it, or remove it. Received: {image.size[0]}×{image.size[1]}"
                )
            image.load()
            colour = image if image.mode in ("L", "1") else image.convert("RGB")
            return np.asarray(colour.convert("L"), np.uint8)
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


def to_model_input(pixels):
    """Returns uint8 or float `[n, 48, 48]` grey levels 0..255 as float32 `[n, 48, 48, 1]`."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[1:] != (FACE_SIDE, FACE_SIDE):
        raise UserError(
            f"faces: expected an array of shape [n, {FACE_SIDE}, {FACE_SIDE}]. "
            f"Received: shape {list(pixels.shape)}"
        )
    return pixels[..., None].astype(np.float32)
