"""Files that mean harm, or came to it: one clear line, no crash, no hang, nothing half-written."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib

import numpy as np
import pytest
from conftest import ROOT, run_python, run_verb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_fuzz import EDITS, LONGEST, image, mutate

from insideout_tf import predict
from insideout_tf.errors import UserError
from insideout_tf.network.weights import load_model

PHOTO = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)).resize(
        (160, 120)
    )
)
FORMS = {
    "face.png": image("PNG", PHOTO[:48, :48, 0]),
    "photo.png": image("PNG", PHOTO),
    "photo.jpg": image("JPEG", PHOTO),
    "photo.bmp": image("BMP", PHOTO),
    "photo.webp": image("WEBP", PHOTO),
}


def test_a_drawn_on_strip_stays_small(tmp_path, capsys):
    """A few hundred bytes of picture do not become a gigabyte of drawing."""
    strip, folder = tmp_path / "strip.png", tmp_path / "out"
    Image.new("L", (1, 50_000)).save(strip)
    words = (strip, "--faces", "crop", "--annotate", folder)
    status, _, err = run_verb(predict.main, capsys, *words)
    assert status == 0 and err == ""
    with Image.open(folder / "strip-annotated.png") as drawn:
        assert drawn.size[1] == 50_000 and drawn.size[0] < 1000


@pytest.mark.slow
@settings(
    max_examples=500,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(form=st.sampled_from(sorted(FORMS)), edits=EDITS)
def test_mutated_pictures(form, edits, capsys):
    """`predict` on a damaged picture beside a whole one: a record or one line, the whole one told."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / form).write_bytes(mutate(FORMS[form], edits))
        (folder / "whole.png").write_bytes(FORMS["face.png"])
        out = folder / "out.jsonl"
        started = time.perf_counter()
        status, text, error = run_verb(predict.main, capsys, folder, "--jsonl", out)
        assert time.perf_counter() - started < LONGEST
        records = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        assert records[-1]["source"].endswith("whole.png") and records[-1]["emotion"]
        if status:
            assert status == 2 and error.count("\n") == 2 and "expected" in error, error
        else:
            assert error == "" and len(records) >= 2
        assert {path.name for path in folder.iterdir()} == {form, "whole.png", "out.jsonl"}


KERAS_FUZZ = """
import io, pathlib, random, sys, time, zipfile
from insideout_tf import devices
from insideout_tf.network.weights import load_model
from insideout_tf.errors import UserError
devices.prepare_backend()
source, folder, seconds = pathlib.Path(sys.argv[1]).read_bytes(), pathlib.Path(sys.argv[2]), float(sys.argv[3])
archive = zipfile.ZipFile(io.BytesIO(source))
members = {name: archive.read(name) for name in archive.namelist()}
chance = random.Random(0)

def mutate(data):
    data = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        data = data or bytearray(b"x")
        at = chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 2000))
        kind = chance.choice("rrid") if chance.random() < 0.95 else "cut"
        if kind == "r":
            data[at] = chance.randrange(256)
        elif kind == "i":
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
        elif kind == "d":
            del data[at : at + chance.randint(1, 8)]
        else:
            del data[at:]
    return bytes(data)

began, refused, loaded = time.monotonic(), 0, 0
while time.monotonic() - began < seconds:
    if chance.random() < 0.3:
        data = mutate(source)
    else:  # a whole ZIP of a damaged member, whose checksum is right
        chosen, file = chance.choice(list(members)), io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, mutate(content) if name == chosen else content)
        data = file.getvalue()
    path = folder / "m.keras"
    path.write_bytes(data)
    started = time.monotonic()
    try:
        load_model(path)
        loaded += 1
    except UserError as error:
        refused += 1
        text = str(error)
        assert "\\n" not in text and "expected" in text and "Received: " in text, text
    assert time.monotonic() - started < 20
    assert [each.name for each in folder.iterdir()] == ["m.keras"]
print(refused, loaded)
"""


@pytest.mark.slow
def test_mutated_models(tiny_run, tmp_path):
    """Saved models with damage anywhere, in checksums too, for twenty seconds, in their own process."""
    done = run_python(KERAS_FUZZ, tiny_run / "model.keras", tmp_path, 20)
    refused, loaded = map(int, done.stdout.split())
    assert refused > 20 and loaded > 0


@pytest.mark.slow
def test_code_in_a_model_is_not_run(tmp_path):
    """A Lambda layer of somebody else's: Keras' safe mode refuses it, and nothing was called."""
    code = """
import sys, keras
open(sys.argv[2], "w").close()
def harm(x):
    open(sys.argv[2] + ".harm", "w").close()
    return x
pixels = keras.Input((48, 48, 1))
x = keras.layers.Lambda(harm)(pixels)
x = keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x))
keras.Model(pixels, x).save(sys.argv[1])
"""
    path, witness = tmp_path / "lambda.keras", tmp_path / "witness"
    run_python(code, path, witness)
    (tmp_path / "witness.harm").unlink()  # it was called when the model was made
    with pytest.raises(UserError, match="lambda.keras: expected a whole Keras model"):
        load_model(path)
    assert not (tmp_path / "witness.harm").exists()


