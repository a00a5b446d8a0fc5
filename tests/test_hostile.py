"""Odd and hostile inputs, by entry point: each is read as it means, or is one `UserError`."""

import contextlib
import gzip
import io
import json
import os
import pathlib
import zipfile

import numpy as np
import pytest
from conftest import ROOT, run_python, run_verb
from data_helpers import GOOD, HEAD, ROW, error_of, write_lines
from PIL import Image

import insideout_tf
from insideout_tf import overrides, predict
from insideout_tf.config import Experiment, Stage
from insideout_tf.data import drawn, images, splits
from insideout_tf.data.faces import Faces
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.photos import listing, pictures, video
from insideout_tf.serving import packaged

pytestmark = pytest.mark.slow

FACE = drawn.draw_all(7, 1, 1)[0][0]


def encode(array, kind="PNG", **options):
    data = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(data, kind, **options)
    return data.getvalue()


# -- entry points × files that are none ----------------------------------------------------------


ENTRY_POINTS = {
    "predict_emotions": insideout_tf.predict_emotions,
    "detect_emotions": insideout_tf.detect_emotions,
    "analyze_video": insideout_tf.analyze_video,
    "load": insideout_tf.load,
    "model": lambda path: insideout_tf.predict_emotions(FACE, path),
    "yunet": lambda path: insideout_tf.detect_emotions(FACE, mode="detect", yunet=path),
    "read_faces": read_faces,
}


@pytest.mark.parametrize("entry", ENTRY_POINTS)
@pytest.mark.parametrize(
    "kind", ["pipe", "/dev/zero", "empty", "folder", "dangling", "long", "nul"]
)
def test_only_regular_files_are_opened(entry, kind, tmp_path):
    suffix = {"load": ".keras", "model": ".tflite"}.get(entry, ".mp4")
    path = tmp_path / f"input{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "/dev/zero":
        path.symlink_to("/dev/zero")
    elif kind == "empty":  # some of /proc look so, and block whoever reads them
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(tmp_path / "none")
    else:
        path = f"{tmp_path}/{'x' * 300 if kind == 'long' else 'a' + chr(0)}{suffix}"
    with pytest.raises(UserError) as refusal:
        ENTRY_POINTS[entry](str(path))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 1200


@pytest.mark.parametrize("entry", [entry for entry in ENTRY_POINTS if entry != "yunet"])
def test_a_web_address_and_a_home_of_nobody(entry):
    for path, words in (
        ("https://example.org/a.keras", "https://example.org/a.keras: .* a web address"),
        ("~nobody-here/a.keras", "~nobody-here/a.keras: expected"),
    ):
        with pytest.raises(UserError, match=words):
            ENTRY_POINTS[entry](path)


@pytest.mark.parametrize("entry", ["analyze_video", "load", "open_run", "read_faces"])
def test_a_path_of_another_type(entry):
    for value in (3, None, [], 1.5):
        with pytest.raises(UserError, match="expected the path of"):
            getattr(insideout_tf, entry)(value)


def test_options_of_another_type():
    for function, options, words in (
        (insideout_tf.detect_emotions, {"boxes": 5}, "boxes: expected a list"),
        (insideout_tf.detect_emotions, {"margin": "x"}, "margin: expected"),
        (insideout_tf.explain_images, {"smooth": "x"}, "--smooth: expected"),
        (insideout_tf.explain_images, {"faces": "x"}, "--faces: expected one of"),
        (insideout_tf.explain_images, {"emotion": 99}, "--emotion: unknown class"),
    ):
        with pytest.raises(UserError, match=words):
            function(FACE, **options)


# -- pictures --------------------------------------------------------------------------------------


def test_bytes_uploads_and_the_home_folder(tmp_path, monkeypatch):
    data = encode(FACE)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "face.png").write_bytes(data)
    for form in (data, bytearray(data), io.BytesIO(data), open(tmp_path / "face.png", "rb")):
        assert np.array_equal(images.to_faces(form)[0], FACE)
    assert np.array_equal(images.to_faces(["~/face.png"])[0], FACE)
    with pytest.raises(UserError, match="Open it in mode 'rb'"):
        images.to_faces(io.StringIO("text"))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 2304), "reshape\\(-1, 48, 48\\)"),
        ((2304,), "reshape\\(-1, 48, 48\\)"),
        ((3, 64, 64), "transpose\\(1, 2, 0\\)"),
        ((4, 60, 50), "\\[..., None\\]"),
        ((5, 48, 3), "at most 4 times as long as wide"),
        ((2, 20, 300), "at most 4 times as long as wide"),
    ],
)
def test_shapes_of_two_meanings(shape, message):
    with pytest.raises(UserError, match=message):
        images.to_faces(np.full(shape, 9, np.uint8))
    assert images.to_faces(np.zeros((3, 48, 48), np.uint8)).shape == (3, 48, 48)


