"""Readers of every published form of FER2013 into one `Faces`; nothing is silently dropped."""

import concurrent.futures
import csv
import dataclasses
import functools
import hashlib
import io
import os
import pathlib
import re
import shutil
import tarfile
import tempfile
import zipfile

import numpy as np

from insideout_tf import images
from insideout_tf.emotions import EMOTIONS, label_of
from insideout_tf.errors import UserError

USAGES = ("Training", "PublicTest", "PrivateTest")
TRAINING, PUBLIC_TEST, PRIVATE_TEST = range(3)
PIXELS = images.FACE_SIDE**2

# MD5 of the published files.
KNOWN_FILES = {
    "f8428a1edbd21e88f42c73edd2a14f95": "fer2013.csv (official FER2013, 35,887 faces)",
    "b114b9e04e6949e5fe8b6a98b3892b1d": "icml_face_data.csv (official FER2013, 35,887 faces)",
    "3f0dfb3d3fd99c811a1299cb947e3131": "train.csv (official FER2013 Training, 28,709 faces)",
    "b02c2298636a634e8c2faabbf3ea9a23": "test.csv (official FER2013, 7,178 faces without labels)",
}
# `content_digest` of the same faces in any other file or order.
KNOWN_CONTENTS = {
    "bdbc16ce796b9ed046cc96a34a6c1f56082645783b7829f97b7f654e36732696": "the 35,887 faces of official FER2013",
    "874c877d6d6958302868136da89766fd38c41efe60f9dafdf2b8670dd20053d3": "the 28,709 Training faces of official FER2013",
}

MAX_CSV_BYTES = 4 << 30
MAX_ARCHIVE_BYTES = 4 << 30  # expanded; FER2013 as CSV is 0.3 GB
MAX_ARCHIVE_RATIO = 200  # expanded over stored; FER2013's CSV compresses about three times
MAX_ARCHIVE_MEMBERS = 500_000
CHUNK_BYTES = 16 << 20
ROWS_TOGETHER = 24  # of about 8 kB
MAX_LINE_BYTES = 1 << 20  # a valid row has at most 9.3 kB


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces in the order of their file.

    pixels: uint8 `[n, 48, 48]`, 0..255. labels: uint8 `[n]`, 0..6, or None where the file has
    none. usage: uint8 `[n]`, 0 Training, 1 PublicTest, 2 PrivateTest. names: file names of a
    folder tree, else None. source: the path read. identified: the published file it is, or None.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    usage: np.ndarray
    source: str
    identified: str | None = None
    names: tuple[str, ...] | None = None

    def __len__(self):
        return len(self.usage)

    @functools.cached_property
    def digest(self):
        """SHA-256 (hex) of the set of faces with label and usage, whatever their order."""
        return content_digest(self.pixels, self.labels, self.usage)


def read(path):
    """Reads FER2013 from a CSV, npz, folder tree, .zip or .tar.gz, or `kaggle:OWNER/DATASET`.

    Returns `Faces`. Raises `UserError` with the line or file at fault.
    """
    text = str(path)
    if text.startswith("kaggle:"):
        return read(_kaggle_download(text.removeprefix("kaggle:")))
    if text == "drawn":
        from insideout_tf import drawn

        return Faces(*drawn.draw_all(), source="drawn")
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        faces = _read_folder(path)
    elif not path.exists():
        raise UserError(
            f"{path}: expected a file or folder that exists (fer2013.csv, "
            "icml_face_data.csv, train.csv, .npz, .zip, .tar.gz, or a folder with "
            "train/ and test/). Check the path. Received: nothing there"
        )
    elif path.stat().st_size == 0:
        raise UserError(
            f"{path}: expected a FER2013 file. Download it again. Received: an empty file"
        )
    elif zipfile.is_zipfile(path) and path.suffix.lower() != ".npz":
        faces = _read_archive(path, _extract_zip)
    elif path.suffix.lower() == ".zip":
        raise UserError(
            f"{path}: expected a whole ZIP archive. Download it again. Received: "
            "a file without a ZIP directory (truncated?)"
        )
    elif path.name.lower().endswith((".tar.gz", ".tgz", ".tar")):
        faces = _read_archive(path, _extract_tar)
    elif path.suffix.lower() == ".npz":
        faces = _read_npz(path)
    else:
        faces = _read_csv(path)
    if faces.identified is None and faces.labels is not None:
        known = KNOWN_CONTENTS.get(faces.digest)
        faces = dataclasses.replace(faces, identified=known)
    return faces


