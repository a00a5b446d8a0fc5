"""The packaged models: whole, as good as they say, equal on every engine, and at once at hand."""

import concurrent.futures
import csv
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import ROOT, run_python, run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict
from insideout_tf.data import drawn
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics
from insideout_tf.serving import engines, packaged, recognize

NAMES = ("nano", "small")
LIMITS = {"nano": 100_000, "small": 1_200_000}  # parameters


@pytest.fixture(scope="module")
def public(real):
    chosen = real.usage == 1
    return real.pixels[chosen], real.labels[chosen]


def test_files_are_those_their_facts_describe():
    assert packaged.names() == list(NAMES)
    total = 0
    for name in NAMES:
        facts = packaged.facts(name)
        for suffix in (".keras", ".tflite"):
            content = packaged.path_of(name, suffix).read_bytes()
            assert hashlib.sha256(content).hexdigest() == facts["sha256"][suffix]
            total += len(content)
        assert facts["parameters"] <= LIMITS[name] and facts["classes"] == list(EMOTIONS)
    assert total < 6_000_000


@pytest.mark.fer2013
@pytest.mark.parametrize("name", NAMES)
def test_both_engines_are_as_good_as_the_facts_say(name, public):
    """Parity on 512 faces; PublicTest's accuracy of each file; calibration helps there."""
    pixels, labels = public
    facts, found = packaged.facts(name), {}
    for engine, suffix in (("keras", ".keras"), ("litert", ".tflite")):
        raw = insideout_tf.predict_emotions(pixels, name, engine=engine, calibrated=False)
        judged = facts["judged"][f"PublicTest {suffix}"]
        assert raw.dtype == np.float32 and raw.shape == (3589, 7)
        assert (raw.argmax(1) == labels).mean() == pytest.approx(judged["accuracy"], abs=1e-3)
        found[engine] = raw
    furthest = {"float16": 2e-3, "dynamic": 0.05}[facts["litert_weights"]]
    assert np.abs(found["keras"] - found["litert"])[:512].max() < furthest
    calibrated = insideout_tf.predict_emotions(pixels, name, engine="litert")
    raw = found["litert"]
    assert np.array_equal(calibrated.argmax(1), raw.argmax(1))
    nll = metrics.negative_log_likelihood
    assert nll(calibrated, labels) < nll(raw, labels)
    assert metrics.expected_calibration_error(calibrated, labels) < 0.03
    both_ways = insideout_tf.predict_emotions(pixels, name, engine="litert", tta="flip")
    mirrored = insideout_tf.predict_emotions(pixels[:, :, ::-1], name, engine="litert", tta="flip")
    np.testing.assert_allclose(both_ways, mirrored, atol=1e-6)
    gained = (both_ways.argmax(1) == labels).mean() - (raw.argmax(1) == labels).mean()
    assert gained > {"nano": -0.005, "small": 0}[name]
    assert nll(both_ways, labels) < nll(calibrated, labels)  # which every face moves
    assert metrics.expected_calibration_error(both_ways, labels) < 0.03


@pytest.mark.fer2013
@pytest.mark.parametrize("name", NAMES)
def test_poor_light_and_pale_faces_are_told_as_well(name, public):
    """A tenth of the light or of the contrast leaves 25 grey levels, and nearly every right answer."""
    pixels, labels = public
    levels = pixels.astype(np.float32)
    mean = levels.mean((1, 2), keepdims=True)

    def accuracy(faces):
        told = insideout_tf.predict_emotions(np.rint(faces).astype(np.uint8), name)
        return (told.argmax(1) == labels).mean()

    as_they_are = accuracy(levels)
    for worse in (0.1 * levels, mean + 0.1 * (levels - mean)):
        assert accuracy(worse) > as_they_are - 0.03


@pytest.mark.parametrize("name", NAMES)
def test_plain_keras_opens_it_without_this_package(name, small_drawn, tmp_path):
    code = """
import sys
import numpy as np
class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "insideout_tf":
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import keras
model = keras.models.load_model(sys.argv[1])
faces = np.load(sys.argv[2])["pixels"][..., None].astype("float32")
np.save(sys.argv[3], model.predict(faces, verbose=0))
"""
    out = tmp_path / "p.npy"
    run_python(code, packaged.path_of(name, ".keras"), small_drawn, out, cwd=tmp_path)
    with np.load(small_drawn) as data:
        again = insideout_tf.predict_emotions(data["pixels"], name, "keras", calibrated=False)
    assert np.abs(np.load(out) - again).max() < 1e-6
    assert insideout_tf.load(name).count_params() == packaged.facts(name)["parameters"]


def test_litert_answers_without_a_framework(small_drawn, tmp_path):
    with np.load(small_drawn) as data:
        Image.fromarray(data["pixels"][0]).save(tmp_path / "face.png")
    done = run_python(
        """
import sys
from insideout_tf import predict
predict.main([sys.argv[1], "--engine", "litert"])
heavy = {"tensorflow", "keras", "jax", "torch", "matplotlib", "sklearn", "pandas", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""",
        tmp_path / "face.png",
    )
    assert done.stderr == "" and done.stdout.startswith(f"{tmp_path / 'face.png'}: ")


