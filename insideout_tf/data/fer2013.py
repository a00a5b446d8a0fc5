"""FER2013 as CSV: 301 MB of digits → arrays by NumPy on whole blocks, every byte of them checked.

Rows in the published layout are parsed a few dozen at a time by arithmetic on their bytes, in
threads (NumPy lets go of the interpreter lock). A group that is not exactly so, or holds an error,
goes line by line through the strict parser, whose messages name the line.
"""

import concurrent.futures
import hashlib
import os

import numpy as np

from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import TRAINING, USAGES
from insideout_tf.errors import UserError

PIXELS = images.FACE_SIDE**2
MAX_CSV_BYTES = 4 << 30
MAX_LINE_BYTES = 1 << 20  # a valid row has at most 9.3 kB
BLOCK_BYTES = 16 << 20
ROWS_TOGETHER = 96  # of about 8 kB: few enough for the cache, enough to amortise NumPy calls


def read_csv(path, skipped=None):
    """Parses a CSV of faces with the columns pixels, emotion and Usage (the last two optional).

    skipped: a list that collects the messages of bad rows; None stops at the first of them.
    Returns pixels uint8 `[n, 48, 48]`, labels uint8 `[n]` or None, usage uint8 `[n]` and the
    SHA-256 (hex) of the file. Raises `UserError` naming the line at fault.
    """
    size = path.stat().st_size
    if size > MAX_CSV_BYTES:
        raise UserError(
            f"{path}: expected at most {MAX_CSV_BYTES >> 30} GB. Give a FER2013 CSV, which has "
            f"0.3 GB. Received: {size >> 30} GB"
        )
    digest = hashlib.sha256()
    buffer = np.empty(BLOCK_BYTES + MAX_LINE_BYTES + 1, np.uint8)
    parts, line_number, kept = [], 2, 0
    stop, skipped = skipped is None, [] if skipped is None else skipped
    with (
        open(path, "rb") as file,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        header = file.readline(MAX_LINE_BYTES)
        digest.update(header)
        columns = _parse_header(header, path)
        while True:
            received = file.readinto(buffer.data[kept : kept + BLOCK_BYTES])
            at_end = received == 0
            hashed = threads.submit(digest.update, buffer.data[kept : kept + received])
            filled = kept + received
            if at_end and filled and buffer[filled - 1] != 10:
                buffer[filled] = 10  # the last line lacks its newline
                filled += 1
            ends = np.flatnonzero(buffer[:filled] == 10)
            whole = int(ends[-1]) + 1 if len(ends) else 0
            starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends

            def parse(first, starts=starts, ends=ends, line_number=line_number, at_end=at_end):
                chosen = slice(first, first + ROWS_TOGETHER)
                group, bad = _parse_group(buffer, starts[chosen], ends[chosen], columns), []
                if group is None:
                    lines = [
                        buffer[start:end].tobytes()
                        for start, end in zip(starts[chosen], ends[chosen])
                    ]
                    last_line = line_number + len(ends) - 1 if at_end else None
                    group, bad = _parse_lines(
                        lines, columns, path, line_number + first, last_line, stop
                    )
                return group, bad

            for group, bad in threads.map(parse, range(0, len(ends), ROWS_TOGETHER)):
                parts.append(group)
                skipped += bad
            hashed.result()
            line_number += len(ends)
            kept = filled - whole
            if kept > MAX_LINE_BYTES:
                raise UserError(
                    f"{path}, line {line_number}: expected a row of {PIXELS} pixels. Download the "
                    f"file again. Received: a line of over {MAX_LINE_BYTES:,} bytes"
                )
            buffer[:kept] = buffer[whole:filled].copy()
            if at_end:
                break
    pixels, labels, usage = (
        (np.concatenate(arrays) for arrays in zip(*parts)) if parts else [()] * 3
    )
    if not len(pixels):
        what = f"{len(skipped)} bad rows and no good one" if skipped else "a header only"
        raise UserError(
            f"{path}: expected rows of faces after the header. Download the file again. "
            f"Received: {what}"
        )
    pixels, labels, usage = (np.concatenate(arrays) for arrays in zip(*parts))
    pixels = pixels.reshape(-1, images.FACE_SIDE, images.FACE_SIDE)
    return pixels, labels if "emotion" in columns else None, usage, digest.hexdigest()


def _parse_header(header, path):
    """Returns {column name: position}, and the number of columns under None."""
    text = header.decode("utf-8-sig", "replace").strip("\r\n")
    names = [name.strip(' \t"').lower() for name in text.split(",")]
    columns = {name: index for index, name in enumerate(names)}
    if "pixels" not in columns:
        raise UserError(
            f"{path}, line 1: expected a header with the columns emotion, pixels and "
            "(optionally) Usage, in any order. Check that this is a FER2013 CSV. "
            f"Received: {text[:120]!r}"
        )
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
    columns[None] = len(names)
    return columns


# -- the published layout, many rows at once ---------------------------------------------------


def _parse_group(buffer, starts, ends, columns):
    """Parses the lines `[starts, ends)` of `buffer`; None where any byte is not as published."""
    rows, width = len(starts), columns[None]
    first = starts[0]
    text = buffer[first : ends[-1] + 1]
    starts, ends = starts - first, ends - first
    commas = np.flatnonzero(text == 44)
    if len(commas) != rows * (width - 1):
        return None
    if (text[ends - 1] == 13).all():
        ends = ends - 1
    edges = np.concatenate(
        [starts[:, None] - 1, commas.reshape(rows, width - 1), ends[:, None]], axis=1
    )
    if (np.diff(edges, axis=1) < 1).any():
        return None  # a row with too many commas and one with too few

    def field(name):
        return edges[:, columns[name]] + 1, edges[:, columns[name] + 1]

    labels, usage = np.zeros(rows, np.uint8), np.full(rows, TRAINING, np.uint8)
    other_digits = 0
    if "emotion" in columns:
        begin, end = field("emotion")
        labels = text[begin] - np.uint8(48)
        other_digits = rows
        if (end - begin != 1).any() or (labels > 6).any():
            return None
    if "usage" in columns:
        found = _parse_usages(text, *field("usage"))
        if found is None:
            return None
        usage = found
    begin, end = field("pixels")
    pixels = _parse_pixels(text, begin, end, other_digits)
    return None if pixels is None else (pixels, labels, usage)


def _parse_usages(text, begin, end):
    """Returns the usage of each row (uint8), or None where a field is none of the three names."""
    usage = np.full(len(begin), 255, np.uint8)
    for index, name in enumerate(USAGES):
        letters = np.frombuffer(name.encode(), np.uint8)
        candidates = np.flatnonzero(end - begin == len(letters))
        same = text[begin[candidates, None] + np.arange(len(letters))] == letters
        usage[candidates[same.all(1)]] = index
    return None if (usage == 255).any() else usage


def _parse_pixels(text, begin, end, other_digits):
    """Parses rows of exactly 2304 single-spaced numbers up to 255, or returns None.

    other_digits: how many digits `text` is known to hold outside the pixels.
    """
    rows = len(begin)
    quoted = text[begin] == 34
    if quoted.any():
        if not (quoted.all() and (text[end - 1] == 34).all()):
            return None
        begin, end = begin + 1, end - 1
    is_gap = text == 32
    is_gap[end] = True
    gaps = np.flatnonzero(is_gap)  # the byte after each number
    if len(gaps) != rows * PIXELS:
        return None
    by_row = gaps.reshape(rows, PIXELS)
    lengths = np.empty_like(by_row)
    lengths[:, 0] = by_row[:, 0] - begin
    np.subtract(by_row[:, 1:], by_row[:, :-1] + 1, out=lengths[:, 1:])
    if (by_row[:, -1] != end).any() or lengths.min() < 1 or lengths.max() > 3:
        return None
    digit = text - np.uint8(48)  # wraps, so that only digits are below 10
    is_digit = digit < 10
    if np.count_nonzero(is_digit) != int(lengths.sum()) + other_digits:
        return None  # something else than a digit inside a number
    digit *= is_digit
    # The value of the number that ends before byte i is put at i, so that gaps index it.
    low = np.zeros(len(text), np.uint8)  # tens and ones, at most 99
    low[1:] = digit[:-1]
    low[2:] += digit[:-2] * np.uint8(10)
    high = np.zeros(len(text), np.uint8)
    high[3:] = digit[:-3] * is_digit[1:-2]
    if (((high > 2) | ((high == 2) & (low > 55))) & is_gap).any():
        return None  # above 255
    high *= np.uint8(100)
    low += high
    return low.take(gaps).reshape(rows, PIXELS)


# -- any layout, one row at a time -------------------------------------------------------------


def _parse_lines(lines, columns, path, first_line, last_line, stop):
    """Parses lines strictly; a bad one raises with `stop`, and is left out otherwise.

    last_line: number of the file's last line where it is among these, else None. Returns (pixels,
    labels, usage) and the messages of the lines left out.
    """
    rows, bad = [], []
    for number, line in enumerate(lines, first_line):
        try:
            rows.append(_parse_line(line, columns, f"{path}, line {number}", number == last_line))
        except UserError as error:
            if stop:
                raise
            bad.append(str(error))
    pixels, labels, usage = zip(*rows) if rows else ([], [], [])
    arrays = (
        np.array(pixels, np.uint8).reshape(len(rows), PIXELS),
        np.array(labels, np.uint8),
        np.array(usage, np.uint8),
    )
    return arrays, bad


def _parse_line(line, columns, where, last):
    fields = [field.strip(b' \t\r"') for field in line.split(b",")]
    if len(fields) != columns[None]:
        raise UserError(
            f"{where}: expected {columns[None]} comma-separated fields. "
            f"{_advice(last)}Received: {len(fields)} fields, {_excerpt(line)}"
        )
    label = _parse_label(fields[columns["emotion"]], where) if "emotion" in columns else 0
    usage = TRAINING
    if "usage" in columns:
        usage = _parse_usage(fields[columns["usage"]], where, last)
    words = fields[columns["pixels"]].split()
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
    return list(map(int, words)), label, usage


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