def content_keys(pixels):
    """Returns one opaque key an image (`[n]`, void dtype): equal keys mean equal pixels."""
    flat = np.ascontiguousarray(pixels.reshape(len(pixels), PIXELS))
    return flat.view(np.dtype((np.void, PIXELS)))[:, 0]


def content_digest(pixels, labels, usage):
    """SHA-256 (hex) of the multiset of (pixels, label, usage), so that file order does not matter."""
    labels = np.full(len(usage), 255, np.uint8) if labels is None else labels
    each = sorted(
        hashlib.blake2b(image.tobytes() + bytes((int(label), int(use))), digest_size=16).digest()
        for image, label, use in zip(pixels, labels, usage)
    )
    return hashlib.sha256(b"".join(each)).hexdigest()


# -- CSV ---------------------------------------------------------------------------------------


def _read_csv(path):
    """Parses a CSV of faces in chunks of whole lines; the error of a bad row names its line."""
    if path.stat().st_size > MAX_CSV_BYTES:
        raise UserError(
            f"{path}: expected at most {MAX_CSV_BYTES >> 30} GB. "
            f"Received: {path.stat().st_size >> 30} GB"
        )
    digest = hashlib.md5(usedforsecurity=False)
    pixels, labels, usage = [], [], []
    with open(path, "rb") as file:
        header = file.readline(MAX_LINE_BYTES)
        digest.update(header)
        columns = _parse_header(header, path)
        line_number = 2
        rest = b""
        while True:
            block = file.read(CHUNK_BYTES)
            digest.update(block)
            chunk = rest + block
            if not chunk:
                break
            end = chunk.rfind(b"\n") + 1 if block else len(chunk)
            if end == 0 and len(chunk) > MAX_LINE_BYTES:
                raise UserError(
                    f"{path}, line {line_number}: expected a row of {PIXELS} pixels. "
                    "Download the file again. Received: a line of over "
                    f"{MAX_LINE_BYTES:,} bytes"
                )
            lines, rest = chunk[:end].split(b"\n"), chunk[end:]
            if lines and lines[-1] == b"":
                lines.pop()
            if lines:
                part = _parse_rows(lines, columns, path, line_number, at_end=not block)
                pixels.append(part[0])
                labels.append(part[1])
                usage.append(part[2])
                line_number += len(lines)
            if not block:
                break
    count = sum(map(len, usage))
    if not count:
        raise UserError(
            f"{path}: expected rows of faces after the header. Download the file "
            "again. Received: a header only"
        )
    return Faces(
        np.concatenate(pixels).reshape(count, images.FACE_SIDE, images.FACE_SIDE),
        np.concatenate(labels) if "emotion" in columns else None,
        np.concatenate(usage),
        str(path),
        KNOWN_FILES.get(digest.hexdigest()),
    )


def _parse_header(header, path):
    text = header.decode("utf-8-sig", "replace").strip("\r\n")
    names = [name.strip().lower() for name in next(csv.reader([text]), [])]
    columns = {name: index for index, name in enumerate(names)}
    if "pixels" not in columns:
        raise UserError(
            f"{path}, line 1: expected a header with the columns emotion, pixels and "
            "(optionally) Usage, in any order. Check that this is a FER2013 CSV. "
            f"Received: {text[:120]!r}"
        )
    if len(columns) != len(names):
        raise UserError(f"{path}, line 1: expected each column once. Received: {text[:120]!r}")
    if "emotion" not in columns and "usage" in columns:
        raise UserError(
            f"{path}, line 1: expected a column 'emotion' beside 'Usage'. Add it, or "
            f"download the file again. Received: {text[:120]!r}"
        )
    columns[None] = len(names)
    return columns


