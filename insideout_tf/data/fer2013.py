"""FER2013 as CSV: one row a face, with its 2304 pixels as text.

NumPy parses the pixels of a block of rows in one call, and one check covers the whole block. A
block that fails goes row by row through the strict parser, whose messages name the line.
"""

import codecs
import functools
import hashlib

import numpy as np

from insideout_tf.data import classes, inputs
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.contract import FER2013
from insideout_tf.data.faces import TRAINING, USAGES, Faces
from insideout_tf.errors import UserError

PIXELS = FER2013.side**2
MAX_CSV_BYTES = 4 << 30  # FER2013 has 0.3 GB
MAX_LINE_BYTES = 1 << 20  # a valid row has at most 9.3 kB
BLOCK_BYTES = 1 << 20  # text that is parsed together

# SHA-256 of the published files, computed from them.
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
# `faces.content_digest` of the same faces, in any file and any order.
KNOWN_CONTENTS = {
    "bdbc16ce796b9ed046cc96a34a6c1f56082645783b7829f97b7f654e36732696": (
        "the 35,887 faces of official FER2013"
    ),
    "874c877d6d6958302868136da89766fd38c41efe60f9dafdf2b8670dd20053d3": (
        "the 28,709 Training faces of official FER2013"
    ),
}


def read_csv(path, bad_rows="stop", names=EMOTIONS):
    """Reads a CSV with the columns pixels, emotion and Usage, in any order.

    The columns emotion and Usage are optional. Without Usage, every face is a Training face. Fields
    stand between commas, semicolons or tabs. A label is a number (3 or 3.0) or a name of an emotion;
    usages may be in any case. Blank lines at the end are no rows.

    Args:
        path: `pathlib.Path` of the file.
        bad_rows: "stop" at the first bad row, or "skip" all of them and list their messages.
        names: the names of the classes, in the order of their numbers.

    Returns:
        `Faces`, with `identified` set for a file of `KNOWN_FILES`.

    Raises:
        UserError: a bad header, a bad row (with its line) or no good row at all.
    """
    size = path.stat().st_size
    if size > MAX_CSV_BYTES:
        raise UserError(
            f"{path}: expected at most {MAX_CSV_BYTES >> 30} GB. Give a FER2013 CSV, which has "
            f"0.3 GB. Received: {size >> 30} GB"
        )
    digest, skipped, words = hashlib.sha256(), [], _words_of(tuple(names))
    # They grow in place: arrays of blocks, concatenated, would need twice the memory in the end.
    columns_of_faces = (bytearray(), bytearray(), bytearray())
    with open(path, "rb", buffering=MAX_LINE_BYTES) as file:
        header = file.readline(MAX_LINE_BYTES)
        digest.update(header)
        columns = _parse_header(header, path)
        for first_line, lines in _read_blocks(file, path):
            digest.update(b"".join(lines))
            arrays = _parse_block(lines, columns, words)
            if arrays is None:
                arrays, messages = _parse_rows(lines, columns, words, path, first_line, bad_rows)
                skipped += messages
            for column, array in zip(columns_of_faces, arrays):
                column += array.tobytes()
    pixels, labels, usage = (np.frombuffer(column, np.uint8) for column in columns_of_faces)
    if not len(usage):
        content = f"{len(skipped)} bad rows and no good one" if skipped else "a header only"
        raise UserError(
            f"{path}: expected rows of faces after the header. Download the file again. "
            f"Received: {content}"
        )
    return Faces(
        pixels.reshape(-1, FER2013.side, FER2013.side),
        labels if "emotion" in columns else None,
        usage,
        source=str(path),
        identified=KNOWN_FILES.get(digest.hexdigest()) if tuple(names) == EMOTIONS else None,
        skipped=tuple(skipped),
        classes=tuple(names),
    )