def test_levels_of_fewer_bits_in_16_bits(tmp_path):
    for factor in (1, 16):
        shallow = encode(FACE.astype(np.uint16) * factor)
        with pytest.raises(UserError, match="look like those of 8 or 12 bits"):
            images.read_image(shallow)
    assert not np.asarray(images.read_image(encode(np.zeros((9, 9), np.uint16)))).any()


def test_modes_and_warnings_of_pillow(recwarn, capfd):
    lab = encode(Image.fromarray(np.full((60, 60, 3), (200, 128, 128), np.uint8), "RGB"), "TIFF")
    data = io.BytesIO()
    Image.merge("LAB", Image.open(io.BytesIO(lab)).split()).save(data, "TIFF")
    level = np.asarray(images.read_image(data.getvalue()).convert("L")).mean()
    assert 180 < level < 205  # L* of 78 %
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0"  # a directory that is cut off
    images.read_image(encode(FACE, "JPEG", exif=exif))
    assert not recwarn.list and capfd.readouterr() == ("", "")


def test_one_bad_picture_is_one_line(tmp_path):
    good, bad = tmp_path / "b.png", tmp_path / "a.tiff"
    good.write_bytes(encode(FACE))
    bad.write_bytes(encode(FACE, "TIFF")[:300])
    errors = []
    results = pictures.recognize_pictures(
        [bad, tmp_path / "none.png", good],
        Crop(),
        one_class,
        lambda path, error: errors.append((path.name, type(error))),
    )
    assert [result.source for result in results] == [str(good)]
    assert errors == [("a.tiff", UserError), ("none.png", UserError)]


def test_the_sources_in_a_folder(tmp_path):
    for name, content in {
        "a.jfif": encode(FACE, "JPEG"),
        "b.avif": encode(np.zeros((64, 64, 3), np.uint8), "AVIF"),
        "c.dat": encode(FACE, "GIF"),
        "d.tif": encode(FACE, "TIFF"),
        "e.wmv": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(99),
        "f.ts": (b"G\0" + bytes(186)) * 4,
        "program.ts": b"let x = 1;\n" * 99,
        "notes.txt": b"x",
        "list.mp4": b"ffconcat version 1.0\nfile a.avi\n",
        "g.heic": b"\0\0\0\x18ftypheic" + bytes(99),
        "._a.jfif": b"x",
        ".ipynb_checkpoints/a.png": encode(FACE),
        "sub/h.png": encode(FACE),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "z.png").symlink_to("none")
    found = listing.list_sources(tmp_path)
    names = [os.path.relpath(path, tmp_path) for path in found.paths]
    expected = ["a.jfif", "b.avif", "c.dat", "d.tif", "e.wmv", "f.ts", "list.mp4", "sub/h.png"]
    assert [name for name in names if name != "g.heic"] == expected and not found.errors
    counts = {kind: count for kind, count in found.unread.items() if "heic" not in kind}
    assert counts == {".ts": 1, ".txt": 1, "pipe": 1, "link to nothing": 1}
    assert listing.describe_unread(found.unread).startswith("not read: 1 ")
    is_video = {name: video.is_video(tmp_path / name) for name in names}
    assert [name for name in names if is_video[name]] == ["e.wmv", "f.ts", "list.mp4"]


# -- videos ----------------------------------------------------------------------------------------


def write_clip(path, count=12, size=(96, 96)):
    with video.create_writer(path, 10, size) as append:
        for index in range(count):
            append(np.full((size[1], size[0], 3), 20 * index % 255, np.uint8))
    return path.read_bytes()


