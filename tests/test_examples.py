"""The scripts in examples/, each run as its users run it, on made pictures."""

import csv
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import insideout_tf
from insideout_tf.data import drawn

SECONDS = 900  # a busy machine


def run_example(name, *words, cwd):
    """Returns (exit status, lines of stdout, lines of stderr) of a script of examples/."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *map(str, words)],
        cwd=cwd,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=SECONDS,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture(scope="module")
def faces():
    return drawn.draw_all(14, 7, 7)[0]


@pytest.fixture
def folder(faces, tmp_path):
    """A folder `photos` with three faces, one of them in a subfolder, and a damaged file."""
    (tmp_path / "photos/more").mkdir(parents=True)
    for name, face in zip(("a.png", "b.png", "more/c.png"), faces):
        Image.fromarray(face).save(tmp_path / "photos" / name)
    (tmp_path / "photos/broken.jpg").write_bytes(b"x")
    return tmp_path


def refused(name, *words, cwd):
    """Returns the only line with which a script ends that has made nothing."""
    before = sorted(cwd.rglob("*"))
    status, _, (line,) = run_example(name, *words, cwd=cwd)
    assert status == 1 and line.startswith(f"{name}: ") and sorted(cwd.rglob("*")) == before
    return line


def test_every_example_says_how_it_is_called():
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names == {
        *("fastapi_service.py", "finetune.py", "folder_to_csv.py", "serving_client.py"),
        "webcam.py",
    }
    for name in names:
        assert f"examples/{name}" in (ROOT / "docs/examples.md").read_text("utf-8"), name


def test_folder_to_csv(folder, faces):
    status, (line,), (error,) = run_example("folder_to_csv.py", "photos", "out.csv", cwd=folder)
    assert status == 1 and line == "3 faces in 3 pictures: out.csv"
    assert error.startswith(f"folder_to_csv.py: {os.path.join('photos', 'broken.jpg')}: expected")
    rows = list(csv.DictReader((folder / "out.csv").open(encoding="utf-8")))
    assert [row["picture"] for row in rows] == [
        os.path.join("photos", name) for name in ("a.png", "b.png", os.path.join("more", "c.png"))
    ]
    for row, values in zip(rows, insideout_tf.predict_emotions(faces[:3])):
        assert row["emotion"] == insideout_tf.EMOTIONS[values.argmax()] and row["left"] == ""
        found = [float(row[name]) for name in insideout_tf.EMOTIONS]
        assert np.allclose(found, values, atol=1e-4)


def test_folder_to_csv_refuses_what_is_wrong(folder):
    name = "folder_to_csv.py"
    (folder / "there.csv").write_text("mine")
    (folder / "empty").mkdir()
    assert "expected a new file" in refused(name, "photos", "there.csv", cwd=folder)
    assert "expected a new file" in refused(name, "photos", "none/out.csv", cwd=folder)
    assert "expected a folder of pictures" in refused(name, "none", "out.csv", cwd=folder)
    assert "expected pictures" in refused(name, "empty", "out.csv", cwd=folder)
    assert "typo" in refused(name, "photos", "out.csv", "--model", "typo", cwd=folder)


def write_video(path, face, count):
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, face.shape[::-1])
    for _ in range(count):
        writer.write(np.repeat(face[..., None], 3, 2))
    writer.release()


def test_webcam_labels_a_file(faces, tmp_path):
    import cv2

    face = np.asarray(Image.fromarray(faces[0]).resize((96, 96)))  # square: the frame is one face
    write_video(tmp_path / "clip.avi", face, 5)
    words = ("clip.avi", "--out", "labelled.mp4")
    assert run_example("webcam.py", *words, cwd=tmp_path) == (0, ["5 frames in labelled.mp4"], [])
    capture = cv2.VideoCapture(str(tmp_path / "labelled.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5 and capture.get(cv2.CAP_PROP_FPS) == 10
    frame = capture.read()[1].astype(int)
    assert frame.shape == (96, 96, 3)
    coloured = (frame.max(2) - frame.min(2)) > 60  # the box is at the edge, the text inside
    assert coloured[:, :2].mean() > 0.5 and coloured[4:20, 4:90].any()
    assert not coloured[40:80, 20:80].any()


def test_webcam_refuses_what_is_wrong(faces, tmp_path):
    write_video(tmp_path / "clip.avi", faces[0], 2)
    (tmp_path / "there.mp4").write_text("mine")
    for words, expected in (
        (("none.mp4", "--out", "a.mp4"), "source: expected a camera's number or a video file"),
        (("97", "--out", "a.mp4"), "source: expected a camera's number or a video file"),
        (("clip.avi", "--out", "there.mp4"), "--out: expected a new .mp4 file"),
        (("clip.avi", "--out", "none/a.mp4"), "--out: expected a new .mp4 file"),
        (("clip.avi", "--out", "a.mp4", "--model", "typo"), "typo"),
        (("clip.avi",), "expected an OpenCV that opens windows"),
    ):
        if len(words) == 1 and has_windows():
            continue
        assert expected in refused("webcam.py", *words, cwd=tmp_path), words


def has_windows():
    import cv2

    return "GUI:                           NONE" not in cv2.getBuildInformation()


@pytest.mark.slow
def test_finetune(tmp_path):
    """On class folders with two classes that `small` has and one that it lacks."""
    pixels, labels, usage = drawn.draw_all(60, 30, 40)
    names = {3: "happy", 4: "bored", 6: "neutral"}
    for index, (face, label, part) in enumerate(zip(pixels, labels, usage)):
        if label in names:
            place = tmp_path / "faces" / ("train", "val", "test")[part] / names[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(face).save(place / f"{index}.png")
    words = ("faces", "--run-dir", "run", "--epochs", "1")
    status, lines, errors = run_example("finetune.py", *words, cwd=tmp_path)
    assert status == 0, errors
    assert lines[0].endswith("faces, classes: happy, neutral, bored")
    assert lines[-2].startswith("accuracy on the test faces: ")
    assert lines[-1].startswith("gain over small: ") and lines[-1].endswith(" on happy, neutral")
    assert insideout_tf.open_run(tmp_path / "run").classes == ("happy", "neutral", "bored")
    assert "run: expected" in refused("finetune.py", *words, cwd=tmp_path)
    assert "none" in refused("finetune.py", "none", cwd=tmp_path)


def load_service(monkeypatch):
    """Returns examples/fastapi_service.py as a module; skips where its packages are missing."""
    for package in ("fastapi", "httpx", "multipart"):
        pytest.importorskip(package, reason=f'no {package}: pip install ".[test]"')
    spec = importlib.util.spec_from_file_location("service", ROOT / "examples/fastapi_service.py")
    service = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "service", service)
    spec.loader.exec_module(service)
    return service


@pytest.fixture
def client(monkeypatch):
    """A client of the web service in this process, which has a limit of 20,000 bytes."""
    service = load_service(monkeypatch)
    from fastapi.testclient import TestClient

    service.MAX_BYTES = 20_000
    return TestClient(service.app)


def test_service_answers(client, folder, faces):
    assert client.get("/health").json()["version"] == insideout_tf.__version__
    path = folder / "photos/a.png"
    answer = client.post("/faces", files={"picture": path.read_bytes()})
    (face,) = answer.json()["faces"]
    (values,) = insideout_tf.predict_emotions(faces[:1])
    assert answer.status_code == 200 and face["box"] is None
    assert face["emotion"] == insideout_tf.EMOTIONS[values.argmax()]
    assert np.allclose(list(face["probabilities"].values()), values, atol=1e-5)


def test_service_refuses_what_is_wrong(client):
    answer = client.post("/faces", files={"picture": b"x" * 20_000})
    assert answer.status_code == 413 and "expected at most 20,000 bytes" in answer.json()["detail"]

    def chunks():  # no Content-Length
        for _ in range(30):
            yield b"x" * 1_000

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/faces", content=chunks(), headers=kind).status_code == 413
    answer = client.post("/faces", files={"picture": b"x"})
    assert (
        answer.status_code == 422 and "expected a readable PNG or JPEG" in answer.json()["detail"]
    )
    answer = client.post("/faces", files={"other": b"x"})
    assert answer.status_code == 422 and answer.json()["detail"] == "picture: Field required"
    answer = client.post("/faces", files={"picture": b""})
    assert answer.status_code == 422 and "\n" not in answer.json()["detail"]


def test_service_does_not_start_with_a_wrong_model(monkeypatch):
    monkeypatch.setenv("MODEL", "typo")
    with pytest.raises(SystemExit, match="fastapi_service.py: model: expected one of nano, small"):
        load_service(monkeypatch)
