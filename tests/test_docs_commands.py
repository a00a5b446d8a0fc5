"""The commands of README and of the documentation run, on made data that stand where theirs do."""

import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import run_verb
from PIL import Image
from test_docs import TEXTS, read_commands

from insideout_tf import __main__ as front_door
from insideout_tf.data import drawn
from insideout_tf.photos import video

pytestmark = pytest.mark.slow

# What cannot run here, and which test runs it instead.
ELSEWHERE = {
    "demo": "a server; test_demo.py opens it in a browser",
    "train": "the quickstart; test_train.py trains it to its accuracy",
    "train finetune --data my_faces --folds 5": "test_cross_validation.py",
    "train finetune --data ckplus --folds 10": "test_cross_validation.py",
    "sweep quickstart --space stages.1.learning_rate=1e-4:1e-1:log dropout=0:0.6 --trials 20": "test_sweep.py",
    "sweep v2b0_cpu --data fer2013.csv --fraction 0.1 --space batch_size=32,64,128 dropout=0.1:0.5 "
    "--out sweeps/tenth": "test_sweep.py",
    "sweep compact_nano --data fer2013.csv --fraction 0.1 --trials 16 --out sweeps/nano --set distillation_weight=0 "
    "--set soft_label_weight=0 --set stages.0.epochs=10 --space stages.0.learning_rate=0.003:0.3:log dropout=0:0.5 "
    "batch_size=16,32,64": "test_sweep.py",
    "predict FOLDER --out faces.parquet --ray": "api/test_ray_files.py",
    "predict FOLDER --out faces.parquet --ray auto --workers 64": "api/test_ray_files.py",
    "train v2b0_cpu --data fer2013.csv --run-dir runs/two --hosts node0:12355,2,0": "training/test_hosts.py",
    "train v2b0_cpu --data fer2013.csv --run-dir runs/two --hosts node0:12355,2,1": "training/test_hosts.py",
    "export nano small --format web --out site": "web/test_export_web.py, with npm",
    "train effnet_b2 --data fer2013.csv --device gpu --batch-size 128": "needs a GPU",
}
MY_FACES = {"anger": 0, "joy": 3, "calm": 6, "contempt": 5, "sad": 4}
OTHER_FACES = {"angry": 0, "happy": 3, "bored": 6}
CALLBACKS = "import keras\n\n\ndef make_callbacks():\n    return keras.callbacks.Callback()\n"


def list_commands():
    """Returns the different commands, with any run named runs/NAME, in the order of the pages."""
    found = {}
    for path in TEXTS:
        for words in read_commands(path):
            text = " ".join(words)
            if words[0] == "demo" or text in ELSEWHERE:
                continue
            key = text if words[0] == "evaluate" else re.sub(r"runs/[\w.-]+", "runs/NAME", text)
            found.setdefault(key, words)
    return list(found.values())


def draw_face(emotion, seed, size=90):
    """Returns a drawn face as a grey PIL image."""
    pixels, labels, _ = drawn.draw_all(140, 7, 7, seed=seed)
    face = pixels[np.flatnonzero(labels == emotion)[0]]
    return Image.fromarray(face).resize((size, size))


def write_classes(folder, names, each=8):
    """Writes class folders of 48×48 faces in train/, val/ and test/."""
    pixels, labels, _ = drawn.draw_all(420, 7, 7, seed=2)
    for name, emotion in names.items():
        rows = iter(np.flatnonzero(labels == emotion))
        for part in ("train", "val", "test"):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(2 * each if part == "train" else each):
                Image.fromarray(pixels[next(rows)]).save(place / f"{number}.png")


def write_fer2013(path):
    """Writes drawn faces in the form of fer2013.csv."""
    parts = ("Training", "PublicTest", "PrivateTest")
    pixels, labels, usage = drawn.draw_all(420, 70, 70)
    lines = [
        f"{label},{' '.join(map(str, face.ravel()))},{parts[part]}"
        for face, label, part in zip(pixels, labels, usage)
    ]
    path.write_text("\n".join(["emotion,pixels,Usage", *lines, ""]))


@pytest.fixture(scope="module")
def place(tiny_run, tmp_path_factory):
    """A folder with everything that the commands read."""
    folder = tmp_path_factory.mktemp("documented")
    write_fer2013(folder / "fer2013.csv")
    write_classes(folder / "my_faces", MY_FACES)
    write_classes(folder / "other_faces", OTHER_FACES)
    images = sorted((folder / "my_faces").rglob("*.png"))
    lines = [
        f"{path.relative_to(folder)},{row % 3},{'val' if row % 5 == 0 else 'train'}"
        for row, path in enumerate(images)
    ]
    (folder / "list.csv").write_text("\n".join(["path,label,usage", *lines, ""]))
    (folder / "FOLDER").mkdir()
    names = ("PHOTO.jpg", "photo.jpg", "A.jpg", "B.jpg", "FACE.png", "HAPPY.png", "SURPRISE.png")
    for seed, name in enumerate((*names, "FOLDER/1.png")):
        draw_face(3, seed).convert("RGB").save(folder / name)
    pictures = ["A.jpg", "B.jpg", "FOLDER/1.png"]
    (folder / "LIST.txt").write_text("\n".join([*pictures, ""]))
    pd.DataFrame({"path": pictures}).to_parquet(folder / "TABLE.parquet")
    frame = np.asarray(draw_face(3, 0).convert("RGB"))
    with video.create_writer(folder / "CLIP.mp4", 10, (90, 90)) as append:
        for number in range(12):
            append(frame, number / 10)
    (folder / "mymodule.py").write_text(CALLBACKS)
    for words in list_commands():
        for word in words:
            if re.fullmatch(r"runs/[\w.-]+", word) and not (folder / word).exists():
                shutil.copytree(tiny_run, folder / word)
    return folder


@pytest.mark.parametrize("words", list_commands(), ids=" ".join)
def test_it_runs(words, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    words = [word for word in words if word != "webcam:0"]
    if "--boxes" in words:
        (place / "faces.csv").write_text("image,x,y,width,height\nFOLDER/1.png,5,5,80,80\n")
    if words[0] == "train" and "--resume" not in words:
        words += ["--dry-run", "--weights", "none"]  # the data are read and the network is made
    for option, value in zip(words, words[1:]):
        if option in ("--out", "--csv", "--annotate", "--figure") and os.path.lexists(value):
            shutil.rmtree(value) if os.path.isdir(value) else os.remove(value)
    status, _, error = run_verb(front_door.main, capsys, *words)
    assert status == 0, error


def test_what_runs_elsewhere_is_still_documented():
    documented = {" ".join(words) for path in TEXTS for words in read_commands(path)}
    assert set(ELSEWHERE) <= documented