def test_names_that_opencv_misreads(tmp_path, monkeypatch):
    content = write_clip(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    for name in (b"clip:1.mp4", b"\xff\xfe.mp4", b"clip%03d.mp4", "größe 顔.mp4".encode()):
        with open(name, "wb") as file:
            file.write(content)
        with video.open_video(os.fsdecode(name)) as clip:
            assert len(list(clip.frames)) == 12 and not clip.is_cut_off()
    for folder in (b"\xff", b"50%02d"):
        os.mkdir(folder)
        copy = pathlib.Path(os.fsdecode(folder), "copy.mp4")
        write_clip(copy)
        assert os.listdir(folder) == [b"copy.mp4"]
        with video.open_video(copy) as clip:
            assert len(list(clip.frames)) == 12


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\nsecret.mp4\n", "v=0\r\nc=IN IP4 1\r\n"],
)
def test_playlists_are_not_opened(text, tmp_path):
    write_clip(tmp_path / "secret.mp4")
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(UserError, match="Playlists are not opened"):
        with video.open_video(tmp_path / "list.mp4"):
            pass


@pytest.mark.parametrize("name", ["webcam:99999999999", "webcam:-1", "webcam:", "webcam:٣"])
def test_cameras_without_a_possible_number(name):
    with pytest.raises(UserError, match="webcam: and a number from 0 to 999"):
        insideout_tf.analyze_video(name, seconds=1)


def test_a_cut_file_and_a_declared_count_that_is_wrong(tmp_path):
    content = write_clip(tmp_path / "clip.mp4", 60)
    assert not video.is_truncated(tmp_path / "clip.mp4")
    (tmp_path / "cut.mp4").write_bytes(content[:-100])
    assert video.is_truncated(tmp_path / "cut.mp4")
    segment = b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + b"\x01" + (500).to_bytes(7, "big")
    for size, is_cut in ((500, False), (499, True)):
        (tmp_path / "a.webm").write_bytes(segment + bytes(size))
        assert video.is_truncated(tmp_path / "a.webm") == is_cut
    (tmp_path / "live.webm").write_bytes(segment[:9] + b"\x01" + b"\xff" * 7 + bytes(9))
    assert not video.is_truncated(tmp_path / "live.webm")
    frames = iter([(0.1 * index, np.zeros((96, 96, 3), np.uint8)) for index in range(5)])
    clip = video.Video(frames, 10.0, (96, 96), 500)  # declares a hundred times as many
    results = list(pictures.recognize_video("a.webm", clip, Crop(), one_class, 0.0))
    assert len(results) == 5


def test_empty_packets_of_theora_are_no_damage(tmp_path):
    """The fixture is FFmpeg's test picture, whose repeated frames are empty packets."""
    path = ROOT / "tests/fixtures/repeated_frames.ogv"
    with video.open_video(path) as clip:
        times = [seconds for seconds, _ in clip.frames]
        assert len(times) > 3 and times[-1] > 2 and not clip.is_cut_off()


def test_a_video_without_a_frame_leaves_no_copy(tmp_path, capsys, monkeypatch):
    @contextlib.contextmanager
    def open_video(source):  # as of a file that was cut off before its first picture
        yield video.Video(iter(()), 10.0, (96, 96), 5)

    monkeypatch.setattr(video, "open_video", open_video)
    words = (tmp_path / "a.mp4", "--annotate", tmp_path / "d")
    status, out, error = run_verb(predict.main, capsys, *words)
    assert status == 2 and "a.mp4: expected a whole video" in error, error
    assert "0 frames" in out and not list(tmp_path.glob("d/*"))


class Crop:
    """Stands for a detector: the whole frame is one face."""

    def is_crop(self, image):
        return True

    def __call__(self, image, source=None):
        from insideout_tf.photos import detect

        return [detect.Face(FACE)]


def one_class(faces):
    return np.eye(7, dtype=np.float32)[[3] * len(faces)]


def test_time_is_that_of_the_clock_and_not_of_frames(tmp_path):
    """Frames at 0, 0.1, 0.2, then one that stays for two seconds: durations, and a copy as long."""
    times = [0.0, 0.1, 0.2, 2.2, 2.3]
    frames = iter([(seconds, np.full((96, 96, 3), 99, np.uint8)) for seconds in times])
    clip = video.Video(frames, 10.0, (96, 96), 5)
    results = list(pictures.recognize_video("a.avi", clip, Crop(), one_class, 0.0))
    assert np.allclose([each.duration for each in results], [0.1, 0.1, 2.0, 0.1, 0.1])
    with video.create_writer(tmp_path / "copy.mp4", 10, (96, 96)) as append:
        for result in results:
            append(np.asarray(result.image), result.seconds)
    with video.open_video(tmp_path / "copy.mp4") as copy:
        assert len(list(copy.frames)) == 24


# -- data ------------------------------------------------------------------------------------------