def _parse_rows(lines, columns, path, first_line, at_end):
    """Returns pixels uint8 `[n, 2304]`, labels and usage uint8 `[n]` of the rows in `lines`."""
    pixels_at, emotion_at, usage_at = (columns.get(name) for name in ("pixels", "emotion", "usage"))
    width = columns[None]
    pixel_texts, labels, usage = [], [], []
    for offset, line in enumerate(lines):
        fields = [field.strip(b' \t\r"') for field in line.split(b",")]
        where = f"{path}, line {first_line + offset}"
        last = at_end and offset == len(lines) - 1
        if len(fields) != width:
            raise UserError(
                f"{where}: expected {width} comma-separated fields. "
                + _advice(last)
                + f"Received: {len(fields)} fields, {_excerpt(line)}"
            )
        pixel_texts.append(fields[pixels_at])
        labels.append(0 if emotion_at is None else _parse_label(fields[emotion_at], where))
        usage.append(TRAINING if usage_at is None else _parse_usage(fields[usage_at], where, last))
    values = _parse_pixels_fast(pixel_texts)
    if values is None:
        values = np.stack(
            [
                _parse_pixels_strict(
                    text, f"{path}, line {first_line + offset}", at_end and offset == len(lines) - 1
                )
                for offset, text in enumerate(pixel_texts)
            ]
        )
    return values, np.array(labels, np.uint8), np.array(usage, np.uint8)


def _parse_pixels_fast(texts):
    """Parses rows of exactly 2304 single-spaced numbers; None where any row is not so."""
    groups = [texts[start : start + ROWS_TOGETHER] for start in range(0, len(texts), ROWS_TOGETHER)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        parsed = list(threads.map(_parse_group, groups))  # NumPy lets go of the interpreter lock
    if any(values is None for values in parsed):
        return None
    return np.concatenate(parsed)


def _parse_group(texts):
    """Parses a few rows at once by arithmetic on their bytes, small enough for the cache."""
    text = np.frombuffer(b" ".join([*texts, b""]), np.uint8)
    digit = text - np.uint8(48)  # wraps, so that only digits are below 10
    is_digit, is_space = digit < 10, text == 32
    row_starts = np.cumsum([0, *(len(t) + 1 for t in texts[:-1])])
    spaces = np.add.reduceat(is_space, row_starts, dtype=np.int64)
    if not (is_digit ^ is_space).all() or (spaces != PIXELS).any():
        return None
    ends = is_digit[:-1] & is_space[1:]
    two = is_digit[:-1] & is_digit[1:]
    three = two[:-1] & two[1:]
    if np.count_nonzero(ends) != len(texts) * PIXELS or (three[:-1] & three[1:]).any():
        return None  # a doubled space, or a number of four digits
    digit *= is_digit
    values = digit.astype(np.uint16)
    values[1:] += digit[:-1] * np.uint8(10)
    values[2:] += np.multiply(digit[:-2] * is_digit[1:-1], np.uint16(100), dtype=np.uint16)
    values = values[:-1][ends]
    if values.max() > 255:
        return None
    return values.astype(np.uint8).reshape(len(texts), PIXELS)


def _parse_pixels_strict(text, where, last):
    """Parses one row with any white space between numbers, or raises the row's own error."""
    words = text.split()
    for position, word in enumerate(words):
        if not (word.isdigit() and len(word) < 10 and int(word) <= 255):
            raise UserError(
                f"{where}: expected whole pixel values from 0 to 255. {_advice(last)}"
                f"Received: {_excerpt(word)} as pixel {position + 1}"
            )
    if len(words) != PIXELS:
        raise UserError(
            f"{where}: expected {PIXELS} pixels (48×48). {_advice(last)}"
            f"Received: {len(words)} pixels"
        )
    return np.array(list(map(int, words)), np.uint8)


def _parse_label(field, where):
    if len(field) == 1 and b"0" <= field <= b"6":
        return field[0] - 48
    raise UserError(
        f"{where}: expected an emotion from 0 to 6 (0 {EMOTIONS[0]} ... 6 "
        f"{EMOTIONS[6]}). Correct or remove the row. Received: {_excerpt(field)}"
    )


def _parse_usage(field, where, last):
    for index, name in enumerate(USAGES):
        if field == name.encode():
            return index
    raise UserError(
        f"{where}: expected a Usage of {', '.join(USAGES)}. {_advice(last)}"
        f"Received: {_excerpt(field)}"
    )


def _advice(last):
    if last:
        return "It is the last line: the file looks truncated; download it again. "
    return "Correct or remove the row. "


def _excerpt(text):
    shown = text[:40].decode("utf-8", "replace")
    return repr(shown) + ("..." if len(text) > 40 else "")


# -- npz ---------------------------------------------------------------------------------------


def _read_npz(path):
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
            f"Received: {pixels.dtype} {list(pixels.shape)}"
        )
    pixels = pixels.reshape(-1, 48, 48)
    for name, values, highest in (("emotion", emotion, 6), ("usage", usage, 2)):
        if values.shape != (len(pixels),) or values.dtype.kind not in "ui":
            raise UserError(
                f"{path}: expected {name!r} as {len(pixels)} whole numbers. "
                f"Received: {values.dtype} {list(values.shape)}"
            )
        wrong = np.flatnonzero((values < 0) | (values > highest))
        if len(wrong):
            raise UserError(
                f"{path}: expected {name!r} from 0 to {highest}. Correct the array. "
                f"Received: {values[wrong[0]]} at index {wrong[0]}"
            )
    if not len(pixels):
        raise UserError(f"{path}: expected at least one face. Received: arrays of length 0")
    return Faces(pixels, emotion.astype(np.uint8), usage.astype(np.uint8), str(path))


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


