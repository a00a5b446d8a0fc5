"""FER2013 as anything but CSV: npz, folders of images, archives of either, a Kaggle download."""

import errno
import io
import pathlib
import re
import shutil
import tarfile
import tempfile
import typing
import zipfile

import numpy as np

from insideout_tf.data import fer2013, images
from insideout_tf.data.classes import label_of
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING, USAGES
from insideout_tf.errors import UserError

MAX_ARCHIVE_BYTES = 4 << 30  # expanded; FER2013 as CSV is 0.3 GB
MAX_ARCHIVE_RATIO = 200  # expanded over stored; FER2013's CSV compresses about three times
MAX_ARCHIVE_MEMBERS = 500_000
MAX_ARCHIVE_DEPTH = 2  # the competition's .zip holds a .tar.gz
MAX_FOLDER_DEPTH = 8  # folders around the data


class Parsed(typing.NamedTuple):
    """pixels uint8 `[n, 48, 48]`, labels uint8 `[n]` or None, usage uint8 `[n]`; names of a tree's
    files, else None; sha256 (hex) of a CSV file, else None."""

    pixels: np.ndarray
    labels: np.ndarray | None
    usage: np.ndarray
    names: tuple[str, ...] | None = None
    sha256: str | None = None


def read_any(path, skipped=None, depth=0):
    """Reads the file or folder at `path`, whatever its form; returns `Parsed`.

    skipped: a list that collects the messages of bad rows and images; None stops at the first.
    depth: how many archives `path` is already inside of. Raises `UserError` with the line or file at
    fault.
    """
    path = locate(path)
    if path.is_dir():
        return _read_tree(path, skipped)
    if not path.exists():
        raise UserError(
            f"{path}: expected a file or folder that exists (fer2013.csv, "
            "icml_face_data.csv, train.csv, .npz, .zip, .tar.gz, or a folder with "
            "train/ and test/). Check the path. Received: nothing there"
        )
    if not path.is_file():
        raise UserError(
            f"{path}: expected a file or a folder. Check the path. Received: a device or a pipe"
        )
    if path.stat().st_size == 0:
        raise UserError(
            f"{path}: expected a FER2013 file. Download it again. Received: an empty file"
        )
    name = path.name.lower()
    if name.endswith(".npz"):
        return Parsed(*_read_npz(path, skipped))
    if zipfile.is_zipfile(path):
        return _read_archive(path, _extract_zip, skipped, depth)
    if name.endswith(".zip"):
        raise UserError(
            f"{path}: expected a whole ZIP archive. Download it again. Received: "
            "a file without a ZIP directory (truncated?)"
        )
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        return _read_archive(path, _extract_tar, skipped, depth)
    return _read_csv(path, skipped)


def _read_csv(path, skipped):
    pixels, labels, usage, digest = fer2013.read_csv(path, skipped)
    return Parsed(pixels, labels, usage, sha256=digest)


# -- npz ---------------------------------------------------------------------------------------


def _read_npz(path, skipped):
    """Returns pixels uint8 `[n, 48, 48]`, labels and usage uint8 `[n]`."""
    keys = ("pixels", "emotion", "usage")
    expected = (
        "an npz with 'pixels' uint8 [n, 48, 48], 'emotion' [n] 0..6 and 'usage' [n] "
        "(0 Training, 1 PublicTest, 2 PrivateTest)"
    )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_ARCHIVE_BYTES:
            raise UserError(
                f"{path}: expected at most {MAX_ARCHIVE_BYTES >> 30} GB of arrays. "
                f"Received: {size >> 30} GB"
            )
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in keys if key not in arrays]
            if missing:
                raise UserError(
                    f"{path}: expected {expected}. Add {', '.join(missing)}. "
                    f"Received: {', '.join(arrays.files) or 'no arrays'}"
                )
            pixels, emotion, usage = (arrays[key] for key in keys)
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise UserError(
            f"{path}: expected {expected}. The file looks damaged; make or download it "
            f"again. Received: {type(error).__name__}: {error}"
        ) from None
    if (
        pixels.dtype != np.uint8
        or pixels.ndim not in (3, 4)
        or pixels.shape[1:] not in ((48, 48), (48, 48, 1))
    ):
        raise UserError(
            f"{path}: expected 'pixels' of type uint8 and shape [n, 48, 48]. "
            f"Convert the array. Received: {pixels.dtype} {list(pixels.shape)}"
        )
    pixels = pixels.reshape(-1, 48, 48)
    bad = np.zeros(len(pixels), bool)
    for name, values, highest in (("emotion", emotion, 6), ("usage", usage, 2)):
        if values.shape != (len(pixels),) or values.dtype.kind not in "ui":
            raise UserError(
                f"{path}: expected {name!r} as {len(pixels)} whole numbers, one a face. "
                f"Correct the array. Received: {values.dtype} {list(values.shape)}"
            )
        wrong = (values < 0) | (values > highest)
        bad |= wrong
        for index in np.flatnonzero(wrong):
            message = (
                f"{path}, index {index}: expected {name!r} from 0 to {highest}. Correct or remove "
                f"the face. Received: {values[index]}"
            )
            if skipped is None:
                raise UserError(message)
            skipped.append(message)
    pixels, emotion, usage = pixels[~bad], emotion[~bad], usage[~bad]
    if not len(pixels):
        raise UserError(
            f"{path}: expected at least one face. Give another file. Received: {len(bad)} faces"
            + (", all bad" if len(bad) else "")
        )
    return pixels, emotion.astype(np.uint8), usage.astype(np.uint8)