def test_a_csv_that_is_unambiguous_is_read(tmp_path):
    rows = [f"happy;{ROW};training", f"3.0;{ROW};PUBLICTEST", f"Anger;{ROW};PrivateTest", "", " "]
    faces = read_faces(write_lines(tmp_path / "a.csv", "emotion;pixels;Usage", *rows))
    assert faces.labels.tolist() == [3, 3, 0] and faces.usage.tolist() == [0, 1, 2]
    assert len(read_faces(write_lines(tmp_path / "a.csv", HEAD, GOOD, "", "  "))) == 1
    for width in ("16", "32"):
        for encoding in (f"utf-{width}", f"utf-{width}-le", f"utf-{width}-be"):
            (tmp_path / "a.csv").write_bytes(f"{HEAD}\n{GOOD}\n".encode(encoding))
            assert f"Received: UTF-{width}" in error_of(tmp_path / "a.csv"), encoding
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(f"{HEAD}\n{GOOD}\n".encode()))
    assert "Unpack it first. Received: gzip (.gz)" in error_of(tmp_path / "a.csv.gz")


def save_faces(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(FACE))


def test_class_folders_named_by_numbers(tmp_path):
    save_faces(tmp_path, "train/0/a.png", "train/3/a.png", "test/sad/a.png")
    assert "FER2013, AffectNet and RAF-DB number them differently" in error_of(tmp_path)
    (tmp_path / "classes.txt").write_text("0 neutral\n3 Surprise\n")
    faces = read_faces(tmp_path)
    assert {name: faces.classes[label] for name, label in zip(faces.names, faces.labels)} == {
        "test/sad/a.png": "sad",
        "train/0/a.png": "neutral",
        "train/3/a.png": "surprise",
    }
    (tmp_path / "classes.txt").write_text("0 neutral\n0 sad\n")
    assert "classes.txt, line 2: expected each number once" in error_of(tmp_path)


def test_bad_files_in_a_tree_are_skipped_on_request(tmp_path):
    save_faces(tmp_path, "train/happy/a.png", "train/sad/b.png", "train/happy/nested/c.png")
    (tmp_path / "train/happy/d.png").symlink_to("none")
    os.mkfifo(tmp_path / "train/happy/e.png")
    (tmp_path / "train/list.txt").touch()
    (tmp_path / "train/empty").mkdir()
    faces = read_faces(tmp_path, "skip")
    assert faces.names == ("train/happy/a.png", "train/sad/b.png")
    assert faces.classes == ("happy", "sad")
    for name, words in (
        ("train/empty", "an empty folder"),
        ("happy/nested", "Received: a folder"),
        ("happy/d.png", "a link to nothing"),
        ("happy/e.png", "a pipe"),
        ("train/list.txt", "only class folders"),
    ):
        assert sum(name in text and words in text for text in faces.skipped) == 1, faces.skipped
    assert len(faces.skipped) == 5


def test_archives_that_the_disk_is_not_to_blame_for(tmp_path):
    path = tmp_path / "a.zip"
    for names, words in (
        (["a", "a/b.csv"], "expected each file once"),
        (["a.csv", "a.csv"], "expected each file once"),
        (["x" * 300], "at most 255 bytes"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                info = zipfile.ZipInfo(name)
                archive.writestr(info, "x")
        assert words in error_of(path)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    assert "Received: an encrypted file" in error_of(path)


def test_leaks_count_the_faces_that_trained():
    pixels = np.stack([FACE, FACE, FACE + 1, FACE + 2])
    faces = Faces(pixels, np.zeros(4, np.uint8), np.array([2, 0, 0, 0], np.uint8), "x")
    test = np.array([0])
    assert splits.also_in_training(faces, test).tolist() == [True]
    assert splits.also_in_training(faces, test, np.array([2, 3])).tolist() == [False]


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000 + "]" * 3000])
def test_values_of_thousands_of_characters(value):
    experiment = Experiment(name="x", stages=(Stage("a", epochs=1, learning_rate=1e-2),))
    with pytest.raises(UserError) as refusal:
        overrides.override(experiment, [f"seed={value}"])
    assert len(str(refusal.value)) < 300
    with pytest.raises(UserError, match="--seed: expected a number") as refusal:
        overrides.apply_options(experiment, seed="9" * 400)
    assert len(str(refusal.value)) < 300


# -- models ----------------------------------------------------------------------------------------