def _read_folder(path):
    """Reads a folder of parts (train, test, validation), or one that holds a single known form."""
    parts = sorted(
        child for child in path.iterdir() if child.is_dir() and child.name.lower() in _PARTS
    )
    if not parts:
        return _read_inner(path)
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
                if file.suffix.lower() not in images.SUFFIXES or not file.is_file():
                    raise UserError(
                        f"{file}: expected image files ({', '.join(images.SUFFIXES)}) "
                        "in a class folder. Move or remove it. Received: "
                        f"{file.suffix or 'no suffix'!r}"
                    )
                if file.stat().st_size > images.MAX_FILE_BYTES:
                    raise UserError(
                        f"{file}: expected an image of a few kilobytes. "
                        f"Received: {file.stat().st_size:,} bytes"
                    )
                pixels.append(images.decode_face(file.read_bytes(), file))
                labels.append(label)
                usage.append(_usage_of(file.name, part))
                names.append(file.relative_to(path).as_posix())
    if not pixels:
        raise UserError(
            f"{path}: expected images in {'/, '.join(p.name for p in parts)}/<class>/. "
            "Received: no image"
        )
    return Faces(
        np.stack(pixels),
        np.array(labels, np.uint8),
        np.array(usage, np.uint8),
        str(path),
        None,
        tuple(names),
    )


def _read_inner(path):
    """Reads the one data set inside a folder that is not itself a tree of parts."""
    children = [child for child in sorted(path.iterdir()) if not _hidden(child)]
    named = {child.name.lower(): child for child in children if child.is_file()}
    for name in ("fer2013.csv", "icml_face_data.csv", "train.csv"):
        if name in named:
            return _read_csv(named[name])
    data = [
        child
        for child in children
        if child.is_file()
        and child.name.lower().endswith((".csv", ".npz", ".tar.gz", ".tgz", ".zip"))
    ]
    folders = [child for child in children if child.is_dir()]
    if len(data) == 1:
        return read(data[0])
    if not data and len(folders) == 1:
        return _read_folder(folders[0])
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
        (0, int(word), "") if word.isdigit() else (1, 0, word)
        for word in re.split(r"(\d+)", path.name)
    ]


# -- archives and downloads --------------------------------------------------------------------


def _read_archive(path, extract):
    with tempfile.TemporaryDirectory(prefix="insideout_tf_") as folder:
        target = pathlib.Path(folder)
        try:
            extract(path, target)
        except UserError:
            raise
        except OSError as error:
            if error.errno is not None and not isinstance(error, tarfile.TarError):
                raise
            raise _damaged(path, error) from None
        except Exception as error:  # zipfile, tarfile, zlib and lzma raise many kinds
            raise _damaged(path, error) from None
        try:
            faces = _read_folder(target)
        except UserError as error:
            raise UserError(
                str(error).replace(str(target), f"{path} » ").replace("» /", "» ")
            ) from None
    return dataclasses.replace(faces, source=str(path))


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
                    f"{path} » {member.filename}: expected plain files only. "
                    "Received: a symbolic link"
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
                    f"{path} » {member.name}: expected plain files only. "
                    "Received: a link or a device"
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
            f"{MAX_ARCHIVE_BYTES >> 30} GB and {MAX_ARCHIVE_RATIO} times its size. "
            f"Received: {size:,} bytes from {stored:,}"
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


def _kaggle_download(name):
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
