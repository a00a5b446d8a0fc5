"""`Faces`: faces with their labels and classes, as every reader returns them."""

import dataclasses
import functools
import hashlib

import numpy as np

from insideout_tf.data import classes as class_names
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.contract import FER2013, Contract
from insideout_tf.data.lazy import FilePixels

# The three parts of FER2013 (Goodfellow et al. 2013, section 4). Arrays of usage hold these numbers.
USAGES = ("Training", "PublicTest", "PrivateTest")
TRAINING, PUBLIC_TEST, PRIVATE_TEST = range(3)


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces in the order of their file.

    Attributes:
        pixels: uint8 `[n, side, side]`, grey levels 0..255, or `[n, side, side, 3]`, red, green,
            blue. FER2013 has 48×48 grey levels. Of a large data set they are a `lazy.FilePixels`.
        labels: uint8 `[n]`, index into `classes`. None if the file has no labels.
        usage: uint8 `[n]`, 0..2, index into `USAGES`.
        source: the path of the data.
        identified: the name of the published file or set of faces that this is, or None.
        names: the relative path of each image in a folder tree, else None.
        skipped: the message of each bad row or image that is not in the arrays.
        classes: the names of the classes, in the order of the labels.
        people: the person of each face, where the data tell it, else None.
        pictures: the picture of each face, if several faces can be cut from one, else None.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    usage: np.ndarray
    source: str
    identified: str | None = None
    names: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    classes: tuple[str, ...] = EMOTIONS
    people: tuple[str, ...] | None = None
    pictures: tuple[str, ...] | None = None

    def __len__(self):
        return len(self.usage)

    @property
    def contract(self):
        """The `Contract` of a model that is trained on these faces."""
        return Contract(self.classes, self.pixels.shape[1], 1 if self.pixels.ndim == 3 else 3)

    @functools.cached_property
    def digest(self):
        """The `content_digest` of these faces, a text of 64 hexadecimal digits."""
        return content_digest(self.pixels, self.labels, self.usage, self.classes)

    def select(self, rows):
        """Returns these faces with the chosen rows alone."""
        return dataclasses.replace(
            self,
            pixels=self.pixels[rows],
            labels=None if self.labels is None else self.labels[rows],
            usage=self.usage[rows],
            names=_choose(self.names, rows),
            people=_choose(self.people, rows),
            pictures=_choose(self.pictures, rows),
            identified=None,
        )

    def relabel(self, classes, mapping):
        """Returns these faces with other classes.

        Args:
            classes: the new names.
            mapping: the new label of each old one; -1 excludes its faces.
        """
        labels = np.asarray(mapping, np.int64)[self.labels]
        faces = self if (labels >= 0).all() else self.select(np.flatnonzero(labels >= 0))
        return dataclasses.replace(
            faces, labels=labels[labels >= 0].astype(np.uint8), classes=tuple(classes)
        )


def _choose(values, rows):
    """Returns the values of the chosen rows: a tuple, or None if there are none."""
    return None if values is None else tuple(np.asarray(values, object)[rows])


def match(faces, classes):
    """Returns labelled faces with the classes of a model, and the names that only one side has.

    Classes match by words that mean the same (see `classes.canonical`). Faces of a class that the model
    lacks are excluded.

    Args:
        faces: `Faces` with labels.
        classes: the names of the model's classes, in their order.

    Returns:
        A tuple of the `Faces`; the names that the model lacks, with their number of faces, a dict; and
        the names that the data lack, a tuple.
    """
    if faces.labels is None or faces.classes == tuple(classes):
        return faces, {}, ()
    found = class_names.match_classes(faces.classes, classes)
    counts = np.bincount(faces.labels, minlength=len(faces.classes))
    unknown = {
        name: int(count)
        for name, index, count in zip(faces.classes, found, counts)
        if index < 0 and count
    }
    unseen = tuple(name for index, name in enumerate(classes) if index not in found)
    return faces.relabel(classes, found), unknown, unseen


def content_keys(pixels):
    """Returns one opaque key for each image. Two keys are equal if all pixels are equal.

    The keys are digests of 16 bytes (BLAKE2b), which need little memory beside the pixels.

    pixels: uint8 `[n, ...]`, or a `lazy.FilePixels`. Returns an array `[n]` of void dtype.
    """
    if isinstance(pixels, FilePixels):
        return pixels.keys
    digests = b"".join(
        hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels
    )
    return np.frombuffer(digests, np.dtype((np.void, 16)))


def content_digest(pixels, labels, usage, classes=EMOTIONS):
    """Returns the SHA-256 (hexadecimal) of a multiset of faces, independent of their order.

    pixels: uint8 `[n, ...]`. labels: uint8 `[n]` or None. usage: uint8 `[n]`. classes: their names.
    """
    labels = np.full(len(usage), 255, np.uint8) if labels is None else labels
    shape = pixels.shape[1:]
    if isinstance(pixels, FilePixels):  # their keys, since the pixels are in files
        pixels = pixels.keys
    each = sorted(
        hashlib.blake2b(image.tobytes() + bytes((int(label), int(use))), digest_size=16).digest()
        for image, label, use in zip(pixels, labels, usage)
    )
    if classes != EMOTIONS or shape != FER2013.face_shape:
        each.append(repr((classes, shape)).encode())
    return hashlib.sha256(b"".join(each)).hexdigest()
