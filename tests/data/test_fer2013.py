"""A CSV gives its faces in any layout that people write, or the message of its first bad row."""

import numpy as np
import pytest
from conftest import run_python
from data_helpers import GOOD, HEAD, LABEL_EXPECTED, ROW, error_of, write_lines
from hypothesis import example, given, settings
from hypothesis import strategies as st

from insideout_tf.data import fer2013
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.read import read_faces

PIXELS_EXPECTED = "expected 2304 pixels (48×48). Correct or remove the row. Received: "
VALUES_EXPECTED = "expected whole pixel values from 0 to 255. Correct or remove the row. Received: "
USAGE_EXPECTED = (
    "expected a Usage of Training, PublicTest, PrivateTest. Correct or remove the row. Received: "
)
FIELDS_EXPECTED = "expected 3 comma-separated fields. Correct or remove the row. Received: "
START = "'0,7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 '..."
BAD_ROWS = {
    "too few pixels": (f"0,{ROW[:-2]},Training", PIXELS_EXPECTED + "2303 pixels"),
    "too many pixels": (f"0,{ROW} 1,Training", PIXELS_EXPECTED + "2305 pixels"),
    "two spaces for a pixel": (f"0,{ROW[:-4]}  7,Training", PIXELS_EXPECTED + "2303 pixels"),
    "pixel above 255": (f"0,256 {ROW[2:]},Training", VALUES_EXPECTED + "'256' as pixel 1"),
    "pixel above 299": (f"0,{ROW[:-1]}300,Training", VALUES_EXPECTED + "'300' as pixel 2304"),
    "pixel of four digits": (
        f"0,{ROW[:-1]}1000,Training",
        VALUES_EXPECTED + "'1000' as pixel 2304",
    ),
    "pixel above 64 bits": (
        f"0,{ROW[:-1]}{2**64 + 7},Training",
        VALUES_EXPECTED + "'18446744073709551623' as pixel 2304",
    ),
    "negative pixel": (f"0,{ROW[:-1]}-4,Training", VALUES_EXPECTED + "'-4' as pixel 2304"),
    "pixel with a plus": (f"0,{ROW[:-1]}+4,Training", VALUES_EXPECTED + "'+4' as pixel 2304"),
    "fractional pixel": (f"0,1.5 {ROW[2:]},Training", VALUES_EXPECTED + "'1.5' as pixel 1"),
    "not a number": (f"0,x {ROW[2:]},Training", VALUES_EXPECTED + "'x' as pixel 1"),
    "digits of another script": (f"0,٣ {ROW[2:]},Training", VALUES_EXPECTED + "'٣' as pixel 1"),
    "no pixels": ("0,,Training", PIXELS_EXPECTED + "0 pixels"),
    "unknown label": (f"7,{ROW},Training", LABEL_EXPECTED + "'7'"),
    "negative label": (f"-1,{ROW},Training", LABEL_EXPECTED + "'-1'"),
    "unknown word as label": (f"glad,{ROW},Training", LABEL_EXPECTED + "'glad'"),
    "fractional label": (f"2.5,{ROW},Training", LABEL_EXPECTED + "'2.5'"),
    "empty label": (f",{ROW},Training", LABEL_EXPECTED + "''"),
    "unknown usage": (f"0,{ROW},Test", USAGE_EXPECTED + "'Test'"),
    "empty usage": (f"0,{ROW},", USAGE_EXPECTED + "''"),
    "missing field": (f"0,{ROW}", FIELDS_EXPECTED + "2 fields, " + START),
    "additional field": (f"0,{ROW},Training,x", FIELDS_EXPECTED + "4 fields, " + START),
    "blank line": ("", FIELDS_EXPECTED + "1 fields, ''"),
}
HEADER_EXPECTED = (
    "expected a header with the columns emotion, pixels and (optionally) Usage, in any order. "
    "Check that this is a FER2013 CSV. Received: "
)
BAD_HEADERS = {
    "emotion,Usage": HEADER_EXPECTED + "'emotion,Usage'",
    "a,b,c": HEADER_EXPECTED + "'a,b,c'",
    "\x00\x01": HEADER_EXPECTED + "'\\x00\\x01'",
    "": HEADER_EXPECTED + "''",
    "pixels,Usage": (
        "expected a column 'emotion' beside 'Usage'. Add it, or download the file again. "
        "Received: 'pixels,Usage'"
    ),
    "pixels,emotion,pixels": (
        "expected each column once. Remove the second one. Received: 'pixels,emotion,pixels'"
    ),
}