def _parse_header(header, path):
    """Returns {column name: position}. None holds the number of columns, "" the bytes between them."""
    _refuse_other_formats(header, path)
    text = header.decode("utf-8-sig", "replace").strip("\r\n")
    for separator in (",", ";", "\t"):
        names = [name.strip(' \t"').lower() for name in text.split(separator)]
        if "pixels" in names and not (separator == "," and ";" in text):
            break
    else:
        raise UserError(
            f"{path}, line 1: expected a header with the columns emotion, pixels and "
            "(optionally) Usage, in any order. Check that this is a FER2013 CSV. "
            f"Received: {text[:120]!r}"
        )
    columns = {name: index for index, name in enumerate(names)}
    if len(columns) != len(names):
        raise UserError(
            f"{path}, line 1: expected each column once. Remove the second one. "
            f"Received: {text[:120]!r}"
        )
    if "emotion" not in columns and "usage" in columns:
        raise UserError(
            f"{path}, line 1: expected a column 'emotion' beside 'Usage'. Add it, or "
            f"download the file again. Received: {text[:120]!r}"
        )
    return {**columns, None: len(names), "": separator.encode()}


def _refuse_other_formats(header, path):
    """Raises `UserError` for a compressed file, UTF-16 and UTF-32, named as what they are."""
    for start, name in inputs.PACKED.items():
        if header.startswith(start):
            raise UserError(
                f"{path}: expected a CSV that is not compressed. Unpack it first. Received: {name}"
            )
    is_utf_32 = header.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    is_utf_32 = is_utf_32 or b"p\0\0\0i\0\0\0x" in header.lower()
    is_utf_16 = header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_utf_32 or is_utf_16 or b"p\0i\0x" in header.lower():
        raise UserError(
            f"{path}, line 1: expected text in UTF-8. Save it as CSV UTF-8. Received: "
            f"{'UTF-32' if is_utf_32 else 'UTF-16'}"
        )


def _read_blocks(file, path):
    """Yields (number of the first line, lines) for each block of about `BLOCK_BYTES`."""
    first_line, size = 2, 0
    lines: list[bytes] = []
    blanks: list[bytes] = []
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            yield first_line, lines  # an error on an earlier line comes first
            raise UserError(
                f"{path}, line {first_line + len(lines) + len(blanks)}: expected a row of {PIXELS} pixels. "
                f"Download the file again. Received: a line of over {MAX_LINE_BYTES:,} bytes"
            )
        if not line.strip():  # blank lines at the end are dropped; between rows they are bad rows
            blanks.append(line)
            continue
        lines += blanks
        blanks = []
        lines.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield first_line, lines
            first_line, lines, size = first_line + len(lines), [], 0
    if lines:
        yield first_line, lines


# -- a block at once -------------------------------------------------------------------------------


def _parse_block(lines, columns, words):
    """Parses rows in the published layout.

    Returns pixels uint8 `[n, 2304]`, labels uint8 `[n]` and usage uint8 `[n]`, or None if any row
    is bad or has another layout.
    """
    rows = [_split_row(line, columns) for line in lines]
    if any(len(row) != columns[None] for row in rows):
        return None
    try:
        marks = [_parse_marks(row, columns, words, "", False) for row in rows]
    except UserError:
        return None
    texts = [row[columns["pixels"]] for row in rows]
    # A row of n spaces holds at most n + 1 numbers, so the total settles every row.
    if any(text.count(b" ") != PIXELS - 1 for text in texts):
        return None
    text = b" ".join(texts)
    if text.translate(None, b"0123456789 "):
        return None
    values = np.fromstring(text, np.int64, sep=" ")  # so wide that a large number stays large
    if len(values) != len(rows) * PIXELS or values.max(initial=0) > 255:
        return None
    labels, usage = np.array(marks, np.uint8).reshape(-1, 2).T
    return values.astype(np.uint8).reshape(-1, PIXELS), labels, usage


# -- one row at a time, strictly -------------------------------------------------------------------


def _parse_rows(lines, columns, words, path, first_line, bad_rows):
    """Returns the arrays of `_parse_block` for the good rows, and the messages of the bad ones."""
    rows, messages = [], []
    for number, line in enumerate(lines, first_line):
        try:
            rows.append(_parse_row(line, columns, words, f"{path}, line {number}"))
        except UserError as error:
            if bad_rows == "stop":
                raise
            messages.append(str(error))
    pixels, labels, usage = zip(*rows) if rows else ((), (), ())
    arrays = (
        np.array(pixels, np.uint8).reshape(-1, PIXELS),
        np.array(labels, np.uint8),
        np.array(usage, np.uint8),
    )
    return arrays, messages


