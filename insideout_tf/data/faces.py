"""Faces with their labels, as every reader returns them."""

import dataclasses
import functools
import hashlib

import numpy as np

from insideout_tf.data import images

# The three parts FER2013 was published in; arrays of usage hold these numbers.
USAGES = ("Training", "PublicTest", "PrivateTest")
TRAINING, PUBLIC_TEST, PRIVATE_TEST = range(3)


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces in the order of their file.

    pixels: uint8 `[n, 48, 48]`, 0..255. labels: uint8 `[n]`, 0..6, or None where the file has
    none. usage: uint8 `[n]`, 0 Training, 1 PublicTest, 2 PrivateTest (`usages.USAGES`). names: file
    names of a folder tree, else None. source: the path read. identified: the published file it is,
    or None. skipped: what was wrong with each bad row that was left out.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    usage: np.ndarray
    source: str
    identified: str | None = None
    names: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()

    def __len__(self):
        return len(self.usage)

    @functools.cached_property
    def digest(self):
        """SHA-256 (hex) of the set of faces with label and usage, whatever their order."""
        return content_digest(self.pixels, self.labels, self.usage)


def content_keys(pixels):
    """Returns one opaque key an image (`[n]`, void dtype): equal keys mean equal pixels."""
    flat = np.ascontiguousarray(pixels.reshape(len(pixels), images.FACE_SIDE**2))
    return flat.view(np.dtype((np.void, images.FACE_SIDE**2)))[:, 0]


def content_digest(pixels, labels, usage):
    """SHA-256 (hex) of the multiset of (pixels, label, usage), so that file order does not matter."""
    labels = np.full(len(usage), 255, np.uint8) if labels is None else labels
    each = sorted(
        hashlib.blake2b(image.tobytes() + bytes((int(label), int(use))), digest_size=16).digest()
        for image, label, use in zip(pixels, labels, usage)
    )
    return hashlib.sha256(b"".join(each)).hexdigest()
