"""Pixels that stay in their files until a batch needs them, for data sets larger than memory."""

import concurrent.futures
import functools
import hashlib
import os

import numpy as np

from insideout_tf.data import images
from insideout_tf.errors import UserError

MEMORY_BYTES = 2 << 30  # of decoded faces; a larger data set stays in its files
KEY_BYTES = 16  # of the digest of a face
WORKERS = 8  # threads that decode, at most; Pillow decodes outside Python's lock
TOGETHER = 256  # files that are read and decoded in one go when a data set is scanned


class FilePixels:
    """The faces in image files, decoded when they are read; looks like an array of uint8.

    An index by one number decodes that face. A slice or an array of rows gives another `FilePixels`
    without decoding; `np.asarray` of it decodes its faces, in several threads. The files must stay as
    they are.

    Attributes:
        shape: (n, side, side), or (n, side, side, 3) in colour.
        keys: one opaque key for each face, as `faces.content_keys` gives them.
        error: a list that holds the first `UserError` of a file that could not be decoded.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, files, crops, size, channels, shape, keys, error=None):
        """Keeps what decodes the faces.

        files: array of paths. crops: array of the `crop` of each, an object. size, channels: all three
        as of `images.decode_face`. shape: of one face.
        """
        self._files, self._crops, self._size, self._channels = files, crops, size, channels
        self.shape, self.keys = (len(files), *shape), keys
        self.error = [] if error is None else error

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """The number of values."""
        return int(np.prod(self.shape))

    def __len__(self):
        return len(self._files)

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows):
        if isinstance(rows, tuple):
            return np.asarray(self)[rows]
        if np.ndim(rows) == 0 and not isinstance(rows, slice):
            return self._decode(self._files[rows], self._crops[rows])
        return FilePixels(
            self._files[rows],
            self._crops[rows],
            self._size,
            self._channels,
            self.shape[1:],
            self.keys[rows],
            self.error,
        )

    def __array__(self, dtype=None, copy=None):
        array = np.empty(self.shape, np.uint8)
        if len(self) < 2:
            faces = map(self._decode, self._files, self._crops)
        else:
            faces = create_pool().map(self._decode, self._files, self._crops)
        for row, face in enumerate(faces):
            array[row] = face
        return array if dtype is None else array.astype(dtype)

    def _decode(self, file, crop):
        try:
            return decode(file, self._size, self._channels, crop)
        except (UserError, OSError) as error:
            self.error.append(error)
            raise


@functools.cache
def create_pool():
    """Returns the threads that decode files; one pool for the process."""
    count = min(WORKERS, os.cpu_count() or 1)
    return concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="decode")


def decode(file, size, channels, crop=None):
    """Returns the face in an image file; arguments as of `images.decode_face`."""
    with open(file, "rb") as opened:
        return images.decode_face(
            opened.read(images.MAX_FILE_BYTES + 1), file, size, channels, crop
        )


def key_of(face):
    """Returns the digest of a face's pixels, bytes."""
    return hashlib.blake2b(face.tobytes(), digest_size=KEY_BYTES).digest()


def is_large(count, size, channels):
    """Returns True if so many faces would take more than `MEMORY_BYTES`.

    size: a side in pixels or (width, height). channels: 1, 3 or None, which counts as 3.
    """
    side = size if isinstance(size, int) else (size or (0,))[0]
    return count * side * side * (channels or 3) > MEMORY_BYTES