# -- folder tree -------------------------------------------------------------------------------

_PARTS = {
    "train": TRAINING,
    "training": TRAINING,
    "test": PRIVATE_TEST,
    "testing": PRIVATE_TEST,
    "validation": PUBLIC_TEST,
    "valid": PUBLIC_TEST,
    "val": PUBLIC_TEST,
}


def _read_tree(path, skipped):
    """Reads a folder of parts: train, test, validation, each with a folder a class."""
    parts = _parts(path)
    pixels, labels, usage, names = [], [], [], []
    for part in parts:
        for folder in sorted(child for child in part.iterdir() if not _hidden(child)):
            if not folder.is_dir():
                raise UserError(
                    f"{folder}: expected only class folders inside {part.name}/. "
                    "Move or remove it. Received: a file"
                )
            label = label_of(folder.name, folder)
            for file in sorted(folder.iterdir(), key=_natural_order):
                if _hidden(file):
                    continue
                try:
                    pixels.append(_read_image(file))
                except UserError as error:
                    if skipped is None:
                        raise
                    skipped.append(str(error))
                    continue
                labels.append(label)
                usage.append(_usage_of(file.name, part))
                names.append(file.relative_to(path).as_posix())
    if not pixels:
        raise UserError(
            f"{path}: expected images in {'/, '.join(p.name for p in parts)}/<class>/. "
            "Check the path. Received: " + (f"{len(skipped)} bad files" if skipped else "no image")
        )
    return Parsed(
        np.stack(pixels), np.array(labels, np.uint8), np.array(usage, np.uint8), tuple(names)
    )


def _read_image(file):
    if file.suffix.lower() not in images.SUFFIXES or not file.is_file():
        raise UserError(
            f"{file}: expected image files ({', '.join(images.SUFFIXES)}) in a class folder. Move "
            f"or remove it. Received: {file.suffix or 'no suffix'!r}"
        )
    if file.stat().st_size > images.MAX_FILE_BYTES:
        raise UserError(
            f"{file}: expected an image of a few kilobytes. Move or remove it. "
            f"Received: {file.stat().st_size:,} bytes"
        )
    return images.decode_face(file.read_bytes(), file)


def locate(path):
    """Returns the file or tree of parts that a folder around it means; any other path as it is."""
    for _ in range(MAX_FOLDER_DEPTH):
        if not path.is_dir() or _parts(path):
            return path
        path = _data_inside(path)
    raise UserError(
        f"{path}: expected the data at most {MAX_FOLDER_DEPTH} folders deep. Give the path of the "
        "data itself. Received: another folder"
    )


def _parts(path):
    return sorted(
        child for child in path.iterdir() if child.is_dir() and child.name.lower() in _PARTS
    )


def _data_inside(path):
    """Returns the one data set inside a folder that is not itself a tree of parts."""
    children = [child for child in sorted(path.iterdir()) if not _hidden(child)]
    named = {child.name.lower(): child for child in children if child.is_file()}
    for name in ("fer2013.csv", "icml_face_data.csv", "train.csv"):
        if name in named:
            return named[name]
    data = [
        child
        for child in children
        if child.is_file()
        and child.name.lower().endswith((".csv", ".npz", ".tar.gz", ".tgz", ".zip"))
    ]
    folders = [child for child in children if child.is_dir()]
    if len(data) == 1:
        return data[0]
    if not data and len(folders) == 1:
        return folders[0]
    shown = ", ".join(child.name for child in children[:8]) or "an empty folder"
    raise UserError(
        f"{path}: expected train/, test/ or validation/ with class folders, or one "
        f"FER2013 file. Give the path of the data itself. Received: {shown}"
    )


def _usage_of(name, part):
    for index, usage in enumerate(USAGES):
        if name.lower().startswith(usage.lower() + "_"):
            return index
    return _PARTS[part.name.lower()]


def _hidden(path):
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _natural_order(path):
    return [
        (0, int(word), "") if word.isdecimal() else (1, 0, word)
        for word in re.split(r"(\d+)", path.name)
    ]


# -- archives and downloads --------------------------------------------------------------------


