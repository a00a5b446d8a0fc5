"""FER2013 in every published form, read into one `Faces`; nothing is silently dropped."""

import dataclasses
import functools
import hashlib
import pathlib

import numpy as np

from insideout_tf import cache, fer2013_files, images
from insideout_tf.errors import UserError

# SHA-256 of the published files.
KNOWN_FILES = {
    "3b8d9617d1017f34733c8f2474d7784c563ce86c40a86ac12c2d37cc968f871b": (
        "fer2013.csv (official FER2013, 35,887 faces)"
    ),
    "2c7ce224ef03ec2e2e522d10b93a069900b26fa1c028174d91d5f1f8013a2884": (
        "icml_face_data.csv (official FER2013, 35,887 faces)"
    ),
    "7e543c09d919a1963955bc465479b49985958b29c7be22108a96d91b3f17d11c": (
        "train.csv (official FER2013 Training, 28,709 faces)"
    ),
    "e054333e7218ada3a7ae0cea2853646987e8af55c23dd8615f015b29de307fc9": (
        "test.csv (official FER2013, 7,178 faces without labels)"
    ),
}
# `content_digest` of the same faces in any other file or order.
KNOWN_CONTENTS = {
    "bdbc16ce796b9ed046cc96a34a6c1f56082645783b7829f97b7f654e36732696": "the 35,887 faces of official FER2013",
    "874c877d6d6958302868136da89766fd38c41efe60f9dafdf2b8670dd20053d3": "the 28,709 Training faces of official FER2013",
}


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


def read(path, bad_rows="stop", use_cache=True):
    """Reads FER2013 from a CSV, npz, folder tree, .zip or .tar.gz, or `kaggle:OWNER/DATASET`.

    bad_rows: "stop" at the first bad row or image, or "skip" them all and list them in
    `Faces.skipped`. use_cache: look for a CSV or archive of the same content in the cache
    (`cache.folder()`), and leave it there. Returns `Faces`. Raises `UserError` with the line or
    file at fault.
    """
    if bad_rows not in ("stop", "skip"):
        raise UserError(f"bad_rows: expected 'stop' or 'skip'. Received: {bad_rows!r}")
    text = str(path)
    if text == "drawn":
        from insideout_tf import drawn

        pixels, labels, usage = drawn.draw_all()
        return Faces(pixels, labels, usage, source="drawn")
    if text.startswith("kaggle:"):
        path = fer2013_files.download_from_kaggle(text.removeprefix("kaggle:"))
    path = fer2013_files.locate(pathlib.Path(path).expanduser())
    use_cache = use_cache and path.is_file() and path.suffix.lower() != ".npz"  # as fast by itself
    before = path.stat() if use_cache else None
    if use_cache and (stored := cache.load(path)):
        return _unpack(stored, str(path))
    skipped: list[str] | None = [] if bad_rows == "skip" else None
    parsed = fer2013_files.read_any(path, skipped)
    faces = Faces(
        parsed.pixels,
        parsed.labels,
        parsed.usage,
        source=str(path),
        identified=KNOWN_FILES.get(parsed.sha256),
        names=parsed.names,
        skipped=tuple(skipped or ()),
    )
    if faces.identified is None and faces.labels is not None:
        faces = dataclasses.replace(faces, identified=KNOWN_CONTENTS.get(faces.digest))
    if use_cache and not faces.skipped and _unchanged(path.stat(), before):
        cache.save(path, parsed.sha256, _pack(faces))
    return faces


def _unchanged(now, before):
    return (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def _pack(faces):
    """Returns `Faces` as the arrays that the cache stores."""
    arrays = {"pixels": faces.pixels, "usage": faces.usage, "digest": np.array(faces.digest)}
    if faces.labels is not None:
        arrays["labels"] = faces.labels
    if faces.names is not None:
        arrays["names"] = np.array(faces.names)
    if faces.identified is not None:
        arrays["identified"] = np.array(faces.identified)
    return arrays


def _unpack(arrays, source):
    faces = Faces(
        arrays["pixels"],
        arrays.get("labels"),
        arrays["usage"],
        source,
        str(arrays["identified"]) if "identified" in arrays else None,
        tuple(arrays["names"].tolist()) if "names" in arrays else None,
    )
    faces.__dict__["digest"] = str(arrays["digest"])  # where cached_property keeps it
    return faces


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