MODELS = """
import sys, pathlib, keras, numpy as np
folder = pathlib.Path(sys.argv[1])
pixels = keras.Input((48, 48, 1))
flat = keras.layers.Flatten()(pixels)
soft = keras.layers.Dense(7, activation="softmax")(flat)
keras.Model(pixels, {"probabilities": soft}).save(folder / "dictionary.keras")
keras.Sequential([keras.layers.Dense(7)]).save(folder / "unbuilt.keras")
keras.Model(pixels, keras.layers.Dense(7)(flat)).save(folder / "logits.keras")
model = keras.Model(pixels, soft)
model.set_weights([np.full(each.shape, np.nan, np.float32) for each in model.get_weights()])
model.save(folder / "nan.keras")
large = keras.layers.Dense(7)(keras.layers.Dense(40)(keras.layers.UpSampling2D(8)(pixels)))
small = keras.Model(pixels, keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(large)))
small.save(folder / "small.keras")
"""


def test_models_that_return_no_probabilities(tmp_path):
    run_python(MODELS, tmp_path)
    for name, words in (
        ("dictionary", "with one output.*a dict"),
        ("unbuilt", "one output of probabilities.*never built"),
        ("logits", "with the sum 1. Add a softmax layer"),
        ("nan", "expected finite weights"),
    ):
        with pytest.raises(UserError, match=words):
            insideout_tf.load(tmp_path / f"{name}.keras")
    assert insideout_tf.load(tmp_path / "small.keras").count_params() < 1000
    for change in (('"units": 40', '"units": 900000000'), ("[8, 8]", "[9000, 9000]")):
        with zipfile.ZipFile(tmp_path / "small.keras") as source:
            members = {name: source.read(name) for name in source.namelist()}
        config = members["config.json"].decode()
        assert change[0] in config
        settings = json.loads(config.replace(*change))
        for layer in settings["config"]["layers"]:
            layer.pop("build_config", None)  # it has the old shapes
        members["config.json"] = json.dumps(settings).encode()
        with zipfile.ZipFile(tmp_path / "large.keras", "w") as target:
            for name, content in members.items():
                target.writestr(name, content)
        with pytest.raises(UserError, match="Do not trust this file"):
            insideout_tf.load(tmp_path / "large.keras")