def _read_archive(path, extract, skipped, depth):
    if depth == MAX_ARCHIVE_DEPTH:
        raise UserError(
            f"{path}: expected at most {MAX_ARCHIVE_DEPTH} archives in one another. Unpack it "
            "yourself and give the folder. Received: one more"
        )
    with tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder:
        target = pathlib.Path(folder)
        try:
            extract(path, target)
        except UserError:
            raise
        except OSError as error:
            # A damaged directory makes zipfile seek to nowhere; other numbers are the disk's.
            if error.errno not in (None, errno.EINVAL) and not isinstance(error, tarfile.TarError):
                raise
            raise _damaged(path, error) from None
        except Exception as error:  # zipfile, tarfile, zlib and lzma raise many kinds
            raise _damaged(path, error) from None

        def inside(message):
            return message.replace(str(target), f"{path} » ").replace("» /", "» ")

        found: list[str] = []
        try:
            parsed = read_any(target, None if skipped is None else found, depth + 1)
        except UserError as error:
            raise UserError(inside(str(error))) from None
    if skipped is not None:
        skipped += map(inside, found)
    return parsed._replace(sha256=None)  # a CSV's own, where the archive's is meant


def _damaged(path, error):
    return UserError(
        f"{path}: expected a whole archive. Download it again. "
        f"Received: {type(error).__name__}: {error}"
    )


def _extract_zip(path, target):
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_archive(path, len(members), sum(member.file_size for member in members))
        for member in members:
            if member.is_dir():
                continue
            if (member.external_attr >> 16) & 0o170000 == 0o120000:
                raise UserError(
                    f"{path} » {member.filename}: expected plain files only. Do not trust "
                    "this file. Received: a symbolic link"
                )
            with archive.open(member) as source:
                _write_member(path, member.filename, member.file_size, source, target)


def _extract_tar(path, target):
    with tarfile.open(path, "r:*") as archive:
        total = count = 0
        for member in archive:
            count, total = count + 1, total + member.size
            _check_archive(path, count, total)
            if member.isdir():
                continue
            if not member.isfile():
                raise UserError(
                    f"{path} » {member.name}: expected plain files only. Do not trust "
                    "this file. Received: a link or a device"
                )
            _write_member(path, member.name, member.size, archive.extractfile(member), target)


def _check_archive(path, count, size):
    if count > MAX_ARCHIVE_MEMBERS:
        raise UserError(
            f"{path}: expected at most {MAX_ARCHIVE_MEMBERS:,} files. Unpack it "
            f"yourself and give the folder. Received: {count:,}"
        )
    stored = max(path.stat().st_size, 1)
    if size > MAX_ARCHIVE_BYTES or (size > 1 << 26 and size / stored > MAX_ARCHIVE_RATIO):
        raise UserError(
            f"{path}: expected an archive that expands to at most "
            f"{MAX_ARCHIVE_BYTES >> 30} GB and {MAX_ARCHIVE_RATIO} times its size. Do not trust "
            f"this file. Received: {size:,} bytes from {stored:,}"
        )


def _write_member(path, name, size, source, target):
    parts = pathlib.PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise UserError(
            f"{path}: expected members that stay inside the archive's folder. Do not "
            f"trust this file. Received: a member named {name!r}"
        )
    file = target.joinpath(*parts.parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as out:
        shutil.copyfileobj(_Bounded(source, size, path, name), out)


class _Bounded(io.RawIOBase):
    """Reads a member up to its declared size, so that a lying header cannot fill the disk."""

    def __init__(self, source, size, path, name):
        self._source, self._left, self._where = source, size, f"{path} » {name}"

    def read(self, count=-1):
        block = self._source.read(count)
        self._left -= len(block)
        if self._left < 0:
            raise UserError(
                f"{self._where}: expected the size its header declares. Do not trust "
                "this file. Received: more bytes"
            )
        return block


def download_from_kaggle(name):
    """Returns the folder of a Kaggle data set `OWNER/DATASET`, downloaded by kagglehub if need be."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(/versions/\d+)?", name):
        raise UserError(
            f"--data kaggle:{name}: expected kaggle:OWNER/DATASET, for example "
            f"kaggle:msambare/fer2013. Received: {name!r}"
        )
    try:
        import kagglehub
    except ImportError:
        raise UserError(
            "--data kaggle:...: expected the optional package kagglehub. Install it "
            "with `pip install kagglehub`, or download the data set in a browser and "
            "give its path. Received: no such package"
        ) from None
    try:
        return kagglehub.dataset_download(name)
    except Exception as error:  # network, credentials, unknown data set: kagglehub's own kinds
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"--data kaggle:{name}: expected a download. Check the name, the network "
            f"and your Kaggle sign-in. Received: {type(error).__name__}: "
            f"{reason}"
        ) from None