def _parse_row(line, columns, words, where):
    """Returns the pixels (a list of int), the label and the usage of one row."""
    is_cut = not line.endswith(b"\n")
    row = _split_row(line, columns)
    if len(row) != columns[None]:
        text = _excerpt(line.removesuffix(b"\n"))
        raise UserError(
            f"{where}: expected {columns[None]} comma-separated fields. {_advice(is_cut)}"
            f"Received: {len(row)} fields, {text}"
        )
    label, usage = _parse_marks(row, columns, words, where, is_cut)
    texts = row[columns["pixels"]].split()
    pixels = [_parse_pixel(text) for text in texts]
    if None in pixels:
        position = pixels.index(None)
        raise UserError(
            f"{where}: expected whole pixel values from 0 to 255. {_advice(is_cut)}"
            f"Received: {_excerpt(texts[position])} as pixel {position + 1}"
        )
    if len(pixels) != PIXELS:
        raise UserError(
            f"{where}: expected {PIXELS} pixels (48×48). {_advice(is_cut)}"
            f"Received: {len(pixels)} pixels"
        )
    return pixels, label, usage


def _split_row(line, columns):
    """Returns the fields of a row (bytes), without spaces and quotes around them."""
    return [field.strip(b' \t\r\n"') for field in line.split(columns[""])]


def _parse_marks(row, columns, words, where, is_cut):
    """Returns the label and the usage of a row; 0 and Training where the column is absent.

    words: of `_words_of`.
    """
    label = words.get(row[columns["emotion"]].lower()) if "emotion" in columns else 0
    usage = _USAGE_NUMBERS.get(row[columns["usage"]].lower()) if "usage" in columns else TRAINING
    if label is None:
        names = list(words)  # the first of them are the names of the classes
        last = max(words.values())
        raise UserError(
            f"{where}: expected an emotion from 0 to {last} (0 {names[0].decode()} ... "
            f"{last} {names[last].decode()}). Correct or remove the row. "
            f"Received: {_excerpt(row[columns['emotion']])}"
        )
    if usage is None:
        raise UserError(
            f"{where}: expected a Usage of {', '.join(USAGES)}. {_advice(is_cut)}"
            f"Received: {_excerpt(row[columns['usage']])}"
        )
    return label, usage


@functools.cache
def _words_of(names):
    """Returns the label of each text, as lower-case bytes, that a row may have; the names come first.

    A label is a name, a usual variant of it, a number as FER2013 writes it, or one as pandas writes it
    beside an empty cell (3.0).
    """
    known = [classes.canonical(name) for name in names]
    variants = {
        word: known.index(meaning) for word, meaning in classes.VARIANTS.items() if meaning in known
    }
    words = {
        **{name.lower(): label for label, name in enumerate(names)},
        **{str(label): label for label in range(len(names))},
        **{f"{label}.0": label for label in range(len(names))},
    }
    return {word.encode(): label for word, label in {**words, **variants, **words}.items()}


_USAGE_NUMBERS = {name.lower().encode(): number for number, name in enumerate(USAGES)}


def _parse_pixel(word):
    """Returns the grey level 0..255 that the bytes `word` hold in decimal digits, or None."""
    digits = word.lstrip(b"0") or b"0"
    if word.isdigit() and len(digits) <= 3 and int(digits) <= 255:
        return int(digits)
    return None


def _advice(is_cut):
    """Returns what to do about a bad row. is_cut: whether it ends without a newline."""
    if is_cut:
        return "It is the last line: the file looks truncated; download it again. "
    return "Correct or remove the row. "


def _excerpt(text):
    """Returns the first 40 of the bytes `text`, as they read in a message."""
    shown = text[:40].decode("utf-8", "replace")
    return repr(shown) + ("..." if len(text) > 40 else "")