# -- good files --------------------------------------------------------------------------------


def test_columns_in_any_order_and_spacing(tmp_path):
    path = write_lines(
        tmp_path / "a.csv",
        "\ufeffUsage, pixels , emotion",
        f"PublicTest,{ROW},3",
        f' Training ,"{ROW}  ",0',
        f"PrivateTest,{ROW.replace(' ', '  ')},\t6",
        f"Training,{ROW.replace('7', '007')},1",
    )
    for end in ("\n", "\r\n"):
        faces = read_faces(write_lines(path, *path.read_text().splitlines(), end=end))
        assert faces.labels.tolist() == [3, 0, 6, 1] and faces.usage.tolist() == [1, 0, 2, 0]
        assert (faces.pixels == 7).all() and faces.pixels.shape == (4, 48, 48)


def test_columns_that_may_be_absent(tmp_path):
    faces = read_faces(write_lines(tmp_path / "a.csv", "pixels,emotion", f"{ROW},3", f"{ROW},0"))
    assert faces.labels.tolist() == [3, 0] and faces.usage.tolist() == [0, 0]
    faces = read_faces(write_lines(tmp_path / "a.csv", "pixels", ROW))
    assert faces.labels is None and faces.usage.tolist() == [0] and (faces.pixels == 7).all()


def test_no_final_newline_and_many_blocks(tmp_path, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 2304))
    lines = [f"{i % 7},{' '.join(map(str, row))},Training" for i, row in enumerate(pixels)]
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n" + "\n".join(lines))
    for block in (1, 10_007, 1 << 20):
        monkeypatch.setattr(fer2013, "BLOCK_BYTES", block)
        faces = read_faces(path)
        assert np.array_equal(faces.pixels.reshape(40, -1), pixels)
        assert faces.labels.tolist() == [i % 7 for i in range(40)]


# -- bad rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row(tmp_path, case):
    row, expected = BAD_ROWS[case]
    path = write_lines(tmp_path / "a.csv", HEAD, GOOD, row, GOOD)
    assert error_of(path) == f"{path}, line 3: {expected}"


def test_pixel_that_slips_into_the_next_row(tmp_path):
    """The number of pixels in both rows together is right."""
    path = write_lines(tmp_path / "a.csv", HEAD, f"0,{ROW[:-2]},Training", f"0,7 {ROW},Training")
    assert error_of(path) == f"{path}, line 2: {PIXELS_EXPECTED}2303 pixels"


def test_bad_rows_are_skipped_on_request_and_listed(tmp_path, monkeypatch):
    good = [f"{i % 7},{ROW.replace('7', str(i), 1)},Training" for i in range(len(BAD_ROWS))]
    pairs = zip(good, (row for row, _ in BAD_ROWS.values()))
    path = write_lines(tmp_path / "a.csv", HEAD, *(line for pair in pairs for line in pair), GOOD)
    for block in (1, 30_000, 1 << 20):
        monkeypatch.setattr(fer2013, "BLOCK_BYTES", block)
        faces = read_faces(path, bad_rows="skip")
        assert faces.pixels[:-1, 0, 0].tolist() == list(range(len(good)))
        assert faces.labels[:-1].tolist() == [i % 7 for i in range(len(good))]
        assert faces.skipped == tuple(
            f"{path}, line {3 + 2 * i}: {expected}"
            for i, (_, expected) in enumerate(BAD_ROWS.values())
        )
        assert error_of(path) == faces.skipped[0]
    assert error_of(write_lines(path, HEAD, "x", "y"), "skip") == (
        f"{path}: expected rows of faces after the header. Download the file again. "
        "Received: 2 bad rows and no good one"
    )