def test_verb_prints_lines_json_and_csv(small_drawn, tmp_path, capsys):
    with np.load(small_drawn) as data:
        pixels = data["pixels"][:3]
    paths = [tmp_path / f"a face {i}.png" for i in range(3)]
    for path, face in zip(paths, pixels):
        Image.fromarray(face).save(path)
    expected = insideout_tf.predict_emotions(pixels, "small")
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv")}
    arguments = [*paths, "--model", "small", "--json", out["json"], "--csv", out["csv"]]
    status, text, err = run_verb(predict.main, capsys, *arguments)
    assert status == 0 and err == "" and len(text.splitlines()) == 3
    found = json.loads(out["json"].read_text())
    rows = list(csv.DictReader(out["csv"].open()))
    for path, face, row, line, values in zip(paths, found, rows, text.splitlines(), expected):
        emotion = EMOTIONS[values.argmax()]
        assert face["source"] == row["source"] == str(path)
        assert face["emotion"] == row["emotion"] == emotion
        assert line.startswith(f"{path}: {emotion} {values.max():.1%}")
        assert list(face["probabilities"]) == list(EMOTIONS)
        assert np.allclose(list(face["probabilities"].values()), values, atol=1e-5)
        assert np.allclose([float(row[name]) for name in EMOTIONS], values, atol=1e-5)
    status, text, _ = run_verb(predict.main, capsys, paths[0], "--json", "-")
    assert status == 0 and len(json.loads(text)) == 1
    status, text, _ = run_verb(predict.main, capsys, paths[0], "--csv", "-", "--uncalibrated")
    assert status == 0 and text.startswith("source,faces,frame,seconds,face,left,")
    status, text, _ = run_verb(predict.main, capsys, paths[0], "--json", "-", "--tta", "flip")
    expected = insideout_tf.predict_emotions([paths[0]], tta="flip")[0]
    assert np.allclose(
        list(json.loads(text)[0]["probabilities"].values()), expected, rtol=0, atol=1e-5
    )
    with pytest.raises(UserError, match="tta: expected one of none, flip. Received: 'both'"):
        insideout_tf.predict_emotions([paths[0]], tta="both")
    status, _, err = run_verb(predict.main, capsys, paths[0], "--csv", "-", "--json", "-")
    assert status == 2 and "expected one of them on standard output" in err


def test_unreadable_faces_are_named_and_the_others_told(small_drawn, tmp_path, capsys):
    with np.load(small_drawn) as data:
        Image.fromarray(data["pixels"][0]).save(tmp_path / "face.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no picture, and not taken for one")
    Image.fromarray(np.full((48, 48), 70_000, np.int32)).save(tmp_path / "depth.tiff")
    out = tmp_path / "faces.csv"
    given = [tmp_path / "none.png", tmp_path / "depth.tiff", tmp_path]
    status, text, err = run_verb(predict.main, capsys, *given, "--csv", out)
    assert status == 2 and text.startswith(str(tmp_path / "face.png")) and text.count("\n") == 1
    assert len(err.splitlines()) == 4 and "none.png: No such file" in err
    assert "depth.tiff: expected grey levels from 0 to 255" in err
    assert "broken.png: expected a readable" in err and "Received: 3 that are not" in err
    assert [row["source"] for row in csv.DictReader(out.open())] == [str(tmp_path / "face.png")]


def test_a_folder_its_photos_and_drawn_on_copies(tmp_path, capsys):
    """Photos of one name in several folders, one without a face: lines, records, pictures."""
    for folder in ("a", "b c", "d"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    Image.new("RGB", (320, 200), (80, 120, 90)).save(tmp_path / "photos/a/one.jpg")
    face = drawn.draw_all(7, 7, 7)[0][0]
    for name in ("b c/one.png", "d/ONE.png", "d/one-2.png"):
        Image.fromarray(face).save(tmp_path / "photos" / name)
    folder, records = tmp_path / "annotated", tmp_path / "o.json"
    status, text, err = run_verb(
        predict.main, capsys, tmp_path / "photos", "--annotate", folder, "--json", records
    )
    assert status == 0 and err == ""
    first, second, _, _ = text.splitlines()
    assert first == f"{tmp_path / 'photos/a/one.jpg'}: no face found"
    assert second.endswith(", the whole picture")
    nothing, crop, _, _ = json.loads(records.read_text())
    assert nothing["faces"] == "detected" and nothing["emotion"] is nothing["box"] is None
    assert crop["faces"] == "crop" and crop["emotion"] in EMOTIONS
    names = {"one.png", "one-2.png", "ONE-3.png", "one-2-2.png"}  # none lost, whatever the disk
    assert {path.name for path in folder.iterdir()} == names
    panel = np.asarray(Image.open(folder / "one-2.png"))[:, 384:]  # 48 pixels enlarged 8 times
    assert panel.shape[1] > 100 and (panel > 200).any()  # letters and bars beside the face


def test_nothing_to_do_and_wrong_values(tmp_path, capsys):
    for words, message in (
        ((tmp_path,), "expected pictures (.png"),
        (("x.png", "--margin", "7"), "--margin: expected -0.4 to 2"),
        (("x.png", "--smooth", "nan"), "--smooth: expected seconds"),
        (("x.png", "--seconds", "0"), "--seconds: expected more than 0"),
        (("x.png", "--json", "-", "--jsonl", "-"), "expected one of them on standard output"),
        (("x.png", "--json", tmp_path), "Is a directory"),
    ):
        status, text, err = run_verb(predict.main, capsys, *words)
        assert status == 2 and message in err and err.splitlines()[-1].startswith("insideout ")
        assert text == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "large"}, "expected one of nano, small, or the path.*'large'"),
        ({"engine": "torch"}, "expected one of auto, keras, litert"),
        ({"model": __file__, "engine": "litert"}, "expects a packaged model or a .tflite"),
        ({"model": __file__}, "expected a saved Keras model"),
    ],
)
def test_wrong_model_or_engine(options, message):
    with pytest.raises(UserError, match=message):
        insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8), **options)


