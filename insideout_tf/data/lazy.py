"""Pixels that stay in their files until a batch needs them, for data sets larger than memory."""

import concurrent.futures
import functools
import hashlib

import numpy as np

from insideout_tf import processes
from insideout_tf.data import images, levels
from insideout_tf.errors import UserError

MEMORY_BYTES = 2 << 30  # of decoded faces; a larger data set stays in its files
KEY_BYTES = 16  # of the digest of a face
WORKERS = 8  # threads that decode, at most; Pillow decodes outside Python's lock
PIECE = 4  # faces that one thread decodes in one go
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

    def __init__(self, files, crops, plain, size, channels, shape, keys, error=None):
        """Keeps what decodes the faces.

        files: array of paths. crops: array of the `crop` of each, an object. plain: array of bool, what
        `is_plain` told of each. size, channels: with crops as of `images.decode_face`. shape: of one
        face.
        """
        self._files, self._crops, self._plain = files, crops, plain
        self._size, self._channels = size, channels
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
            return self._decode(self._files[rows], self._crops[rows], self._plain[rows])
        return FilePixels(
            self._files[rows],
            self._crops[rows],
            self._plain[rows],
            self._size,
            self._channels,
            self.shape[1:],
            self.keys[rows],
            self.error,
        )

    def __array__(self, dtype=None, copy=None):
        array = np.empty(self.shape, np.uint8)

        def fill(start):
            for row in range(start, min(start + PIECE, len(self))):
                array[row] = self._decode(self._files[row], self._crops[row], self._plain[row])

        starts = range(0, len(self), PIECE)
        for _ in map(fill, starts) if len(starts) < 2 else create_pool().map(fill, starts):
            pass  # an error of a file is raised here
        return array if dtype is None else array.astype(dtype)

    def _decode(self, file, crop, is_plain):
        try:
            if is_plain:
                face = decode_plain(read_bytes(file), self._size, self._channels)
                if face is not None and face.shape == self.shape[1:]:
                    return face
            return decode(file, self._size, self._channels, crop)
        except (UserError, OSError) as error:
            self.error.append(error)
            raise


@functools.cache
def create_pool():
    """Returns the threads that decode files; one pool for the process."""
    count = min(WORKERS, processes.count_processors())
    return concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="decode")


def decode(file, size, channels, crop=None):
    """Returns the face in an image file; arguments as of `images.decode_face`."""
    return images.decode_face(read_bytes(file), file, size, channels, crop)


def read_bytes(file):
    """Returns the bytes of a file, but no more than an image may have."""
    with open(file, "rb") as opened:
        return opened.read(images.MAX_FILE_BYTES + 1)


def decode_plain(data, size, channels):
    """Decodes a usual image file as `images.decode_face` does, three times as fast; None if it cannot.

    It serves files of which `is_plain` has told that both give the same pixels. OpenCV decodes outside
    Python's lock, so that threads decode on all cores. Arguments as of `images.decode_face`.
    """
    import cv2
    from PIL import Image

    face = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if face is None or face.dtype != np.uint8 or face.ndim == 3 and face.shape[2] != 3:
        return None
    if face.ndim == 3:
        face = cv2.cvtColor(face, cv2.COLOR_BGR2RGB)
    if channels == 1 and face.ndim == 3:
        face = np.asarray(levels.to_grey(Image.fromarray(face), "grey levels"))
    if isinstance(size, int) and face.shape[:2] != (size, size):
        face = np.asarray(images.resize(Image.fromarray(face), size))
    return np.repeat(face[..., None], 3, axis=-1) if channels == 3 and face.ndim == 2 else face


def is_plain(data, face, size, channels):
    """Returns True if `decode_plain` gives exactly these pixels, so that it may decode the file.

    data: the bytes of the file. face: what `images.decode_face` made of them with `size` and `channels`.
    """
    try:
        return np.array_equal(decode_plain(data, size, channels), face)
    except Exception:  # OpenCV raises errors of its own
        return False


def key_of(face):
    """Returns the digest of a face's pixels, bytes."""
    return hashlib.blake2b(face.tobytes(), digest_size=KEY_BYTES).digest()


def is_large(count, size, channels):
    """Returns True if so many faces would take more than `MEMORY_BYTES`.

    size: a side in pixels or (width, height). channels: 1, 3 or None, which counts as 3.
    """
    side = size if isinstance(size, int) else (size or (0,))[0]
    return count * side * side * (channels or 3) > MEMORY_BYTES