def edit(line, edits):
    """Returns a row with bytes replaced or inserted, or with its number at a place changed."""
    for place, text, is_insertion in edits:
        at = place % len(line)
        line = line[:at] + text + line[at + (0 if is_insertion else len(text)) :]
    return line


@settings(max_examples=300, deadline=None, database=None)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, 9300),
            st.sampled_from(
                [b"9", b"0", b" ", b"  ", b"255", b"256", b"-", b"+", b".", b"\t", b","]
            ),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ),
)
@example(edits=[(300, b"  ", False)])
@example(edits=[(300, b"0", True)])
def test_block_parser_agrees_with_the_strict_one(edits):
    """The block parser returns None for what it cannot parse, and never another result."""
    columns = fer2013._parse_header(HEAD.encode(), "a.csv")
    good = f"3,{' '.join(str(i % 256) for i in range(2304))},PublicTest\n".encode()
    lines = [good, edit(good[:-1], edits) + b"\n"]
    words = fer2013._words_of(EMOTIONS)
    strict, messages = fer2013._parse_rows(lines, columns, words, "a.csv", 2, "skip")
    block = fer2013._parse_block(lines, columns, words)
    assert fer2013._parse_block(lines[:1], columns, words) is not None
    if block is not None:
        assert not messages
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(block, strict))


# -- bad files ---------------------------------------------------------------------------------


def test_truncated_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n{GOOD}\n0,{ROW[:100]}")
    assert error_of(path) == (
        f"{path}, line 3: expected 3 comma-separated fields. It is the last line: the file looks "
        f"truncated; download it again. Received: 2 fields, {START}"
    )
    assert len(read_faces(path, bad_rows="skip")) == 1


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_bad_header(tmp_path, header):
    path = write_lines(tmp_path / "a.csv", header, GOOD)
    assert error_of(path) == f"{path}, line 1: {BAD_HEADERS[header]}"


def test_header_without_rows(tmp_path):
    path = write_lines(tmp_path / "head.csv", HEAD)
    assert error_of(path) == (
        f"{path}: expected rows of faces after the header. Download the file again. "
        "Received: a header only"
    )


def test_line_without_end(tmp_path):
    path = tmp_path / "a.csv"
    endless = b"0" * (3 << 20)
    path.write_bytes(f"{HEAD}\n{GOOD}\n".encode() + endless)
    assert error_of(path) == (
        f"{path}, line 3: expected a row of 2304 pixels. Download the file again. "
        "Received: a line of over 1,048,576 bytes"
    )
    path.write_bytes(f"{HEAD}\n9{GOOD}\n".encode() + endless)
    assert error_of(path) == f"{path}, line 2: {LABEL_EXPECTED}'90'"


def test_csv_that_is_too_large(tmp_path):
    path = tmp_path / "a.csv"
    with open(path, "wb") as file:
        file.truncate(5 << 30)  # sparse: takes no space
    assert error_of(path) == (
        f"{path}: expected at most 4 GB. Give a FER2013 CSV, which has 0.3 GB. Received: 5 GB"
    )


@pytest.mark.slow
@pytest.mark.fer2013
def test_a_csv_takes_little_more_memory_than_its_pixels(unpacked):
    code = """
import sys
from insideout_tf.data.read import read_faces

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
faces = read_faces(sys.argv[1])
print((peak() - before) / faces.pixels.nbytes)
"""
    assert float(run_python(code, unpacked("csv")).stdout) < 1.5