def test_damaged_or_foreign_litert_files(tmp_path):
    face = np.zeros((1, 48, 48), np.uint8)
    path = tmp_path / "m.tflite"
    content = packaged.path_of("small", ".tflite").read_bytes()
    for damaged in (b"", b"x" * 1000, content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="m.tflite: expected a whole .tflite file"):
            insideout_tf.predict_emotions(face, path)
    path.write_bytes(content)
    raw = insideout_tf.predict_emotions(face, "small", engine="litert", calibrated=False)
    assert np.array_equal(insideout_tf.predict_emotions(face, path), raw)
    with pytest.raises(UserError, match="'litert'. Received: 'keras'"):
        insideout_tf.predict_emotions(face, path, engine="keras")


def test_a_run_a_file_and_a_model_in_memory(small_drawn):
    model = insideout_tf.load("small")
    face = np.full((2, 48, 48), 100, np.uint8)
    by_name = insideout_tf.predict_emotions(face, "small", engine="keras", calibrated=False)
    for given in (model, packaged.path_of("small", ".keras")):
        assert np.abs(insideout_tf.predict_emotions(face, given) - by_name).max() < 1e-6


@pytest.mark.parametrize("suffix", [".tflite", ".keras"])
def test_threads_share_a_model_loaded_once(suffix, small_drawn, tmp_path, monkeypatch):
    """Threads with batches of different sizes hear what one alone hears; a file that changes is loaded again."""
    loaded, load = [], engines.load_predictor
    monkeypatch.setattr(
        engines, "load_predictor", lambda *given: loaded.append(given) or load(*given)
    )
    path = tmp_path / f"model{suffix}"
    shutil.copy(packaged.path_of("nano", suffix), path)
    with np.load(small_drawn) as data:
        batches = [data["pixels"][: 1 + i % 5] for i in range(64)]
    alone = [insideout_tf.predict_emotions(batch, path) for batch in batches]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        together = list(
            threads.map(lambda batch: insideout_tf.predict_emotions(batch, path), batches)
        )
    assert max(np.abs(one - other).max() for one, other in zip(alone, together)) < 1e-6
    assert len(loaded) == 1
    shutil.copy(packaged.path_of("small", suffix), path)
    other = insideout_tf.predict_emotions(batches[4], path)
    assert len(loaded) == 2 and np.abs(other - alone[4]).max() > 0.01


def test_temperature_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2, 0, 0, 0, 0]], np.float32)
    cooler = recognize.apply_temperature(probabilities, 0.5)  # squares, normalised
    assert np.allclose(cooler[0, :3], np.square([0.5, 0.3, 0.2]) / 0.38, atol=1e-6)
    assert np.array_equal(recognize.apply_temperature(probabilities, 1.0), probabilities)


def test_wheel_holds_the_models(tmp_path):
    """What `pip install` of a built wheel gives, used from elsewhere: the models are in it."""
    source = tmp_path / "source"  # a copy, since setuptools keeps what it builds in the tree
    shutil.copytree(ROOT / "insideout_tf", source / "insideout_tf")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import insideout_tf
assert sys.argv[1] in insideout_tf.__file__
assert insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8), "small").shape == (1, 7)
"""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    run_python(code, tmp_path / "site", cwd=tmp_path)


@pytest.mark.fer2013
def test_evaluate_judges_a_packaged_model(small_real, tmp_path, monkeypatch):
    from insideout_tf import evaluate

    monkeypatch.chdir(tmp_path)
    summary, out = evaluate.evaluate("small", small_real, split="public")
    assert out == pathlib.Path("small/public") and (tmp_path / out / "metrics.json").exists()
    assert summary["n"] == 140 and summary["accuracy"] > 0.4


def test_card_quotes_the_facts():
    done = run_python(
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')",
        ROOT / "experiments/tools/model_card.py",
    )
    card = (packaged.FOLDER / "README.md").read_text("utf-8")
    assert done.stdout.strip() in card
