"""Mutated run files, names and videos: each gives an answer or one line, and writes nothing odd."""

import csv
import json
import os
import pathlib
import shutil
import unicodedata

import cv2
import numpy as np
import pytest
from conftest import run_verb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import insideout_tf
from insideout_tf import evaluate, files, predict, report, runs
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.photos import video

pytestmark = pytest.mark.slow

FACE = drawn.draw_all(7, 1, 1)[0][0]
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
RUN_FILES = ("config.json", "environment.json", "metrics.json")

# What takes the place of a value of a JSON file, or of all of it.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=2),
    st.sampled_from(
        [[[]], {"": {}}, "EfficientNetB2", "nan", "../..", "a\nb", "\x1b[31m", "\ud800"]
    ),
)


def places(value, path=()):
    """Yields the path of every value inside a parsed JSON text, the text itself first."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in items:
        yield from places(each, (*path, key))


def changed(value, path, new):
    """Returns a copy of a parsed JSON text with the value at `path` replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


def is_printable(text):
    return all(each.isprintable() or unicodedata.category(each) == "Zs" for each in text)


def is_one_line(text):
    return is_printable(text) and "Received: " in text and ("expected" in text or "unknown" in text)


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("fuzz") / "run")


@pytest.fixture(scope="module")
def originals(run):
    return {name: (run / name).read_text("utf-8") for name in RUN_FILES}


def mutate(text, data):
    """Returns a JSON text with one value replaced, or with some bytes changed."""
    parsed = json.loads(text)
    if data.draw(st.booleans(), label="structural"):
        path = data.draw(st.sampled_from(list(places(parsed))), label="path")
        return json.dumps(changed(parsed, path, data.draw(ODD, label="new"))).encode()
    content = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    return bytes(content)


@settings(max_examples=500, deadline=None, database=None, suppress_health_check=SUPPRESSED)
@given(name=st.sampled_from(RUN_FILES), data=st.data())
def test_files_of_a_run(name, data, run, originals):
    """Every reader of the API gives its answer or a `UserError` that names the file."""
    (run / name).write_bytes(mutate(originals[name], data))
    try:
        for read in (
            runs.experiment_of,
            runs.read_metrics,
            lambda folder: insideout_tf.open_run(folder).metrics,
            lambda folder: insideout_tf.open_run(folder).experiment,
        ):
            try:
                read(run)
            except UserError as error:
                assert is_one_line(str(error)) and str(run / name) in str(error), str(error)
    finally:
        (run / name).write_text(originals[name], "utf-8")


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=SUPPRESSED)
@given(name=st.sampled_from(RUN_FILES), data=st.data())
def test_evaluation_of_a_run_with_a_mutated_file(name, data, run, originals, capsys):
    (run / name).write_bytes(mutate(originals[name], data))
    try:
        status, out, error = run_verb(evaluate.main, capsys, run, "--split", "public")
    finally:
        (run / name).write_text(originals[name], "utf-8")
        shutil.rmtree(run / "public", ignore_errors=True)
    assert (status, error) == (0, "") or (status == 2 and is_one_line(error.removesuffix("\n")))
    assert "Traceback" not in out


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=SUPPRESSED)
@given(name=st.sampled_from(RUN_FILES), data=st.data())
def test_report_of_a_run_with_a_mutated_file(name, data, run, originals, capsys, tmp_path):
    (run / name).write_bytes(mutate(originals[name], data))
    words = (run, "--out", tmp_path / "page.html", "--overwrite")
    try:
        status, out, error = run_verb(report.main, capsys, *words)
    finally:
        (run / name).write_text(originals[name], "utf-8")
    assert (status, error) == (0, "") or (status == 2 and is_one_line(error.removesuffix("\n")))
    assert "Traceback" not in out


# Any bytes but the separator and the end of a C string, as a file system takes them.
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
    st.binary(min_size=1, max_size=24).map(os.fsdecode),
    st.sampled_from(["-", "--csv", "=1+1", "$\\frac$", "a%03d", "clip:1", "\r\n", "\x1b[2J"]),
).filter(
    lambda name: (
        not {"/", "\0"} & set(name)
        and name not in (".", "..")
        and len(os.fsencode(name)) < 200
        and not name.startswith((".", "~"))
    )  # hidden files, and home folders
)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=SUPPRESSED)
@given(name=NAMES, suffix=st.sampled_from(["", ".png", ".jpg", ".mp4"]))
def test_names_of_pictures(name, suffix, tmp_path_factory, capsys, monkeypatch):
    """A picture of any name is predicted, printed on one line, and one row of every record."""
    folder = tmp_path_factory.mktemp("names") / "in"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Image.fromarray(FACE).save("face.png")
    os.rename("face.png", name + suffix)
    outputs = ("--csv", "../o.csv", "--jsonl", "../o.jsonl", "--annotate", "../d")
    status, out, error = run_verb(predict.main, capsys, *outputs, "--", name + suffix)
    assert (status, error) == (0, "")
    assert out.count("\n") == 1 and is_printable(out[:-1])
    (row,) = csv.DictReader(pathlib.Path("../o.csv").read_text("utf-8").split("\n"))
    assert is_printable(row["source"]) and not row["source"].startswith(("=", "+", "-", "@"))
    (record,) = [json.loads(line) for line in pathlib.Path("../o.jsonl").read_bytes().splitlines()]
    assert record["source"] == name + suffix
    (copy,) = set(os.listdir("../d")) - {files.MARKER}
    assert is_printable(copy)


CODECS = {"mp4": "mp4v", "avi": "MJPG", "mkv": "MJPG"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Returns a dict: form → the content of a video of 24 frames that change."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    for form, codec in CODECS.items():
        path = str(folder / f"clip.{form}")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), 10, (96, 96))
        for index in range(24):
            frame = np.kron(np.roll(FACE, index, 1), np.ones((2, 2), np.uint8))
            writer.write(np.stack([frame] * 3, -1) ^ random.integers(0, 8, (96, 96, 3), np.uint8))
        writer.release()
    return {form: (folder / f"clip.{form}").read_bytes() for form in CODECS}


PLACES = st.one_of(st.integers(0, 200), st.integers(-1500, -1), st.integers(0, 1 << 20))


@settings(max_examples=2000, deadline=None, database=None, suppress_health_check=SUPPRESSED)
@given(
    form=st.sampled_from(sorted(CODECS)),
    edits=st.lists(
        st.tuples(
            st.sampled_from(["replace", "insert", "delete", "cut"]), PLACES, st.binary(max_size=8)
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_mutated_video(form, edits, clips, tmp_path_factory):
    """Frames of the declared size, or a `UserError`; the process goes on."""
    content = clips[form]
    for kind, place, new in edits:
        at = place % max(len(content), 1)
        end = {"replace": at + len(new), "insert": at, "delete": at + len(new) + 1}.get(kind)
        content = (
            content[:at] + (b"" if kind == "delete" else new) + content[end:]
            if end
            else content[:at]
        )
    path = tmp_path_factory.getbasetemp() / f"mutated.{form}"
    path.write_bytes(content)
    try:
        with video.open_video(path) as opened:
            count = 0
            for seconds, frame in opened.frames:
                assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
                assert np.isfinite(seconds) and seconds >= 0
                count += 1
                if count > 1000:
                    break
            assert count <= 1000 and opened.is_cut_off() in (True, False)
    except UserError as error:
        assert is_one_line(str(error)), str(error)
