"""`Faces`: grey-level faces with their labels, as every reader returns them."""

import dataclasses
import functools
import hashlib

import numpy as np

# The three parts of FER2013 (Goodfellow et al. 2013, section 4). Arrays of usage hold these numbers.
USAGES = ("Training", "PublicTest", "PrivateTest")
TRAINING, PUBLIC_TEST, PRIVATE_TEST = range(3)


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces in the order of their file.

    Attributes:
        pixels: uint8 `[n, 48, 48]`, grey levels 0..255.
        labels: uint8 `[n]`, 0..6, index into `classes.EMOTIONS`. None if the file has no labels.
        usage: uint8 `[n]`, 0..2, index into `USAGES`.
        source: the path of the data.
        identified: the name of the published file or set of faces that this is, or None.
        names: the relative path of each image in a folder tree, else None.
        skipped: the message of each bad row or image that is not in the arrays.
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
        """The `content_digest` of these faces, a text of 64 hexadecimal digits."""
        return content_digest(self.pixels, self.labels, self.usage)


def content_keys(pixels):
    """Returns one opaque key for each image. Two keys are equal if all pixels are equal.

    The keys are digests of 16 bytes (BLAKE2b), which need little memory beside the pixels.

    pixels: uint8 `[n, 48, 48]`. Returns an array `[n]` of void dtype.
    """
    digests = b"".join(
        hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels
    )
    return np.frombuffer(digests, np.dtype((np.void, 16)))


def content_digest(pixels, labels, usage):
    """Returns the SHA-256 (hexadecimal) of a multiset of faces, independent of their order.

    pixels: uint8 `[n, 48, 48]`. labels: uint8 `[n]` or None. usage: uint8 `[n]`.
    """
    labels = np.full(len(usage), 255, np.uint8) if labels is None else labels
    each = sorted(
        hashlib.blake2b(image.tobytes() + bytes((int(label), int(use))), digest_size=16).digest()
        for image, label, use in zip(pixels, labels, usage)
    )
    return hashlib.sha256(b"".join(each)).hexdigest()