def test_damaged_litert_files_do_not_end_the_process(tmp_path):
    content = bytearray(packaged.path_of("nano", ".tflite").read_bytes())
    random, path = np.random.default_rng(0), tmp_path / "m.tflite"
    refused = 0
    for _ in range(8):
        damaged = content.copy()
        for place in random.integers(0, 4000, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            insideout_tf.predict_emotions(FACE, path)
        except UserError as error:
            refused += 1
            assert "m.tflite: expected" in str(error)
    assert refused


def test_names_of_packaged_models_are_suggested():
    for function in (insideout_tf.load, lambda name: insideout_tf.predict_emotions(FACE, name)):
        with pytest.raises(UserError, match="nano, small.*Did you mean 'small'"):
            function("smal")


def test_batch_sizes_that_are_none():
    for size in (0, -1, 2.5, True, None):
        with pytest.raises(UserError, match="batch_size: expected a whole number"):
            insideout_tf.predict_emotions(FACE, batch_size=size)


# -- Keras set up otherwise ------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["torch", "nonsense"])
def test_backends_that_do_not_fit(backend):
    code = "import insideout_tf; insideout_tf.load('nano')"
    done = run_python(code, env={"KERAS_BACKEND": backend}, check=False)
    assert "UserError: KERAS_BACKEND: expected tensorflow or jax" in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1},
        {"floatx": "float64", "backend": "torch"},
        {"backend": "nonsense"},
    ],
)
def test_the_settings_file_of_keras(settings, tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = """
import numpy as np, insideout_tf
face = np.arange(2304, dtype=np.uint8).reshape(48, 48)
found = insideout_tf.predict_emotions(face, "nano", engine="keras")
assert np.abs(found - np.array(EXPECTED)).max() < 1e-5
"""
    face = np.arange(2304, dtype=np.uint8).reshape(48, 48)
    expected = insideout_tf.predict_emotions(face, "nano", engine="keras").tolist()
    run_python(code.replace("EXPECTED", repr(expected)), env={"KERAS_HOME": str(tmp_path)})


def test_a_keras_that_was_set_up_before_us():
    code = """
import keras
keras.config.set_image_data_format("channels_first")
import insideout_tf
insideout_tf.load("nano")
"""
    done = run_python(code, check=False)
    assert "UserError: keras: expected image_data_format 'channels_last'" in done.stderr


def test_no_advice_of_tensorflow_reaches_the_terminal():
    code = """
import numpy as np, insideout_tf
for _ in range(6):
    model = insideout_tf.load("nano")
    from insideout_tf.network.predict import predict_probabilities
    predict_probabilities(model, np.zeros((3, 48, 48), np.uint8))
"""
    assert run_python(code, env={"KERAS_BACKEND": "tensorflow"}).stderr == ""


# -- forks and threads -----------------------------------------------------------------------------

FORK = """
import os, sys, threading, time, warnings
import numpy as np
import insideout_tf
from PIL import Image
warnings.simplefilter("ignore")
engine = sys.argv[1]
faces = np.random.default_rng(0).integers(0, 256, (64, 48, 48), np.uint8)
photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8))
expected = insideout_tf.predict_emotions(faces, "nano", engine=engine)
stop = threading.Event()

def work():
    while not stop.is_set():
        insideout_tf.predict_emotions(faces, "nano", engine=engine)
        insideout_tf.detect_emotions(photo, "nano", "detect", engine=engine)

threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
children = []
for _ in range(6):
    time.sleep(0.05)
    child = os.fork()
    if not child:
        try:
            result = insideout_tf.predict_emotions(faces, "nano", engine=engine)
            insideout_tf.detect_emotions(photo, "nano", "detect", engine=engine)
            os._exit(0 if np.abs(result - expected).max() < 1e-5 else 3)
        except insideout_tf.UserError as error:
            os._exit(2 if "forked" in str(error) else 4)
        finally:
            os._exit(5)
    children.append(child)
end, codes = time.time() + 60, []
while children and time.time() < end:
    for child in list(children):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            children.remove(child)
            codes.append(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
for child in children:
    os.kill(child, 9)
    codes.append("hangs")
stop.set()
print(codes)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.parametrize(("engine", "code"), [("litert", 0), ("keras", 2)])
def test_forks_while_threads_predict(engine, code):
    """A child answers with LiteRT, and says in words that it cannot with Keras; none hangs."""
    done = run_python(FORK, engine)
    assert done.stdout.splitlines()[-1] == str([code] * 6), done.stdout + done.stderr


def test_threads_share_the_silence_of_the_terminal():
    code = """
import os, threading
from insideout_tf import processes
def work():
    for _ in range(300):
        with processes.native_stderr_closed():
            pass
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.write(2, b"still open")
"""
    assert run_python(code).stderr.endswith("still open")
    closed = "import os; os.close(2)\nfrom insideout_tf import processes\n"
    code = f"{closed}with processes.native_stderr_closed(): print('fine')"
    assert run_python(code).stdout == "fine\n"


def test_the_bounds_that_the_security_notes_state():
    from insideout_tf.data import archives, arrays, fer2013, read
    from insideout_tf.network import weights
    from insideout_tf.serving import engines, litert_probe, saved_model

    text = (ROOT / "SECURITY.md").read_text("utf-8")
    gib = 1 << 30
    for line in (
        f"a picture | {images.MAX_PIXELS:,} pixels, {images.MAX_FILE_BYTES:,} bytes |",
        f"a served model | {saved_model.MAX_SERVED_PIXELS:,} pixels, {images.MAX_FILE_BYTES:,} bytes |",
        f"expanded | {archives.MAX_ARCHIVE_BYTES // gib} GiB, {archives.MAX_ARCHIVE_RATIO} times its own "
        f"size, {archives.MAX_ARCHIVE_MEMBERS:,} members, {read.MAX_ARCHIVE_DEPTH} archives inside",
        f"CSV file | {fer2013.MAX_CSV_BYTES // gib} GiB, {fer2013.MAX_LINE_BYTES >> 20} MiB a line |",
        f"array file | {arrays.MAX_ARRAY_BYTES // gib} GiB |",
        f"{weights.MAX_MODEL_BYTES // gib} GiB, {weights.MAX_WEIGHTS:,} weights, "
        f"{weights.MAX_VALUES:,} values",
        f"{engines.CHILD_SECONDS} seconds, {litert_probe.MAX_BYTES // gib} GiB of addresses",
        f"folders around the data | {read.MAX_FOLDER_DEPTH} |",
        f"in a row | {video.MAX_DAMAGED_PACKETS} |",
    ):
        assert line in text, line
