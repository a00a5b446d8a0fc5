"""Mutated files of every form, other ones in each run: they give faces or one line, nothing else."""

import io
import pathlib
import tarfile
import tempfile
import time
import zipfile

import numpy as np
import pytest
from conftest import run_verb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from insideout_tf import inspect
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

LONGEST = 5.0  # seconds for one file of a few kilobytes
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (9, 48, 48), np.uint8)
CSV = "emotion,pixels,Usage\n" + "".join(
    f"{i % 7},{' '.join(map(str, face.ravel()))},{('Training', 'PublicTest', 'PrivateTest')[i % 3]}\n"
    for i, face in enumerate(PIXELS)
)


def image(kind, face):
    data = io.BytesIO()
    Image.fromarray(face).save(data, kind)
    return data.getvalue()


def zipped(**members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(**members):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def arrays():
    data = io.BytesIO()
    np.savez(data, pixels=PIXELS, emotion=np.arange(9) % 7, usage=np.arange(9) % 3)
    return data.getvalue()


IMAGES = {
    f"{part}/{name}/{i}.png": image("PNG", PIXELS[i])
    for i, (part, name) in enumerate((("train", "happy"), ("test", "sad")))
}
FORMS = {
    "faces.csv": CSV.encode(),
    "faces.zip": zipped(**{"fer2013.csv": CSV}),
    "images.zip": zipped(**IMAGES),
    "images.tar.gz": tarred(**IMAGES),
    "faces.npz": arrays(),
    "tree/train/happy/0.png": image("PNG", PIXELS[0]),
    "tree/train/happy/0.jpg": image("JPEG", PIXELS[0]),
    "tree/train/happy/0.bmp": image("BMP", PIXELS[0]),
    "tree/train/happy/0.webp": image("WEBP", PIXELS[0]),
}
# Near the ends, where headers and directories are, and anywhere.
PLACES = st.one_of(st.integers(0, 120), st.integers(-200, -1), st.integers(0, 1 << 20))
BYTES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b",", b"\n", b'"', b" ", b"\r\n", b"\x00", b"256", b"-1", b"\xff\xff\xff\xff"]
    ),
)
EDITS = st.lists(
    st.tuples(st.sampled_from(["replace", "insert", "delete", "cut", "repeat"]), PLACES, BYTES),
    min_size=1,
    max_size=6,
)


def mutate(data, edits):
    for kind, place, new in edits:
        at = place % max(len(data), 1)
        if kind == "replace":
            data = data[:at] + new + data[at + len(new) :]
        elif kind == "insert":
            data = data[:at] + new + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(new) + 1 :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + data[at : at + 300] + data[at:]
    return data


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=400,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(edits=EDITS, bad_rows=st.sampled_from(["stop", "skip"]))
def test_mutated_file(form, edits, bad_rows, monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        temporary = folder / "temporary"
        temporary.mkdir()
        file = folder / form
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(mutate(FORMS[form], edits))
        path = folder / form.split("/")[0]
        before, content = sorted(path.rglob("*")), file.read_bytes()
        started = time.perf_counter()
        try:
            with monkeypatch.context() as patch:
                patch.setattr(tempfile, "tempdir", str(temporary))
                faces = read_faces(path, bad_rows)
        except UserError as error:
            text = str(error)
            assert "\n" not in text and "expected" in text and "Received: " in text, text
        else:
            assert len(faces.pixels) == len(faces) and faces.pixels.dtype == np.uint8
            assert faces.pixels.shape[1:] == faces.contract.face_shape
            assert len(faces) and faces.usage.max() <= 2
            assert faces.labels is None or faces.labels.max() < len(faces.classes)
            assert all("\n" not in text for text in faces.skipped)
        assert time.perf_counter() - started < LONGEST
        assert sorted(path.rglob("*")) == before and file.read_bytes() == content
        assert not list(temporary.iterdir())


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(form=st.sampled_from(sorted(FORMS)), edits=EDITS)
def test_verb_on_a_mutated_file(form, edits, capsys):
    """The command line gives an answer, or one line on stderr and status 2, and never a traceback."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / form
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(mutate(FORMS[form], edits))
        status, out, error = run_verb(
            inspect.main, capsys, folder / form.split("/")[0], "--bad-rows", "skip", "--json"
        )
        assert (status, error) == (0, "") or (status == 2 and error.count("\n") == 1 and not out)