@pytest.mark.slow
def test_bombs(tmp_path, capsys):
    """A picture and a model that would expand a thousandfold are refused before they do."""

    def chunk(kind, data):
        whole = kind + data
        return len(data).to_bytes(4, "big") + whole + zlib.crc32(whole).to_bytes(4, "big")

    for side, message in (
        (12_000, "expected an image of at most 100,000,000 pixels"),
        (30_000, "DecompressionBombError"),  # Pillow's own limit comes first
    ):
        header = side.to_bytes(4, "big") * 2 + bytes((8, 0, 0, 0, 0))
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(side + 1) * 100)), (b"IEND", b""))
        png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
        (tmp_path / "bomb.png").write_bytes(png)
        status, _, error = run_verb(predict.main, capsys, tmp_path / "bomb.png")
        assert status == 2 and message in error and error.count("\n") == 2

    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(21):
                member.write(bytes(100 << 20))
    assert (tmp_path / "bomb.keras").stat().st_size < 10 << 20
    with pytest.raises(UserError, match="bytes, expanded; at most"):
        load_model(tmp_path / "bomb.keras")


def test_pictures_are_what_pillow_decodes_itself(tmp_path, capsys):
    """A PostScript file named .png would start Ghostscript."""
    (tmp_path / "page.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    )
    status, _, error = run_verb(predict.main, capsys, tmp_path / "page.png")
    assert status == 2 and "not a recognised image format" in error


SMALL_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
import importlib
importlib.import_module(f"insideout_tf.{sys.argv[2]}").main(sys.argv[3:])
"""


def scene(path):
    Image.fromarray(PHOTO).resize((800, 600)).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["predict", "predict video", "explain", "export"])
def test_no_room_for_the_output(verb, tiny_run, tmp_path):
    """Files over a limit on their size: one line, and no part of an output left.

    `predict` writes the other files, and its last line counts the sources without one.
    """
    out = tmp_path / "out"
    words = {
        "predict": (
            "predict",
            scene(tmp_path / "a.png"),
            "--annotate",
            out,
            "--csv",
            out / "o.csv",
        ),
        "predict video": ("predict", tmp_path / "a.avi", "--annotate", out),
        "explain": ("explain", tiny_run, scene(tmp_path / "a.png"), "--out", out / "o.png"),
        "export": ("export", tiny_run, "--format", "litert", "--out", out),
    }[verb]
    if verb == "explain":
        words += ("--faces", "crop")
    if verb == "predict video":
        import cv2

        clip = cv2.VideoWriter(
            str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120)
        )
        for _ in range(30):
            clip.write(PHOTO)
        clip.release()
    done = run_python(SMALL_FILES, 2000, *words, check=False)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert "File too large" in lines[0], done.stderr
    if verb in ("predict", "predict video"):
        assert len(lines) == 2 and "Received: 1 that are not readable" in lines[1], done.stderr
    else:
        assert len(lines) == 1 and "free space" in lines[0], done.stderr
    left = [path.name for path in out.rglob("*") if path.is_file()] if out.exists() else []
    assert left == (["o.csv"] if verb == "predict" else [])  # its records are whole
    assert not list(tmp_path.glob(".unfinished*"))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["predict", "explain", "export"])
def test_folders_that_cannot_be_written(verb, tiny_run, tmp_path):
    (tmp_path / "größe 1.png").write_bytes(FORMS["face.png"])
    face = tmp_path / "größe 1.png"
    words = {
        "predict": (face, "--json", "/proc/none/o.json"),
        "explain": (tiny_run, face, "--out", "/proc/none/o.png"),
        "export": (tiny_run, "--format", "litert", "--out", "/proc/none"),
    }[verb]
    done = subprocess.run(
        [sys.executable, "-m", f"insideout_tf.{verb}", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "/proc/none" in done.stderr and "Check the path" in done.stderr


def test_odd_names_of_files_are_kept(tmp_path, capsys):
    """Spaces, other scripts, quotes and a comma: found, told and written as they are."""
    folder = tmp_path / "ein Ordner, «zwei»"
    folder.mkdir()
    for name in ("顔 1.png", 'a "face", 2.png'):
        (folder / name).write_bytes(FORMS["face.png"])
    out = tmp_path / "Ergebnis ü.json"
    status, text, error = run_verb(predict.main, capsys, folder, "--json", out)
    assert status == 0 and error == ""
    found = json.loads(out.read_text("utf-8"))
    assert {pathlib.Path(each["source"]).name for each in found} == {"顔 1.png", 'a "face", 2.png'}
